"""The machines that a lock holds for: the image's, and this project's laptops (``platforms`` in the values)."""

from __future__ import annotations

import platform
import sys

from podenv.catalogue.environment import Environment

_SYSTEMS = {"linux": "linux", "macos": "darwin"}
# What Python's platform.machine() says where an image's platform says something else.
_LINUX_MACHINES = {"amd64": "x86_64", "arm64": "aarch64", "386": "i686", "arm/v7": "armv7l", "arm/v6": "armv6l"}
_MACOS_MACHINES = {"amd64": "x86_64", "arm64": "arm64"}


def of(environment: Environment) -> tuple[str, ...]:
    """Like ``("linux/amd64", "macos/arm64")``, sorted."""
    return tuple(sorted({*environment.spec.image.built_for, *environment.spec.platforms}))


def machine(name: str) -> str:
    """What ``platform_machine`` is on a platform like ``linux/arm64``."""
    system, _, architecture = name.partition("/")
    known = _MACOS_MACHINES if system == "macos" else _LINUX_MACHINES
    return known.get(architecture) or known.get(architecture.partition("/")[0]) or architecture.partition("/")[0]


def marker(name: str) -> str:
    """The condition that holds on a platform, as PEP 508 writes it."""
    return f"sys_platform == '{_system(name)}' and platform_machine == '{machine(name)}'"


def triple(name: str) -> str:
    """What uv's --python-platform calls a platform."""
    kind = "apple-darwin" if name.startswith("macos/") else "unknown-linux-gnu"
    return f"{machine(name)}-{kind}"


def systems(names: tuple[str, ...]) -> list[str]:
    """The values of ``sys_platform`` on these platforms; uv resolves for the first one first."""
    found = {_system(name) for name in names}
    return [system for system in _SYSTEMS.values() if system in found]


def here() -> str:
    """This machine, like ``linux/amd64``."""
    known = _MACOS_MACHINES if sys.platform == "darwin" else _LINUX_MACHINES
    architecture = next((key for key, value in known.items() if value == platform.machine()), platform.machine())
    return f"{'macos' if sys.platform == 'darwin' else sys.platform}/{architecture}"


def _system(name: str) -> str:
    return _SYSTEMS[name.partition("/")[0]]
