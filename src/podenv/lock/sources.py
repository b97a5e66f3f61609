"""What an environment asks for: requirements.in, or the pyproject.toml, uv.lock or pylock.toml that the values name."""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name

from podenv.catalogue.environment import Environment
from podenv.errors import RequirementsInvalid, RequirementsMissing
from podenv.lock import requirements
from podenv.lock.requirements import Requested

Kind = Literal["requirements.in", "pyproject.toml", "uv.lock", "pylock.toml"]
Table = dict[str, Any]
# What a project tells uv that decides what its dependencies resolve to.
RESOLUTION = (
    "constraint-dependencies", "override-dependencies", "exclude-dependencies", "dependency-metadata", "prerelease",
    "resolution", "exclude-newer", "exclude-newer-package", "index-strategy", "no-binary-package",
)  # fmt: skip


def kind(environment: Environment) -> Kind:
    """The kind of file that the environment's lock is made from."""
    name = environment.source.name
    if name in ("requirements.in", "pyproject.toml", "uv.lock"):
        return name  # type: ignore[return-value]  # mypy does not narrow a str to these literals
    return "pylock.toml"


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
    content = load(file)
    {"pyproject.toml": _read_pyproject, "uv.lock": _read_uv_lock, "pylock.toml": _read_pylock}[kind(environment)](
        environment, content, requested
    )
    requested.lines.append(("source", json.dumps([chosen.file, sorted(chosen.extras), sorted(chosen.groups)])))
    return requested


def project(environment: Environment) -> Table:
    """What the project of the source tells uv, ``tool.uv`` of its pyproject.toml; empty where there is none."""
    if kind(environment) not in ("pyproject.toml", "uv.lock"):
        return {}
    file = environment.source.with_name("pyproject.toml")
    return dict(load(file).get("tool", {}).get("uv", {}))


def _check_place(environment: Environment) -> None:
    file = environment.source
    if not file.resolve().is_relative_to(environment.project.resolve()):
        raise RequirementsInvalid(
            f"{file} is outside of the project {environment.project}; `source` in the values of {environment.name!r} "
            "must name a file in it, or others would not have it."
        )


def load(file: Path) -> Table:
    """The content of a TOML file; raises `RequirementsMissing`, `RequirementsInvalid`."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RequirementsMissing(
            f"{file} is missing, and `source` in the values names it; correct the path."
        ) from None
    except UnicodeDecodeError:
        raise RequirementsInvalid(f"{file} is not UTF-8 text; save it as UTF-8.") from None
    except OSError as error:
        raise RequirementsInvalid(f"{file} cannot be read: {error.strerror}.") from None
    except tomllib.TOMLDecodeError as error:
        raise RequirementsInvalid(f"{file} is not valid TOML: {error}.") from None


def _read_pyproject(environment: Environment, content: Table, requested: Requested) -> None:
    file, chosen = environment.source, environment.spec.source
    assert chosen is not None
    table = content.get("project")
    if not isinstance(table, dict):
        raise RequirementsInvalid(f"{file} has no [project] table, so it says no dependencies; write them there.")
    if "dependencies" in table.get("dynamic", []):
        raise RequirementsInvalid(
            f"{file}: its dependencies are dynamic, so only a build could say them; list them in project.dependencies, "
            "or name the project's uv.lock as `source`."
        )
    _check_python(environment, str(table.get("requires-python", "")))
    lines = [str(one) for one in table.get("dependencies", [])]
    optional = {canonicalize_name(name): lines for name, lines in table.get("optional-dependencies", {}).items()}
    for extra in chosen.extras:
        lines += map(str, _chosen(file, "extra", extra, optional))
    groups = {canonicalize_name(name): lines for name, lines in content.get("dependency-groups", {}).items()}
    for group in chosen.groups:
        lines += _of_group(file, group, groups, ())
    for line in lines:
        requested.names.append(canonicalize_name(_parsed(file, line).name))
        requested.lines.append(("-r", line))
    told = content.get("tool", {}).get("uv", {})
    decisive = {key: told[key] for key in (*RESOLUTION, "sources", "index") if key in told}
    requested.lines.append(("tool.uv", json.dumps(decisive, sort_keys=True, default=str)))
    requested.no_binary += [canonicalize_name(name) for name in told.get("no-binary-package", [])]
    for name, entries in told.get("sources", {}).items():
        in_git = [one for one in (entries if isinstance(entries, list) else [entries]) if "git" in one]
        if in_git:
            asked = json.dumps(in_git, sort_keys=True)
            _refuse_login(file, asked)
            requested.git[canonicalize_name(name)] = asked
    for one in (_parsed(file, line) for line in lines):
        if one.url and requirements.is_git(one.url):
            requested.git[canonicalize_name(one.name)] = one.url


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


def _chosen(file: Path, what: str, name: str, known: dict[NormalizedName, list[Any]]) -> list[Any]:
    found = known.get(canonicalize_name(name))
    if found is None:
        has = f"it has {', '.join(sorted(known))}" if known else "it has none"
        raise RequirementsInvalid(f"{file} has no {what} {name!r} ({has}); correct `source` in the values.")
    return found


def _of_group(file: Path, name: str, groups: dict[NormalizedName, list[Any]], above: tuple[str, ...]) -> list[str]:
    if canonicalize_name(name) in above:
        raise RequirementsInvalid(f"{file}: the dependency groups {', '.join(above)} include each other.")
    lines: list[str] = []
    for one in _chosen(file, "group", name, groups):
        if isinstance(one, dict) and "include-group" in one:
            lines += _of_group(file, str(one["include-group"]), groups, (*above, canonicalize_name(name)))
        else:
            lines.append(str(one))
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


def _read_uv_lock(environment: Environment, content: Table, requested: Requested) -> None:
    chosen = environment.spec.source
    assert chosen is not None
    _check_python(environment, str(content.get("requires-python", "")))
    packages: list[Table] = content.get("package", [])
    roots = [one for one in packages if "." in one.get("source", {}).values()]
    root = roots[0] if roots else Table()
    groups = {canonicalize_name(name): entries for name, entries in root.get("dev-dependencies", {}).items()}
    extras = {canonicalize_name(name): entries for name, entries in root.get("optional-dependencies", {}).items()}
    entries = list(root.get("dependencies", []))
    for extra in chosen.extras:
        entries += _chosen(environment.source, "extra", extra, extras)
    for group in chosen.groups:
        entries += _chosen(environment.source, "group", group, groups)
    requested.names += [canonicalize_name(one["name"]) for one in entries]
    requested.git |= {canonicalize_name(one["name"]): "" for one in packages if "git" in one.get("source", {})}
    requested.lines.append(("uv.lock", hashlib.sha256(environment.source.read_bytes()).hexdigest()))
    told = project(environment)
    kept = {key: told[key] for key in ("sources", "index") if key in told}
    requested.lines.append(("tool.uv", json.dumps(kept, sort_keys=True, default=str)))


def _read_pylock(environment: Environment, content: Table, requested: Requested) -> None:
    file, chosen = environment.source, environment.spec.source
    assert chosen is not None
    version, packages = str(content.get("lock-version", "")), content.get("packages")
    if not version.startswith("1.") or not isinstance(packages, list):
        raise RequirementsInvalid(
            f"{file} is not a pylock.toml of version 1 (PEP 751): its lock-version is {version or 'missing'!r}."
        )
    _check_python(environment, str(content.get("requires-python", "")))
    for what, asked, key in (("extra", chosen.extras, "extras"), ("group", chosen.groups, "dependency-groups")):
        for name in asked:
            _chosen(file, what, name, {canonicalize_name(one): [] for one in content.get(key, [])})
    names = [canonicalize_name(str(package.get("name", ""))) for package in packages]
    needed = {canonicalize_name(one.get("name", "")) for package in packages for one in package.get("dependencies", [])}
    requested.names += [name for name in dict.fromkeys(names) if name not in needed]
    requested.git |= {name: "" for name, package in zip(names, packages, strict=True) if "vcs" in package}
    requested.lines.append(("pylock.toml", hashlib.sha256(file.read_bytes()).hexdigest()))
