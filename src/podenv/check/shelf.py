"""A shelf: what a lock installs on the image's platform, unpacked to be read. It needs no Python of that version.

    <cache>/shelves/<lock's key>-<platform>/lib/pythonX.Y/site-packages    the packages, hard links into uv's cache

It is made beside its place and moved there whole.
A virtual environment of the same lock serves as well, where the image's platform is this machine's.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement
from packaging.utils import canonicalize_name

from podenv import causes, lock, process, venv
from podenv.catalogue.environment import Environment
from podenv.catalogue.names import lock_key
from podenv.errors import CheckImpossible, ProgramFailed
from podenv.lock import cache, installation, packages, platforms, requirements, wheels

_TRIPLES = {"linux": "{machine}-unknown-linux-gnu", "macos": "{machine}-apple-darwin"}
_LEFT_OUT = "podenv-left-out"  # a file with their names
_KEPT = 60 * 86_400.0  # seconds that a shelf stays without being used


@dataclass(frozen=True)
class Shelf:
    """The ``folder`` of a shelf, laid out as a virtual environment of ``python``."""

    folder: Path
    python: str
    key: str

    @property
    def left_out(self) -> tuple[str, ...]:
        """The distributions of the lock that are not on it, because they would have to be built."""
        with suppress(OSError):
            return tuple((self.folder / _LEFT_OUT).read_text().split())
        return ()

    @property
    def packages(self) -> Path:
        """Its site-packages."""
        return self.folder / "lib" / f"python{self.python}" / "site-packages"


def folder() -> Path:
    """Where all shelves are."""
    return cache.folder() / "shelves"


def platform_name(environment: Environment) -> str:
    """The image's platform as part of a name."""
    return environment.spec.image.platform.replace("/", "-")


def find(environment: Environment) -> Shelf | None:
    """The shelf of the environment's lock that is there; None where it is to be made. Raises `LockError`."""
    key = lock_key(environment.python, lock.content_hash(environment))
    own = folder() / f"{key}-{platform_name(environment)}"
    if own.is_dir():
        with suppress(OSError):
            os.utime(own)  # it is in use: see `remove_unused`
        return Shelf(own, environment.python, key)
    made = venv.venvs_folder() / key
    if platforms.here() == environment.spec.image.platform and venv.is_complete(made):
        return Shelf(made, environment.python, key)
    return None


def make(environment: Environment, *, log: Callable[[str], None] = lambda _: None) -> Shelf:
    """The shelf of the environment's lock, made where it is missing.

    Raises `LockError`, `ProgramNotFound`, `CheckImpossible`.
    """
    found = find(environment)
    if found is not None:
        return found
    key = lock_key(environment.python, lock.content_hash(environment))
    place = folder() / f"{key}-{platform_name(environment)}"
    log(f"Unpacking the lock of {environment.name!r}.")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".shelf-", dir=place.parent) as scratch:
            made = Shelf(Path(scratch) / "shelf", environment.python, key)
            _fill(made, environment, Path(scratch))
            _put(made.folder, place)
    except OSError as error:
        raise CheckImpossible(
            f"The lock of {environment.name!r} cannot be unpacked in {place.parent}: {error.strerror}; free some "
            "space there, or set PODENV_CACHE to another folder."
        ) from None
    return Shelf(place, environment.python, key)


def remove_unused(now: float | None = None) -> list[Path]:
    """Remove the shelves that no check has used for 60 days, and what a killed one left; returns what is gone."""
    gone = []
    for one in _all():
        with suppress(OSError):
            if (now or time.time()) - one.stat().st_mtime > _KEPT:
                shutil.rmtree(one)
                gone.append(one)
    return gone


def _all() -> Iterator[Path]:
    with suppress(FileNotFoundError):
        yield from folder().iterdir()


def _put(made: Path, place: Path) -> None:
    """Move a whole shelf into place; one that another process made in the meantime stays."""
    try:
        made.rename(place)
    except OSError:
        if not place.is_dir():
            raise


def _fill(shelf: Shelf, environment: Environment, scratch: Path) -> None:
    shelf.packages.mkdir(parents=True)
    # What makes a folder a virtual environment for those who read it; nothing in it is ever started.
    (shelf.folder / "pyvenv.cfg").write_text(f"home = {sys.base_exec_prefix}\nversion_info = {environment.python}\n")
    system, _, _ = environment.spec.image.platform.partition("/")
    triple = _TRIPLES[system].format(machine=platforms.machine(environment.spec.image.platform))
    target: list[str | Path] = [
        "--color=never", "--no-progress", "--target", shelf.packages, "--python", sys.executable,
        "--python-version", environment.python, "--python-platform", triple,
    ]  # fmt: skip
    left_out, rest = _wheels(environment)
    (shelf.folder / _LEFT_OUT).write_text("".join(f"{name}\n" for name in left_out))
    (scratch / "requirements.txt").write_text(rest)
    words = installation.words(environment, scratch)
    words = [scratch / "requirements.txt" if word == environment.lock_file else word for word in words]
    own = [wheels.build(environment, package) for package in packages.of(environment)]
    try:
        process.run([lock.uv(), "pip", "sync", *target, *words], cwd=environment.folder, env=lock.uv_variables())
        if own:
            argv = [lock.uv(), "pip", "install", "--no-deps", "--no-index", *target, "--project", scratch, *own]
            process.run(argv, cwd=environment.folder, env=lock.uv_variables())
    except ProgramFailed as error:
        raise _explained(error, environment) from None


def _wheels(environment: Environment) -> tuple[list[str], str]:
    """The names in the lock that are built where they are installed, and the rest of the lock."""
    text = environment.lock_file.read_text(errors="replace")
    lines = [line for _, line in requirements.logical_lines(text)]
    built = {line.split()[-1] for line in lines if line.startswith("--no-binary")}
    left_out: list[str] = []
    kept: list[str] = []
    for line in lines:
        with suppress(InvalidRequirement):  # an option line
            one = requirements.parse(line)
            url = one.url or ""
            if canonicalize_name(one.name) in built or (url and requirements.is_archive(url)):
                left_out.append(canonicalize_name(one.name))
            else:
                kept.append(line)
    return left_out, "".join(f"{line}\n" for line in kept)


def _explained(error: ProgramFailed, environment: Environment) -> CheckImpossible:
    said = error.stderr
    cause = causes.find(causes.UV, said)
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "uv said nothing")
    platform = environment.spec.image.platform
    if cause.kind in ("network", "offline"):
        why = "its packages are not in uv's cache, and the package index cannot be reached; connect, and run it again"
    elif cause.kind == "credentials":
        why = f"the package index wants other credentials ({last}); check those in UV_DEFAULT_INDEX or ~/.netrc"
    elif cause.kind == "wheel":
        why = (
            f"{cause.subject(said) or 'a package'} has no wheel for {platform}; choose another version of it, or "
            f"another `image.platform`, and run `podenv lock {environment.name}`"
        )
    else:
        why = f"uv says: {last.removeprefix('error: ')}"
    return CheckImpossible(f"The lock of {environment.name!r} cannot be unpacked for {platform}: {why}.")
