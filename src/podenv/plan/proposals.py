"""What would take the place of environments that can share: its packages, its tasks, and what that saves."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from podenv import lock, process
from podenv.catalogue.environment import Catalogue, Environment
from podenv.errors import LockError
from podenv.image.build import Images
from podenv.plan import demand as demands
from podenv.plan import differing, sizes
from podenv.plan.demand import Demand
from podenv.plan.judging import QUESTIONS_AT_ONCE, Judging
from podenv.plan.sizes import Layers, Saved
from podenv.plan.uses import Use


@dataclass(frozen=True)
class Change:
    """A package that an environment has in another version (or has not, where it is empty) than a proposal."""

    environment: str
    package: str
    before: str
    after: str


@dataclass(frozen=True)
class Proposal:
    """One environment that does for several, or for one alone.

    ``packages`` are what one lock of it holds, name -> version. ``uses`` are the tasks that it would run, all of which
    a later upgrade of it would touch. ``differing`` are the keys of the values that its members do not have alike.
    """

    name: str
    python: str
    environments: tuple[str, ...]
    uses: tuple[Use, ...]
    demand: Demand
    packages: dict[str, str]
    changes: tuple[Change, ...]
    differing: tuple[str, ...]
    wheel_bytes: int | None
    saved: Saved
    subject: Environment


@dataclass
class Proposing:
    catalogue: Catalogue
    judging: Judging
    images: Images | None

    def proposals(self, groups: Sequence[Sequence[int]]) -> list[Proposal]:
        names: list[str] = []
        for group in groups:
            wanted = _name([name for at in group for name in self.judging.members[at].environments])
            number = 1 + sum(one == wanted or one.rpartition("-")[0] == wanted for one in names)
            names.append(wanted if number == 1 else f"{wanted}-{number}")
        return process.side_by_side(
            lambda one: self._proposal(*one), zip(groups, names, strict=True), at_once=QUESTIONS_AT_ONCE
        )

    def _proposal(self, group: Sequence[int], name: str) -> Proposal:
        members = [self.judging.members[at] for at in group]
        subject, whole = members[0].subject, self.judging.together(frozenset(group))
        answer = self.judging.solutions.get(frozenset(group)) or self.judging.oracle.solve(subject, whole)
        environments = tuple(sorted({name for one in members for name in one.environments}))
        packages = versions(subject, answer.pins)
        wheel_bytes = self._wheels(subject, answer.pins, whole.from_source)
        return Proposal(
            name=name,
            python=subject.python,
            environments=environments,
            uses=tuple(use for one in members for use in one.uses),
            demand=whole,
            packages=packages,
            changes=tuple(change for one in environments for change in self._changes(one, packages)),
            differing=differing.keys([self.catalogue[one].values for one in environments]),
            wheel_bytes=wheel_bytes,
            saved=self._saved(environments, group, wheel_bytes),
            subject=subject,
        )

    def _saved(self, environments: Sequence[str], group: Sequence[int], after: int | None) -> Saved:
        """What goes: the images of ``environments`` that no other group needs, but for the one that is made."""
        others = {name for at, one in enumerate(self.judging.members) if at not in group for name in one.environments}
        parts = sorted(others & set(environments))
        if parts:
            return Saved(None, f"other tasks of {', '.join(parts)} need another one")
        if len(environments) < 2 and after is not None and not self._is_smaller(environments, group):
            return Saved(0, "it stays by itself")
        before = [self._wheels(self.catalogue[name], self._locked(name)) for name in environments]
        stored: list[Layers | None] = [None]
        if self.images is not None:
            stored = [sizes.layers(self.catalogue[name], self.images) for name in environments]
        return sizes.saved(before, after, stored)

    def _wheels(self, subject: Environment, pins: Sequence[str], from_source: Collection[str] = ()) -> int | None:
        """The bytes of the wheels of ``pins``; asked for once a day."""
        known = self.judging.oracle.memory(subject).sizes
        key = "\n".join([*sorted(pins), *sorted(from_source)])
        if key not in known and (found := sizes.wheels(subject, pins, from_source)) is not None:
            known[key] = found
        return known.get(key)

    def _is_smaller(self, environments: Sequence[str], group: Sequence[int]) -> bool:
        """True if less is asked for than the environment asks for."""
        asked = self.judging.together(frozenset(group))
        return asked.whole != demands.of(self.catalogue[environments[0]]).whole

    def _locked(self, name: str) -> list[str]:
        """What the environment's lock holds; what a lock of it would hold, where there is none."""
        try:
            return sorted(demands.locked(self.catalogue[name]).lines)
        except LockError:
            demand = demands.of(self.catalogue[name])
            return list(self.judging.oracle.ask(self.catalogue[name], demand).pins)

    def _changes(self, name: str, packages: dict[str, str]) -> list[Change]:
        environment = self.catalogue[name]
        try:
            markers = lock.on(environment.python, environment.spec.image.platform)
            locked = lock.pinned(environment, markers=markers)
        except LockError:
            return []
        return [
            Change(name, package, locked[package], packages.get(package, ""))
            for package in sorted(locked)
            if locked[package] != packages.get(package, "")
        ]


def versions(subject: Environment, pins: Sequence[str]) -> dict[str, str]:
    """Name -> version of what ``pins`` install in the image."""
    markers = lock.on(subject.python, subject.spec.image.platform)
    found = {}
    for one in map(Requirement, pins):
        if one.marker is None or one.marker.evaluate(dict(markers)):
            found[canonicalize_name(one.name)] = next((pin.version for pin in one.specifier), one.url or "")
    return dict(sorted(found.items()))


def _name(environments: Sequence[str]) -> str:
    """A name for what takes the place of several environments; at most 40 characters, as all names."""
    names = sorted(set(environments))
    joined = "-".join(names)
    return joined if len(joined) <= 36 else f"{names[0][:28].rstrip('-')}-and-{len(names) - 1}"
