"""What a version of a package would reach: the environments that hold it, their tasks, and the locks that it breaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from podenv import lock, process
from podenv.catalogue.environment import Catalogue, Environment
from podenv.errors import LockError, LockStale, PodenvError
from podenv.lock import lockfile
from podenv.plan import clashes, held
from podenv.plan import demand as demands
from podenv.plan.clashes import Clash
from podenv.plan.demand import Demand
from podenv.plan.judging import QUESTIONS_AT_ONCE
from podenv.plan.members import BUILT_ELSEWHERE, Member, NotJudged, asks_for_nothing
from podenv.plan.oracle import Oracle, conclusion
from podenv.plan.proposals import Change, versions
from podenv.plan.uses import Use, Uses

State = Literal["has it", "possible", "breaks", "not available", "unknown"]
ASKED = "the upgrade"


@dataclass(frozen=True)
class Reach:
    """What the version means for one environment that holds the package in version ``before``.

    ``changes`` are all packages that its lock would then have in another version; ``clash`` and ``words`` (uv's) say
    why there is no such lock. ``importing`` are the tasks among ``uses`` whose code imports the package itself.
    """

    environment: str
    state: State
    before: str
    changes: tuple[Change, ...]
    clash: Clash | None
    words: str
    uses: tuple[Use, ...]
    importing: tuple[Use, ...]


@dataclass(frozen=True)
class Upgrade:
    """``reached`` hold the package; ``untouched`` do not."""

    requirement: str
    reached: tuple[Reach, ...]
    untouched: tuple[str, ...]
    not_judged: tuple[NotJudged, ...]
    notes: tuple[str, ...] = ()

    @property
    def breaks(self) -> bool:
        """True if some lock cannot have the version."""
        return any(one.state in ("breaks", "not available") for one in self.reached)


def upgrade(catalogue: Catalogue, names: Sequence[str], wanted: Requirement, uses: Uses, oracle: Oracle) -> Upgrade:
    """What ``wanted``, like ``numpy==2.4``, would mean for the environments ``names``. Raises `ProgramNotFound`."""
    package = canonicalize_name(wanted.name)
    holding: list[tuple[Environment, str]] = []
    untouched: list[str] = []
    wrong: list[NotJudged] = []
    notes: list[str] = []
    for name in names:
        try:
            environment = catalogue[name]
            if asks_for_nothing(environment):
                wrong.append(NotJudged(name, BUILT_ELSEWHERE, failed=False))
                continue
            demands.of(environment)
            version = held.versions(environment).get(package)
            notes += _stale(environment)
        except PodenvError as error:
            wrong.append(NotJudged(name, str(error)))
            continue
        if version is None:
            untouched.append(name)
        else:
            holding.append((environment, version))
    reached = process.side_by_side(lambda pair: _reach(*pair, wanted, uses, oracle), holding, at_once=QUESTIONS_AT_ONCE)
    return Upgrade(str(wanted), tuple(reached), tuple(untouched), tuple(wrong), tuple(notes))


def _stale(environment: Environment) -> list[str]:
    try:
        lock.check(environment)
    except LockStale as error:
        return [str(error)]
    return []


def _reach(environment: Environment, before: str, wanted: Requirement, uses: Uses, oracle: Oracle) -> Reach:
    package = canonicalize_name(wanted.name)
    own = tuple(uses.of(environment.name))
    importing = tuple(one for one in own if one.imports(package))

    def found(state: State, changes: tuple[Change, ...] = (), clash: Clash | None = None, words: str = "") -> Reach:
        return Reach(environment.name, state, before, changes, clash, words, own, importing)

    if "://" not in before and wanted.specifier.contains(before, prereleases=True):
        return found("has it")
    asked = Demand(frozenset([str(wanted)]))
    demand = demands.of(environment)
    answer = oracle.solve(environment, demand | asked, prefer=lockfile.read(environment))
    if answer.verdict == "fits":
        return found("possible", _changes(environment, versions(environment, answer.pins)))
    if answer.verdict == "unknown":
        return found("unknown", words=conclusion(answer.words))
    members = [Member(environment, demand, (environment.name,), own), Member(environment, asked, (ASKED,), ())]
    clash = clashes.of_versions(members, oracle)
    alone = clash is not None and {name for side in clash.sides for name in side.environments} == {ASKED}
    words = clash.words if clash is not None else conclusion(answer.words)
    return found("not available" if alone else "breaks", clash=clash, words=words)


def _changes(environment: Environment, after: dict[str, str]) -> tuple[Change, ...]:
    try:
        before = held.versions(environment)
    except LockError:
        before = {}
    return tuple(
        Change(environment.name, name, before.get(name, ""), after.get(name, ""))
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    )
