"""The fewest environments that satisfy all that is asked for; nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

from podenv.catalogue.environment import Catalogue
from podenv.image.build import Images
from podenv.plan import clashes
from podenv.plan import demand as demands
from podenv.plan.clashes import Clash
from podenv.plan.demand import Demand
from podenv.plan.judging import Judging
from podenv.plan.members import Member, NotJudged
from podenv.plan.oracle import Oracle
from podenv.plan.proposals import Proposal, Proposing
from podenv.plan.search import Partition

Say = Callable[[str], None]
_MOST_EXPLAINED = 20  # clashes whose smallest set of requirements is looked for


@dataclass(frozen=True)
class Plan:
    """``proposals`` for all that could be judged; there can be no fewer than ``at_least``.

    ``apart`` are the pairs of environments that only their Python keeps apart.
    """

    proposals: tuple[Proposal, ...]
    at_least: int
    clashes: tuple[Clash, ...]
    apart: tuple[tuple[str, str], ...]
    not_judged: tuple[NotJudged, ...]
    notes: tuple[str, ...] = ()
    asked: int = 0

    @property
    def is_proven(self) -> bool:
        """True if there can be no fewer."""
        return self.at_least == len(self.proposals)


def plan(
    catalogue: Catalogue,
    members: Sequence[Member],
    oracle: Oracle,
    *,
    images: Images | None = None,
    say: Say = lambda _: None,
) -> Plan:
    """Group ``members`` into the fewest environments. ``images``: ask registries how large theirs are.

    Raises `ProgramNotFound`.
    """
    judging = Judging(members, oracle, say)
    try:
        judging.ask_each_alone()
        partition = judging.partition()
        say("sizes")
        proposals = Proposing(catalogue, judging, images).proposals(partition.groups)
        say("why the others cannot share")
        found, apart = _reasons(judging, partition)
    finally:
        oracle.save()
    return Plan(
        tuple(proposals), partition.at_least, tuple(found), tuple(apart), tuple(judging.not_judged),
        (*judging.notes(partition), *_left_out(judging, partition)), oracle.asked,
    )  # fmt: skip


def _clashing(judging: Judging, partition: Partition) -> list[list[Member]]:
    """The members of each clash of versions, the smallest first."""
    smallest_first = sorted(partition.clashes, key=lambda one: (len(one), sorted(one)))
    found = [[judging.members[at] for at in sorted(clash)] for clash in smallest_first]
    return [one for one in found if len({demands.basis(member.subject) for member in one}) == 1]


def _left_out(judging: Judging, partition: Partition) -> list[str]:
    """What to say of clashes that are too many to be explained all."""
    more = len(_clashing(judging, partition)) - _MOST_EXPLAINED
    hint = "name two environments (`podenv plan ONE OTHER`) to see what keeps them apart."
    return [f"{more} more clashes are not explained; {hint}"] if more > 0 else []


def _reasons(judging: Judging, partition: Partition) -> tuple[list[Clash], list[tuple[str, str]]]:
    """Why the groups cannot be one, and the pairs that only their Python keeps apart."""
    found = clashes.of_settings(judging.members)
    grouped = [[judging.members[at] for at in group] for group in partition.groups]
    for members in _clashing(judging, partition)[:_MOST_EXPLAINED]:
        if clash := clashes.of_versions(members, judging.oracle):
            found.append(clash)
    apart = []
    for one, other in list(combinations(grouped, 2))[:_MOST_EXPLAINED]:
        if _differ_by_python(one[0], other[0]):
            why = _on_one_python([*one, *other], judging.oracle)
            if why is None:
                apart.append((_label(one), _label(other)))
            elif isinstance(why, Clash):
                found.append(why)
    unique = {(clash.why, clash.sides): clash for clash in found}
    return list(unique.values()), apart


def _differ_by_python(one: Member, other: Member) -> bool:
    first, second = demands.basis(one.subject), demands.basis(other.subject)
    return first[0] != second[0] and first[1:] == second[1:]


def _on_one_python(members: Sequence[Member], oracle: Oracle) -> Clash | str | None:
    """The clash of their versions, whatever their Python; None where they fit on one; a text where uv cannot say."""
    subjects = {member.subject.python: member.subject for member in members}
    newest = sorted(subjects, key=lambda one: int(one.partition(".")[2]), reverse=True)
    whole = Demand()
    for member in members:
        whole |= member.demand
    answers = [oracle.ask(subjects[one], whole) for one in newest]
    if any(answer.verdict == "fits" for answer in answers):
        return None
    if any(answer.verdict == "unknown" for answer in answers):
        return "unknown"
    found = [clashes.of_versions(members, oracle, subject=subjects[one]) for one in newest]
    # One alone may be too old for the other's Python; where both can be had and clash, that says more.
    return max(filter(None, found), key=lambda clash: len(clash.sides), default="unknown")


def _label(members: Sequence[Member]) -> str:
    return ", ".join(sorted({name for one in members for name in one.environments}))
