"""A uv.lock or a pylock.toml as lines of requirements, each with one version and its hashes."""

from __future__ import annotations

import re
from pathlib import Path

from packaging.markers import InvalidMarker, Marker
from packaging.utils import canonicalize_name

from podenv import process
from podenv.catalogue.environment import Environment
from podenv.errors import ProgramFailed, RequirementsInvalid, ResolutionFailed
from podenv.lock import packages, pins, platforms, program, projectfiles, requirements, sources
from podenv.lock.projectfiles import Locked, Pylock

_TIMEOUT = 600.0  # seconds
_HASH = re.compile(r"--hash[=\s](sha256:[0-9a-f]{64})")


def lines(environment: Environment) -> str:
    """What the lock that the values name installs for the chosen extras and groups.

    Raises `RequirementsInvalid`, `ResolutionFailed` (also where a uv.lock is older than its pyproject.toml),
    `ProgramNotFound`.
    """
    return _of_uv_lock(environment) if sources.kind(environment) == "uv.lock" else _of_pylock(environment)


def with_hashes_of(body: str, exported: str, environment: Environment) -> str:
    """``body`` with those hashes only that ``exported`` has: what others have locked is not widened."""
    allowed: dict[str, set[str]] = {}
    for _, line in requirements.logical_lines(exported):
        allowed.setdefault(_key(line), set()).update(_HASH.findall(line))
    entries = re.split(r"^(?=\S)", body, flags=re.MULTILINE)
    return "".join(_checked(entry, allowed, environment) for entry in entries)


def _checked(entry: str, allowed: dict[str, set[str]], environment: Environment) -> str:
    found = _HASH.findall(entry)
    if not found:
        return entry
    hashes = [one for one in found if one in allowed.get(_key(entry), ())]
    if not hashes:
        raise ResolutionFailed(
            f"Environment {environment.name!r}: what the package index has for {_key(entry)} is not what "
            f"{environment.source} has locked; lock that one anew, or check the indexes."
        )
    first = entry.partition(" \\\n")[0]
    reasons = "".join(f"{line}\n" for line in entry.splitlines() if line.lstrip().startswith("#"))
    return f"{first} \\\n" + " \\\n".join(f"    --hash={one}" for one in hashes) + f"\n{reasons}"


def _key(line: str) -> str:
    """``name==version``, or ``name @ address``."""
    one = requirements.parse(_HASH.sub("", line.replace("\\\n", " ")).partition(" #")[0].strip())
    return (
        f"{canonicalize_name(one.name)}{one.specifier}" if not one.url else f"{canonicalize_name(one.name)} @ {one.url}"
    )


def _of_uv_lock(environment: Environment) -> str:
    file, chosen = environment.source, environment.spec.source
    assert chosen is not None
    words: list[str | Path] = [
        program.uv(), "export", "--locked", "--project", file.parent, "--format", "requirements.txt", "--quiet",
        "--no-header", "--no-annotate", "--no-default-groups", "--no-emit-project",
        "--color", "never",
    ]  # fmt: skip
    words += [word for package in packages.of(environment) for word in ("--no-emit-package", package.name)]
    words += [word for extra in chosen.extras for word in ("--extra", extra)]
    words += [word for group in chosen.groups for word in ("--group", group)]
    try:
        found = process.run(words, cwd=file.parent, env=program.uv_variables(), timeout=_TIMEOUT).stdout
    except ProgramFailed as error:
        said = error.stderr.strip().removeprefix("error: ")
        if "needs to be updated" in said:
            raise ResolutionFailed(
                f"Environment {environment.name!r}: {file} is older than its pyproject.toml; run `uv lock` in "
                f"{file.parent}."
            ) from None
        raise ResolutionFailed(f"Environment {environment.name!r}: uv cannot read {file}. uv says:\n{said}") from None
    for _, line in requirements.logical_lines(found):
        if line.startswith(("-e ", "./", "../", "/", "file:")):
            raise ResolutionFailed(
                f"Environment {environment.name!r}: {file} has {line.partition(' ;')[0]!r}, a folder of the project; "
                f"name it in `packages` of {environment.folder / 'values.yaml'}."
            )
    return found


def _of_pylock(environment: Environment) -> str:
    found = []
    for package in projectfiles.load(environment.source, Pylock).packages:
        condition = _condition(environment, package.marker)
        if condition is not None:
            found.append(_line(environment.source, package, condition))
    return "\n".join(found) + "\n"


def _line(file: Path, package: Locked, condition: str) -> str:
    name = canonicalize_name(package.name)
    if package.directory:
        raise RequirementsInvalid(
            f"{file}: {name} is a folder, {package.directory.path!r}; name it in `packages` of the values and leave it "
            "out of the lock."
        )
    files = [*package.wheels, *([package.sdist] if package.sdist else [])]
    what = f"{name}=={package.version}"
    if package.vcs:
        inside = f"#subdirectory={package.vcs.subdirectory}" if package.vcs.subdirectory else ""
        what = f"{name} @ {package.vcs.type}+{package.vcs.url}@{package.vcs.commit_id}{inside}"
    elif package.archive:
        what, files = f"{name} @ {package.archive.url}", [package.archive]
    elif not package.version:
        raise RequirementsInvalid(f"{file}: {name} has no version, so it cannot be locked.")
    hashes = [f"--hash=sha256:{one.hashes['sha256']}" for one in files if "sha256" in one.hashes]
    return " ".join([what + condition, *hashes])


def _condition(environment: Environment, text: str) -> str | None:
    """`` ; ...`` for the platforms where the marker ``text`` holds; None where it holds on none of them."""
    if not text:
        return ""
    chosen = environment.spec.source
    assert chosen is not None
    try:
        marker = Marker(text)
    except InvalidMarker:
        raise RequirementsInvalid(f"{environment.source}: the marker {text!r} is not valid.") from None
    asked = {"extras": frozenset(chosen.extras), "dependency_groups": frozenset(chosen.groups)}
    every = platforms.of(environment)
    held = [one for one in every if marker.evaluate({**pins.on(environment.python, one), **asked}, context="lock_file")]
    if not held:
        return None
    return "" if len(held) == len(every) else " ; " + " or ".join(f"({platforms.marker(one)})" for one in held)
