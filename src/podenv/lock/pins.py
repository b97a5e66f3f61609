"""What a lock installs: names and versions, by the markers of one machine."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress

from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from podenv.catalogue.environment import Environment
from podenv.lock import lockfile, packages, platforms, requirements, sources


def direct(environment: Environment) -> list[str]:
    """The normalised names that are asked for, each once, in its order; the project's own packages last."""
    own = [package.name for package in packages.of(environment)]
    return list(dict.fromkeys([*sources.read(environment).names, *own]))


def required(environment: Environment, names: Collection[str]) -> list[str]:
    """What the lock says of the packages ``names`` (normalised), without hashes, each with its condition."""
    found = []
    for _, line in requirements.logical_lines(lockfile.read(environment).decode(errors="replace")):
        with suppress(InvalidRequirement):  # an option line
            one = requirements.parse(line)
            if canonicalize_name(one.name) in names:
                found.append(str(one))
    return found


def in_git(environment: Environment, *, markers: Mapping[str, str] | None = None) -> list[Requirement]:
    """What the lock takes from repositories, each at one commit, where ``markers`` hold; None: on this machine."""
    markers = _markers(environment.python) if markers is None else markers
    return [one for one in _installed(environment, markers) if requirements.commit(one.url or "")]


def without_git(environment: Environment) -> bytes:
    """The lock with nothing in it that is in a repository; the lock itself where there is nothing such."""
    whole = lockfile.read(environment)
    lines = whole.decode(errors="replace").splitlines(keepends=True)
    kept = [line for line in lines if not requirements.is_git(line.partition(" @ ")[2])]
    return whole if len(kept) == len(lines) else "".join(kept).encode()


def pinned(environment: Environment, *, markers: Mapping[str, str] | None = None) -> dict[str, str]:
    """Normalised name -> version of all that the lock installs where ``markers`` hold; None: on this machine.

    Raises `LockMissing`.
    """
    markers = _markers(environment.python) if markers is None else markers
    found: dict[str, str] = {}
    for one in _installed(environment, markers):
        pin = next(iter(one.specifier), None)
        found[canonicalize_name(one.name)] = pin.version if pin else _version_in(one.url or "")
    own = lockfile.own_packages(lockfile.read(environment))
    return {**found, **{name: version for name, version, _, _ in own}}


def _installed(environment: Environment, markers: Mapping[str, str]) -> Iterator[Requirement]:
    for _, line in requirements.logical_lines(lockfile.read(environment).decode(errors="replace")):
        with suppress(InvalidRequirement):  # an option line
            one = requirements.parse(line)
            if one.marker is None or one.marker.evaluate(dict(markers)):
                yield one


def linux(python: str, machine: str) -> dict[str, str]:
    """The markers of a Linux with a late patch release of ``python``, whatever this machine is."""
    return {
        **_markers(python), "python_full_version": f"{python}.99", "implementation_version": f"{python}.99",
        "os_name": "posix", "sys_platform": "linux", "platform_system": "Linux", "platform_machine": machine,
        "platform_release": "", "platform_version": "",
    }  # fmt: skip


def on(python: str, platform: str) -> dict[str, str]:
    """The markers of a platform like ``macos/arm64``."""
    system = platforms.systems((platform,))[0]
    named = {"sys_platform": system, "platform_system": system.capitalize()}
    return {**linux(python, platforms.machine(platform)), **named}


def _markers(python: str) -> dict[str, str]:
    """This machine as a lock's markers see it, with a late patch release of ``python``."""
    here = {key: str(value) for key, value in default_environment().items()}
    if here["python_version"] != python:
        here["python_version"], here["python_full_version"] = python, f"{python}.99"
    here["implementation_version"] = here["python_full_version"]
    return here


def _version_in(url: str) -> str:
    """The version in a wheel's address; the address itself for another archive."""
    try:
        return str(parse_wheel_filename(url.partition("#")[0].rpartition("/")[2])[1])
    except InvalidWheelFilename:
        return url
