"""What an environment asks for: requirements.in, or the pyproject.toml, uv.lock or pylock.toml that the values name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, TypeVar

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from podenv.catalogue.environment import Environment
from podenv.catalogue.spec.dependencies import SourceSpec
from podenv.errors import RequirementsInvalid
from podenv.lock import projectfiles, requirements
from podenv.lock.projectfiles import Pylock, Pyproject, Table, Uv, UvLock
from podenv.lock.requirements import Requested

Kind = Literal["requirements.in", "pyproject.toml", "uv.lock", "pylock.toml"]
Entry = TypeVar("Entry")
# What a project tells uv that decides what its dependencies resolve to.
RESOLUTION = (
    "constraint-dependencies", "override-dependencies", "exclude-dependencies", "dependency-metadata", "prerelease",
    "resolution", "exclude-newer", "exclude-newer-package", "index-strategy",
)  # fmt: skip
_KINDS: dict[str, Kind] = {
    "requirements.in": "requirements.in", "pyproject.toml": "pyproject.toml", "uv.lock": "uv.lock"
}  # fmt: skip
_PYPI = "https://pypi.org/simple"


def kind(environment: Environment) -> Kind:
    """The kind of file that the environment's lock is made from."""
    return _KINDS.get(environment.source.name, "pylock.toml")


def read(environment: Environment) -> Requested:
    """What the environment asks for; reads files alone.

    Raises `RequirementsMissing`, and `RequirementsInvalid` naming the file and what is wrong in it.
    """
    file, chosen = environment.source, environment.spec.source
    if chosen is None:
        return requirements.read(file)
    requested = requirements.read(environment.requirements_in) if environment.requirements_in.exists() else Requested()
    if requested.names:
        raise RequirementsInvalid(
            f"{environment.requirements_in} asks for {requested.names[0]}, and `source` in the values names {file}; "
            "write all into one of them. (Only options such as --no-binary may stand beside a source.)"
        )
    _check_place(environment)
    if kind(environment) == "pyproject.toml":
        _read_pyproject(environment, chosen, requested)
    elif kind(environment) == "uv.lock":
        _read_uv_lock(environment, chosen, requested)
    else:
        _read_pylock(environment, chosen, requested)
    requested.lines.append(("source", json.dumps([chosen.file, sorted(chosen.extras), sorted(chosen.groups)])))
    return requested


def project(environment: Environment) -> Uv:
    """What the source tells uv: ``tool.uv`` of its pyproject.toml, or the indexes that a pylock.toml names."""
    if kind(environment) == "requirements.in":
        return Uv()
    if kind(environment) == "pylock.toml":
        return _indexes_of_pylock(projectfiles.load(environment.source, Pylock))
    return projectfiles.load(environment.source.with_name("pyproject.toml"), Pyproject).tool.uv


def _check_place(environment: Environment) -> None:
    file = environment.source
    if not file.resolve().is_relative_to(environment.project.resolve()):
        raise RequirementsInvalid(
            f"{file} is outside of the project {environment.project}; `source` in the values of {environment.name!r} "
            "must name a file in it, or others would not have it."
        )


def _read_pyproject(environment: Environment, chosen: SourceSpec, requested: Requested) -> None:
    file = environment.source
    content = projectfiles.load(file, Pyproject)
    about = content.project
    if about is None:
        raise RequirementsInvalid(f"{file} has no [project] table, so it says no dependencies; write them there.")
    if "dependencies" in about.dynamic:
        raise RequirementsInvalid(
            f"{file}: its dependencies are dynamic, so only a build could say them; list them in project.dependencies, "
            "or name the project's uv.lock as `source`."
        )
    _check_python(environment, about.requires_python)
    lines = list(about.dependencies)
    for extra in chosen.extras:
        lines += _chosen(file, "extra", extra, about.optional_dependencies)
    for group in chosen.groups:
        lines += _of_group(file, group, content.dependency_groups, ())
    for line in lines:
        one = _parsed(file, line)
        requested.names.append(canonicalize_name(one.name))
        requested.lines.append(("-r", line))
        if one.url and requirements.is_git(one.url):
            requested.git[canonicalize_name(one.name)] = one.url
    uv = content.tool.uv
    _add_uv(requested, uv, (*RESOLUTION, "sources", "index", "no-binary-package"))
    for name, entries in uv.entries().items():
        in_git = [one for one in entries if "git" in one]
        if in_git:
            asked = json.dumps(in_git, sort_keys=True)
            _refuse_login(file, asked)
            requested.git[canonicalize_name(name)] = asked


def _add_uv(requested: Requested, uv: Uv, decisive: Iterable[str]) -> None:
    told = {key: uv.told[key] for key in decisive if key in uv.told}
    requested.lines.append(("tool.uv", json.dumps(told, sort_keys=True, default=str)))
    requested.no_binary += [canonicalize_name(name) for name in uv.no_binary_package]


def _parsed(file: Path, line: str) -> Requirement:
    shown = requirements.without_login(line)
    try:
        one = Requirement(line)
    except InvalidRequirement as error:
        why = str(error).splitlines()[0].rstrip(":")
        raise RequirementsInvalid(f"{file}: {shown!r} is not a valid requirement: {why}.") from None
    _refuse_login(file, line)
    return one


def _refuse_login(file: Path, text: str) -> None:
    if requirements.has_login(text):
        raise RequirementsInvalid(
            f"{file}: {requirements.without_login(text)!r}: the address holds a login, which would be in the lock for "
            "all to read; leave it out."
        )


def _chosen(file: Path, what: str, name: str, known: Mapping[str, list[Entry]]) -> list[Entry]:
    by_name = {canonicalize_name(one): entries for one, entries in known.items()}
    found = by_name.get(canonicalize_name(name))
    if found is None:
        has = f"it has {', '.join(sorted(known))}" if known else "it has none"
        raise RequirementsInvalid(f"{file} has no {what} {name!r} ({has}); correct `source` in the values.")
    return found


def _of_group(
    file: Path, name: str, groups: Mapping[str, list[str | dict[str, str]]], above: tuple[str, ...]
) -> list[str]:
    if canonicalize_name(name) in above:
        raise RequirementsInvalid(f"{file}: the dependency groups {', '.join(above)} include each other.")
    lines: list[str] = []
    for one in _chosen(file, "group", name, groups):
        if isinstance(one, str):
            lines.append(one)
        else:
            lines += _of_group(file, one.get("include-group", ""), groups, (*above, canonicalize_name(name)))
    return lines


def _check_python(environment: Environment, requires: str) -> None:
    """A late patch release counts, since that is what an image of this Python has."""
    try:
        fits = SpecifierSet(requires).contains(f"{environment.python}.99")
    except InvalidSpecifier:
        raise RequirementsInvalid(f"{environment.source}: requires-python {requires!r} is not valid.") from None
    if not fits:
        raise RequirementsInvalid(
            f"{environment.source} is for Python {requires}, and the values of {environment.name!r} ask for "
            f"{environment.python}; change one of them."
        )


def _read_uv_lock(environment: Environment, chosen: SourceSpec, requested: Requested) -> None:
    file = environment.source
    content = projectfiles.load(file, UvLock)
    _check_python(environment, content.requires_python)
    root = next((one for one in content.package if "." in one.source.values()), None)
    if root is not None:
        entries = list(root.dependencies)
        for extra in chosen.extras:
            entries += _chosen(file, "extra", extra, root.optional_dependencies)
        for group in chosen.groups:
            entries += _chosen(file, "group", group, root.dev_dependencies)
        requested.names += [canonicalize_name(one.name) for one in entries]
    requested.git |= {canonicalize_name(one.name): "" for one in content.package if "git" in one.source}
    requested.lines.append(("uv.lock", hashlib.sha256(file.read_bytes()).hexdigest()))
    _add_uv(requested, project(environment), ("sources", "index", "no-binary-package"))


def _read_pylock(environment: Environment, chosen: SourceSpec, requested: Requested) -> None:
    file = environment.source
    content = projectfiles.load(file, Pylock)
    if not content.lock_version.startswith("1."):
        version = content.lock_version or "missing"
        raise RequirementsInvalid(f"{file} is not a pylock.toml of version 1 (PEP 751): its lock-version is {version}.")
    _check_python(environment, content.requires_python)
    for what, asked, known in (
        ("extra", chosen.extras, content.extras),
        ("group", chosen.groups, content.dependency_groups),
    ):
        for name in asked:
            _chosen(file, what, name, {one: [] for one in known})
    needed = {canonicalize_name(str(one.get("name", ""))) for each in content.packages for one in each.dependencies}
    names = dict.fromkeys(canonicalize_name(one.name) for one in content.packages)
    requested.names += [name for name in names if name not in needed]
    requested.git |= {canonicalize_name(one.name): "" for one in content.packages if one.vcs}
    requested.lines.append(("pylock.toml", hashlib.sha256(file.read_bytes()).hexdigest()))


def _indexes_of_pylock(content: Pylock) -> Uv:
    """Each index but PyPI gives the packages that were locked from it, and no others."""
    places = {one.name: one.index for one in content.packages if one.index and one.index.rstrip("/") != _PYPI}
    names = {url: f"pylock-{number}" for number, url in enumerate(dict.fromkeys(places.values()), start=1)}
    tables: list[Table] = [{"name": name, "url": url, "explicit": True} for url, name in names.items()]
    return Uv(index=tables, sources={package: {"index": names[url]} for package, url in places.items()})
