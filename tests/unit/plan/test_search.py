"""The search for the fewest groups, against brute force."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import example, given, settings
from hypothesis import strategies as st

from podenv.plan.search import Fits, Group, Partition, fewest, smallest


def oracle(clashes: list[Group], unknown: frozenset[Group] = frozenset()) -> Fits:
    """What fits where exactly the groups fail that hold one of ``clashes``."""

    def fits(group: Group) -> bool | None:
        if group in unknown:
            return None
        return not any(one <= group for one in clashes)

    return fits


def partitions(things: list[int]) -> Iterator[list[set[int]]]:
    if not things:
        yield []
        return
    first, *rest = things
    for rest_groups in partitions(rest):
        yield [{first}, *rest_groups]
        for at in range(len(rest_groups)):
            yield [group | {first} if at == place else group for place, group in enumerate(rest_groups)]


def brute_force(count: int, fits: Fits) -> int:
    made = (groups for groups in partitions(list(range(count))) if all(fits(frozenset(one)) for one in groups))
    return min(map(len, made))


def check_is_valid(found: Partition, count: int, fits: Fits) -> None:
    assert sorted(one for group in found.groups for one in group) == list(range(count))
    assert all(fits(frozenset(group)) for group in found.groups if len(group) > 1)


@st.composite
def cases(draw: st.DrawFn) -> tuple[int, list[Group]]:
    count = draw(st.integers(0, 7))
    if count < 2:
        return count, []
    groups = st.frozensets(st.integers(0, count - 1), min_size=2, max_size=4)
    return count, draw(st.lists(groups, max_size=14))


@settings(max_examples=150)
@given(cases())
@example((3, [frozenset({0, 1, 2})]))  # each two fit, all three do not
@example(
    (5, [frozenset(pair) for pair in ((0, 1), (1, 2), (2, 3), (3, 4), (4, 0))])
)  # no clique of three, and three groups
def test_the_number_is_that_of_brute_force_and_is_proven(case: tuple[int, list[Group]]) -> None:
    count, clashes = case
    fits = oracle(clashes)
    found = fewest(count, fits)
    check_is_valid(found, count, fits)
    assert len(found.groups) == brute_force(count, fits)
    assert found.is_proven
    assert not found.unsure


@settings(max_examples=80)
@given(cases(), st.data())
def test_without_all_answers_the_true_number_lies_between_the_bounds(
    case: tuple[int, list[Group]], data: st.DataObject
) -> None:
    count, clashes = case
    groups = st.frozensets(st.integers(0, max(count - 1, 0)), min_size=2)
    unknown = frozenset(data.draw(st.lists(groups, max_size=8))) if count > 1 else frozenset[Group]()
    found = fewest(count, oracle(clashes, unknown))
    check_is_valid(found, count, oracle(clashes))
    assert found.at_least <= brute_force(count, oracle(clashes)) <= len(found.groups)


@settings(max_examples=80)
@given(cases(), st.data())
def test_a_guess_of_who_is_to_blame_changes_no_result(case: tuple[int, list[Group]], data: st.DataObject) -> None:
    count, clashes = case
    guess = data.draw(st.sets(st.integers(0, max(count - 1, 0))))
    found = fewest(count, oracle(clashes), suspects=lambda group: guess)
    assert len(found.groups) == brute_force(count, oracle(clashes))


def test_what_is_known_is_not_asked_again() -> None:
    asked: list[Group] = []

    def fits(group: Group) -> bool:
        asked.append(group)
        return len(group & {0, 1, 2}) < 2

    found = fewest(12, fits)
    assert len(found.groups) == 3
    assert len(asked) == len(set(asked)) < 30


@given(st.integers(1, 8), st.data())
def test_the_smallest_part_that_clashes_clashes_and_loses_that_with_any_one_of_it(
    count: int, data: st.DataObject
) -> None:
    things = list(range(count))
    clash = data.draw(st.frozensets(st.sampled_from(things), min_size=1))
    suspects = data.draw(st.sets(st.sampled_from(things)))
    assert smallest(things, lambda part: clash <= part, suspects=suspects) == clash


def test_a_hundred_things_take_seconds_at_most_and_the_bounds_are_said() -> None:
    def fits(group: Group) -> bool:  # each number of a pair has its own enemies
        return not any((one * 7 + other * 3) % 11 == 0 for one in group for other in group if one < other)

    found = fewest(100, fits)
    assert 1 < found.at_least <= len(found.groups) < 30
