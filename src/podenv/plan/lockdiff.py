"""The packages of a deployed image beside those of the lock here, with the tasks that import them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from podenv import lock
from podenv.catalogue.environment import Environment
from podenv.errors import LockStale
from podenv.plan import held
from podenv.plan.deployed import Deployed
from podenv.plan.uses import Use, Uses

What = Literal["added", "removed", "changed", "version unknown"]


@dataclass(frozen=True)
class PackageChange:
    """One package: its version in the image (``before``) and in the lock (``after``), and the tasks that import it."""

    package: str
    what: What
    before: str
    after: str
    importing: tuple[Use, ...]


@dataclass(frozen=True)
class LockDiff:
    """What a deploy would change in the packages of one environment; ``image`` is empty where it is not deployed."""

    environment: str
    image: str
    changes: tuple[PackageChange, ...]
    notes: tuple[str, ...]


def of(environment: Environment, deployed: Deployed | None, uses: Uses) -> LockDiff:
    """The difference for one environment. Raises `LockMissing`."""
    notes = []
    after = held.versions(environment)
    try:
        lock.check(environment)
    except LockStale as error:
        notes.append(str(error))
    if deployed is None:
        notes.append("it is not deployed.")
    elif deployed.packages is None:
        notes.append(f"nothing says what is in the deployed image {deployed.image}.")
        return LockDiff(environment.name, deployed.image, (), tuple(notes))
    changes = between(deployed.packages or {} if deployed else {}, after, uses.of(environment.name))
    if any(one.what == "version unknown" for one in changes):
        notes.append("its release was made by an earlier podenv, which recorded the names of packages alone.")
    return LockDiff(environment.name, deployed.image if deployed else "", tuple(changes), tuple(notes))


def between(before: Mapping[str, str], after: Mapping[str, str], uses: Sequence[Use]) -> list[PackageChange]:
    """What differs. ``before``: name -> version, which is empty where the release does not record it."""
    found = []
    for name in sorted({*before, *after}):
        what = _what(before.get(name), after.get(name))
        if what is not None:
            importing = tuple(use for use in uses if use.imports(name))
            found.append(PackageChange(name, what, before.get(name, ""), after.get(name, ""), importing))
    return found


def _what(before: str | None, after: str | None) -> What | None:
    if before is None:
        return "added"
    if after is None:
        return "removed"
    if not before:
        return "version unknown"
    return None if before == after else "changed"
