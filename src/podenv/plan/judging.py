"""Which members can share a lock, by what uv says: from its cache first, from the index about what decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from podenv import process
from podenv.catalogue.environment import Environment
from podenv.plan import demand as demands
from podenv.plan.demand import Demand
from podenv.plan.members import Member, NotJudged
from podenv.plan.memory import Answer
from podenv.plan.oracle import Oracle, conclusion, suspects
from podenv.plan.search import Group, Partition, fewest

QUESTIONS_AT_ONCE = 4  # to uv, which itself uses all cores
_SEARCH_ROUNDS = 3  # where the index contradicts what uv's cache had answered
_MOST_CONFIRMED = 20  # clashes that the index is asked about again


@dataclass
class Judging:
    """Which members can share, by what uv says."""

    given: Sequence[Member]
    oracle: Oracle
    say: Callable[[str], None]
    members: list[Member] = field(default_factory=list)
    not_judged: list[NotJudged] = field(default_factory=list)
    solutions: dict[Group, Answer] = field(default_factory=dict)

    def ask_each_alone(self) -> None:
        """Leave out what no lock can satisfy by itself; this also brings uv's cache of the index up to date."""
        self.say("each by itself")
        answers = process.side_by_side(self._alone, self.given, at_once=QUESTIONS_AT_ONCE)
        for member, answer in zip(self.given, answers, strict=True):
            if answer.verdict == "fits":
                self.solutions[frozenset([len(self.members)])] = answer
                self.members.append(member)
                continue
            self.not_judged += [NotJudged(name, self._why_not(answer)) for name in member.environments]

    def _alone(self, member: Member) -> Answer:
        answer = self.oracle.ask(member.subject, member.demand, online=True)
        if answer.verdict == "unknown":  # without a network uv's cache may still know
            answer = self.oracle.ask(member.subject, member.demand)
        return answer

    def _why_not(self, answer: Answer) -> str:
        if answer.verdict == "clashes":
            return f"no set of versions satisfies it. uv says: {conclusion(answer.words)}"
        if self.oracle.unreachable:
            return (
                "the package index cannot be reached, and uv's cache does not have all that it needs; connect, and try "
                "again."
            )
        return f"uv cannot say. It says: {conclusion(answer.words)}"

    def together(self, group: Group) -> Demand:
        """What all of a group ask for."""
        found = Demand()
        for at in sorted(group):
            found |= self.members[at].demand
        return found

    def fits(self, group: Group) -> bool | None:
        """True if one lock satisfies the group, None where that is not known."""
        if len({demands.basis(self.members[at].subject) for at in group}) > 1:
            return False
        subject, whole = self.members[min(group)].subject, self.together(group)
        answer = self._free(group, subject, whole) or self.oracle.ask(subject, whole)
        self.say(f"{self.oracle.asked} questions to uv")
        if answer.verdict == "fits" and answer.pins:
            self.solutions[group] = answer
        return None if answer.verdict == "unknown" else answer.verdict == "fits"

    def _free(self, group: Group, subject: Environment, whole: Demand) -> Answer | None:
        """The answer where the locks of two parts of the group agree already."""
        for at in group:
            one, rest = frozenset([at]), group - {at}
            if one in self.solutions and rest in self.solutions:
                parts = [(self.together(part), self.solutions[part]) for part in (one, rest)]
                if found := self.oracle.follows(subject, whole, parts):
                    return found
        return None

    def suspects(self, group: Group) -> list[int]:
        """The members of a group whose packages uv names where it says why they clash."""
        answer = self.oracle.memory(self.members[min(group)].subject).find(self.together(group))
        if answer is None:
            return []
        return [at for at in group if suspects(answer.words, sorted(self.members[at].demand.whole))]

    def partition(self) -> Partition:
        """The fewest groups, confirmed by the index itself where it can be reached."""
        for _ in range(_SEARCH_ROUNDS):
            found = fewest(len(self.members), self.fits, suspects=self.suspects)
            if self._is_confirmed(found):
                break
        return found

    def _is_confirmed(self, found: Partition) -> bool:
        """False where the index says otherwise than uv's cache did, of what decides."""
        shared = [frozenset(group) for group in found.groups if len(group) > 1]
        apart = [one for one in found.clashes if len({demands.basis(self.members[at].subject) for at in one}) == 1]
        questions = [*((group, True) for group in shared), *((group, False) for group in apart[:_MOST_CONFIRMED])]
        self.say("the index about what decides")

        def ask(question: tuple[Group, bool]) -> bool:
            group, expected = question
            answer = self.oracle.ask(self.members[min(group)].subject, self.together(group), online=True)
            if answer.verdict == "fits":
                self.solutions[group] = answer
            return answer.verdict == "unknown" or (answer.verdict == "fits") == expected

        return all(process.side_by_side(ask, questions, at_once=QUESTIONS_AT_ONCE))

    def notes(self, found: Partition) -> list[str]:
        notes = []
        if self.oracle.unreachable:
            notes.append(
                "The package index cannot be reached: the answers are those of uv's cache, and newer releases are not "
                "known."
            )
        if found.unsure:
            notes.append("uv could not say of some groups whether they can share; fewer may do than are proposed.")
        return notes
