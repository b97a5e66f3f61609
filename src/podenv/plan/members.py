"""The things that a plan groups: environments, or sets of tasks that need the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from podenv.catalogue.environment import Catalogue, Environment
from podenv.check import index
from podenv.errors import PodenvError
from podenv.lock import sources
from podenv.plan import demand as demands
from podenv.plan.demand import Demand
from podenv.plan.uses import Use, Uses

BUILT_ELSEWHERE = "its image is built elsewhere, and nothing here says what is in it."


@dataclass(frozen=True)
class NotJudged:
    """An environment that is left out of a plan, and why; ``failed`` is False where that is as it should be."""

    environment: str
    why: str
    failed: bool = True


@dataclass(frozen=True)
class Member:
    """What asks for one ``demand``: the ``environments`` of which it is part, and the tasks that run with it.

    ``subject`` is the first of the environments: what is not in the demand is taken from it.
    """

    subject: Environment
    demand: Demand
    environments: tuple[str, ...]
    uses: tuple[Use, ...]


def asks_for_nothing(environment: Environment) -> bool:
    """True if its image is built elsewhere, and nothing here says what is to be in it."""
    is_asked = environment.spec.source is not None or environment.requirements_in.exists()
    return environment.spec.image.external and not is_asked


def of_environments(catalogue: Catalogue, names: Sequence[str], uses: Uses) -> tuple[list[Member], list[NotJudged]]:
    """What each environment asks for; those that ask for the same are one member."""
    found: list[Member] = []
    wrong: list[NotJudged] = []
    for name in names:
        try:
            subject = catalogue[name]
            if asks_for_nothing(subject):
                wrong.append(NotJudged(name, BUILT_ELSEWHERE, failed=False))
                continue
            found.append(Member(subject, demands.of(subject), (name,), tuple(uses.of(name))))
        except PodenvError as error:
            wrong.append(NotJudged(name, str(error)))
    return _joined(found), wrong


def of_imports(catalogue: Catalogue, names: Sequence[str], uses: Uses) -> tuple[list[Member], list[NotJudged]]:
    """What the code of each task needs of what its environment asks for.

    A task whose imports are not known needs all of it. Nothing is asked for that no lock of the catalogue has.
    """
    whole, wrong = of_environments(catalogue, names, uses)
    alone = {name: member for member in whole for name in member.environments}
    found: list[Member] = []
    for name, member in alone.items():
        needed = _Needed.read(catalogue[name], member.demand)
        for use in uses.of(name):
            found.append(Member(catalogue[name], needed.by(use), (name,), (use,)))
    return _joined(found), wrong


@dataclass(frozen=True)
class _Needed:
    """Which lines of a demand the imports of a task call for."""

    demand: Demand
    lines: Mapping[str, frozenset[str]]
    kept: frozenset[str]
    requires: Mapping[str, tuple[str, ...]]

    @classmethod
    def read(cls, environment: Environment, demand: Demand) -> _Needed:
        lines: dict[str, frozenset[str]] = {}
        for line in demand.lines:
            lines[demands.name(line)] = lines.get(demands.name(line), frozenset()) | {line}
        modules = None
        if sources.kind(environment) in ("requirements.in", "pyproject.toml"):
            try:
                modules = index.modules(environment, sync=False)
            except PodenvError:
                modules = None
        if modules is None:
            return cls(demand, lines, frozenset(lines), {})
        # What others find by an entry point, or what has no module, no import names.
        imported = {name for names in modules.owners.values() for name in names}
        kept = frozenset(name for name in lines if name in modules.entry_points or name not in imported)
        return cls(demand, lines, kept, modules.requires)

    def by(self, use: Use) -> Demand:
        if use.packages is None:
            return self.demand
        chosen: set[str] = set()
        for package in use.packages:
            chosen |= self.lines.get(package, {package})
            # An extra, such as the pyarrow of pandas, is used by the package that names it.
            for other in self.requires.get(package, ()):
                chosen |= self.lines.get(other, frozenset())
        for name in self.kept:
            chosen |= self.lines[name]
        return Demand(frozenset(chosen), self.demand.limits, self.demand.from_source)


def _joined(members: Iterable[Member]) -> list[Member]:
    """Members that ask for the same on the same basis become one."""
    found: dict[tuple[object, Demand], Member] = {}
    for one in members:
        key = (demands.basis(one.subject), one.demand)
        first = found.get(key)
        if first is not None:
            names = tuple(dict.fromkeys([*first.environments, *one.environments]))
            one = Member(first.subject, first.demand, names, first.uses + one.uses)
        found[key] = one
    return list(found.values())
