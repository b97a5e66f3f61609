"""What locks hold, on each platform that they are for."""

from __future__ import annotations

from podenv import lock
from podenv.catalogue.environment import Environment
from podenv.lock import platforms


def versions(environment: Environment) -> dict[str, str]:
    """Normalised name -> version of what the lock installs in the image. Raises `LockMissing`."""
    return lock.pinned(environment, markers=lock.on(environment.python, environment.spec.image.platform))


def everywhere(environment: Environment) -> dict[str, tuple[str, ...]]:
    """The same with all versions, on laptops too. Raises `LockMissing`."""
    found: dict[str, set[str]] = {}
    for platform in platforms.of(environment):
        for name, version in lock.pinned(environment, markers=lock.on(environment.python, platform)).items():
            found.setdefault(name, set()).add(version)
    return {name: tuple(sorted(each)) for name, each in sorted(found.items())}
