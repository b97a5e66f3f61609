"""The project's own packages in an environment (``packages`` in the values): what they are, read from files alone.

Two hashes tell changes apart. What decides a package's dependencies is in the lock, which is stale when it changes.
All of its sources are in the key of a virtual environment and in an image's tag: a change of code needs no new lock.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from packaging.utils import NormalizedName, canonicalize_name
from pathspec import GitIgnoreSpec

from podenv.catalogue.environment import Environment
from podenv.errors import PackageUnusable
from podenv.lock import projectfiles, requirements
from podenv.lock.projectfiles import Pyproject

# What tools leave beside sources; hidden files and folders, and virtual environments, are left out too.
_LEFTOVERS = ("build", "dist")
_CACHES = ("__pycache__", "node_modules")
_DECISIVE = ("project", "build-system")


@dataclass(frozen=True)
class OwnPackage:
    """One package: ``path`` as the values write it, ``decisive`` a hash over what decides its dependencies."""

    path: str
    folder: Path
    name: NormalizedName
    decisive: str
    requires_python: str


def of(environment: Environment) -> list[OwnPackage]:
    """The environment's own packages, in the order of the values.

    Raises `PackageUnusable` naming the folder and what is wrong with it.
    """
    found = [_package(environment, path) for path in environment.spec.packages]
    names = [package.name for package in found]
    for package in found:
        if names.count(package.name) > 1:
            raise PackageUnusable(f"{_where(environment)}: two of them are called {package.name}; name one of them.")
    return found


def content_hash(environment: Environment) -> str:
    """SHA-256 over the sources of all of them; empty where there is none."""
    each = [(package.name, sources_hash(environment, package)) for package in of(environment)]
    return hashlib.sha256(json.dumps(each).encode()).hexdigest() if each else ""


def sources_hash(environment: Environment, package: OwnPackage) -> str:
    """SHA-256 over the package's files: their names, contents, and which can be run. Raises `PackageUnusable`."""
    stamped = []
    try:
        for name, file in files(environment, package):
            status = file.stat()
            stamped.append((name, file, status.st_mtime_ns, status.st_size, bool(status.st_mode & 0o111)))
        return _hash_of(tuple(stamped))
    except OSError as error:
        raise PackageUnusable(
            f"{error.filename} of the package {package.path} cannot be read: {error.strerror}; run it again, or "
            "correct its rights."
        ) from None


def files(environment: Environment, package: OwnPackage) -> Iterator[tuple[str, Path]]:
    """The sources, sorted: all files but hidden ones, those that git ignores, and what tools leave behind.

    Raises `PackageUnusable` where a link leaves the package, or leads to a folder.
    """
    root = package.folder
    around = environment.project.resolve()
    above = [folder for folder in reversed(root.parents) if folder.is_relative_to(around)]
    yield from _walk(root, root, environment, _ignored(above))


def _walk(
    root: Path, folder: Path, environment: Environment, ignored: Sequence[tuple[Path, GitIgnoreSpec]]
) -> Iterator[tuple[str, Path]]:
    ignored = [*ignored, *_ignored([folder])]
    for entry in sorted(folder.iterdir()):
        if _is_left_out(root, entry, environment) or _is_ignored(entry, ignored):
            continue
        if entry.is_symlink() and (entry.is_dir() or not entry.resolve().is_relative_to(root)):
            what = "a link to a folder" if entry.is_dir() else "a link out of the package"
            raise PackageUnusable(f"{entry} is {what}, which podenv does not follow; put the files there themselves.")
        if entry.is_dir():
            yield from _walk(root, entry, environment, ignored)
        elif entry.is_file():
            yield entry.relative_to(root).as_posix(), entry


def _is_left_out(root: Path, entry: Path, environment: Environment) -> bool:
    name = entry.name
    if name.startswith(".") or name in _CACHES or name.endswith((".pyc", ".egg-info")):
        return True
    if entry.parent == root and name in _LEFTOVERS:
        return True
    return (entry / "pyvenv.cfg").exists() or entry == environment.folder.parent.resolve()


def _ignored(folders: Sequence[Path]) -> list[tuple[Path, GitIgnoreSpec]]:
    found = [folder / ".gitignore" for folder in folders if (folder / ".gitignore").is_file()]
    return [(file.parent, GitIgnoreSpec.from_lines(file.read_text(errors="replace").splitlines())) for file in found]


def _is_ignored(entry: Path, ignored: Sequence[tuple[Path, GitIgnoreSpec]]) -> bool:
    """True if the nearest .gitignore that says anything of it says so."""
    for folder, spec in reversed(ignored):
        said = spec.check_file(entry.relative_to(folder).as_posix() + ("/" if entry.is_dir() else "")).include
        if said is not None:
            return said
    return False


@lru_cache(maxsize=256)
def _hash_of(stamped: tuple[tuple[str, Path, int, int, bool], ...]) -> str:
    digest = hashlib.sha256()
    for name, file, _, _, is_program in stamped:
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{name}\0{is_program}\0{content}\0".encode())
    return digest.hexdigest()


def _where(environment: Environment) -> str:
    return f"{environment.folder / 'values.yaml'}: packages"


def _package(environment: Environment, path: str) -> OwnPackage:
    folder = (environment.folder / path).resolve()
    where = f"{_where(environment)}: {path}"
    if not folder.is_relative_to(environment.project.resolve()):
        raise PackageUnusable(f"{where} is outside of the project {environment.project}; others would not have it.")
    if not folder.is_dir():
        raise PackageUnusable(f"{where}: there is no folder {folder}; correct the path.")
    file = folder / "pyproject.toml"
    if not file.is_file():
        raise PackageUnusable(f"{where}: {folder} has no pyproject.toml, so it is not a package that can be built.")
    content = projectfiles.load(file, Pyproject)
    if content.project is None or not content.project.name:
        raise PackageUnusable(f"{file} has no `name` in [project]; a package needs one.")
    if "requires" not in (content.build_system or {}):
        raise PackageUnusable(
            f"{file} has no [build-system] with `requires`, so nothing says how to build it; add one, like "
            'requires = ["hatchling"] and build-backend = "hatchling.build".'
        )
    if requirements.has_login(file.read_text(encoding="utf-8")):
        raise PackageUnusable(f"{file} holds an address with a login, which has no place there; leave it out.")
    about = content.project
    package = OwnPackage(path, folder, canonicalize_name(about.name), "", about.requires_python)
    return replace(package, decisive=_decisive(environment, package, file, is_dynamic=bool(about.dynamic)))


def _decisive(environment: Environment, package: OwnPackage, file: Path, *, is_dynamic: bool) -> str:
    """What is dynamic only a build can tell: then any change of the sources may change it."""
    content = tomllib.loads(file.read_text(encoding="utf-8"))
    told = [content.get(key) for key in _DECISIVE]
    if is_dynamic:
        told.append(sources_hash(environment, package))
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()
