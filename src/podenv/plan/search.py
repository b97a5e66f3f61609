"""The fewest groups of things that can share, where only an oracle knows which groups can. Pure.

What fits stays fitting when something is left out, so two kinds of answers are kept: groups that fit, and the smallest
ones that do not (``clashes``). Pairs are not enough: three can clash of which every two fit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

Group = frozenset[int]
Fits = Callable[[Group], bool | None]
Suspects = Callable[[Group], Collection[int]]
_FIRST_FIT_ROUNDS = 4  # each in the order that the one before has taught
_MOST_STEPS = 20_000  # of the exact search, and of the search for a clique
_MOST_QUESTIONS = 400  # questions to the oracle that the exact search may ask
_MOST_THINGS = 300  # of more, no exact search: it goes one call deeper for each


@dataclass(frozen=True)
class Partition:
    """``groups`` in which all things are; fewer than ``at_least`` are not possible.

    ``clashes`` are the smallest groups that were found not to fit. ``unsure``: the oracle could not answer everything.
    """

    groups: tuple[tuple[int, ...], ...]
    at_least: int
    clashes: tuple[Group, ...]
    unsure: bool

    @property
    def is_proven(self) -> bool:
        """True if there can be no fewer groups."""
        return self.at_least == len(self.groups)


def fewest(count: int, fits: Fits, *, suspects: Suspects = lambda group: ()) -> Partition:
    """Group the things 0 ... ``count - 1``, each of which fits by itself.

    ``fits`` answers None where it does not know: then the group is not made, and nothing is concluded from it.
    ``suspects`` guesses which of a group that does not fit are to blame; a good guess saves questions.
    """
    search = _Search(count, fits, suspects)
    best = search.first_fit(range(count))
    for _ in range(_FIRST_FIT_ROUNDS):
        if len(best) <= search.at_least():
            break
        again = search.first_fit(search.most_clashing())
        best = again if len(again) < len(best) else best
    at_least = search.at_least()
    if len(best) > at_least and count <= _MOST_THINGS:
        exact = search.exactly(len(best))
        best = exact.groups or best
        at_least = len(best) if exact.is_complete and not search.unsure else search.at_least()
    groups = tuple(sorted(tuple(sorted(group)) for group in best))
    return Partition(groups, at_least, tuple(search.clashes), search.unsure)


def smallest(things: Sequence[int], clashes: Callable[[Group], bool], *, suspects: Collection[int] = ()) -> Group:
    """A smallest part of ``things`` that still clashes: without any one of it, the rest does not."""
    left = list(dict.fromkeys(things))
    guess = [one for one in left if one in set(suspects)]
    if guess and len(guess) < len(left) and clashes(frozenset(guess)):
        left = guess
    for one in sorted(left, key=lambda one: one in set(suspects)):
        without = [other for other in left if other != one]
        if without and clashes(frozenset(without)):
            left = without
    return frozenset(left)


@dataclass
class _Exact:
    groups: list[set[int]] | None = None
    is_complete: bool = True


@dataclass
class _Search:
    count: int
    oracle: Fits
    suspects: Suspects
    fitting: list[Group] = field(default_factory=list)
    clashes: list[Group] = field(default_factory=list)
    unsure: bool = False
    asked: int = 0
    _open: set[Group] = field(default_factory=set)

    def fits(self, group: Group) -> bool:
        """The answer by what is known, else by the oracle; a refusal is shrunk to its smallest part."""
        answer = self.ask(group)
        if answer is False and not any(one <= group for one in self.clashes):
            self.clashes.append(
                smallest(sorted(group), lambda part: self.ask(part) is False, suspects=self.suspects(group))
            )
        return answer is True

    def ask(self, group: Group) -> bool | None:
        if len(group) < 2 or any(group <= one for one in self.fitting):
            return True
        if any(one <= group for one in self.clashes):
            return False
        if group in self._open:
            return None
        self.asked += 1
        answer = self.oracle(group)
        if answer is None:
            self.unsure = True
            self._open.add(group)
        elif answer:
            self.fitting = [one for one in self.fitting if not one <= group] + [group]
        return answer

    def first_fit(self, order: Iterable[int]) -> list[set[int]]:
        groups: list[set[int]] = []
        for one in order:
            home = next((group for group in groups if self.fits(frozenset({*group, one}))), None)
            if home is None:
                groups.append({one})
            else:
                home.add(one)
        return groups

    def most_clashing(self) -> list[int]:
        degree = [sum(one in clash for clash in self.clashes) for one in range(self.count)]
        return sorted(range(self.count), key=lambda one: (-degree[one], one))

    def at_least(self) -> int:
        """The size of the largest clique that was found: things of which every two clash need a group each."""
        if not self.count:
            return 0
        foes: dict[int, set[int]] = {one: set() for one in range(self.count)}
        for clash in self.clashes:
            if len(clash) == 2:
                one, other = clash
                foes[one].add(other)
                foes[other].add(one)
        return _largest_clique(foes)

    def exactly(self, fewer_than: int) -> _Exact:
        """All ways to make fewer groups than ``fewer_than``, as far as the limits allow."""
        order, result = self.most_clashing(), _Exact()
        best, steps, last = fewer_than, 0, self.asked + _MOST_QUESTIONS

        def place(at: int, groups: list[set[int]]) -> None:
            nonlocal best, steps
            steps += 1
            if steps > _MOST_STEPS or self.asked > last:
                result.is_complete = False
            if not result.is_complete or len(groups) >= best:
                return
            if at == len(order):
                best, result.groups = len(groups), [set(group) for group in groups]
                return
            one = order[at]
            for group in groups:
                if self.fits(frozenset({*group, one})):
                    group.add(one)
                    place(at + 1, groups)
                    group.discard(one)
            if len(groups) + 1 < best:
                place(at + 1, [*groups, {one}])

        place(0, [])
        return result


def _largest_clique(foes: dict[int, set[int]]) -> int:
    """The size of the largest clique; of one that is large where there are too many to look at all."""
    largest, steps = 1, 0

    def grow(size: int, candidates: set[int]) -> None:
        nonlocal largest, steps
        largest = max(largest, size)
        steps += 1
        for one in sorted(candidates, key=lambda one: -len(foes[one] & candidates)):
            if steps > _MOST_STEPS or size + len(candidates) <= largest:
                return
            grow(size + 1, candidates & foes[one])
            candidates = candidates - {one}

    grow(0, set(foes))
    return largest
