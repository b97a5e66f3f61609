"""With how much memory a task begins that is auto."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podenv.catalogue.automemory import AutoMemory
from podenv.usage import learning

MIB = 2**20
LOCK, OTHER = "a" * 64, "b" * 64
AUTO = AutoMemory(first=256 * MIB, cap=2048 * MIB)


def runs(*figures: dict[str, int], lock: str = LOCK) -> learning.History:
    kept: learning.History = []
    for figure in figures:
        kept = learning.remember(kept, lock, **figure)
    return kept


def begin(kept: learning.History, auto: AutoMemory = AUTO, **more: Any) -> tuple[int, str]:
    figure = learning.begin(auto, kept, LOCK, **more)
    return figure.memory // MIB, figure.why


def test_without_history_it_begins_with_what_the_environment_says() -> None:
    assert begin([]) == (256, "no run of it on this lock is known, so this is what the environment says")


def test_it_begins_with_what_its_runs_held_and_a_quarter() -> None:
    assert begin(runs({"used": 400 * MIB})) == (
        512,
        "the last run on this lock held 400 MiB at most, and a quarter is added",
    )
    many = runs(*({"used": size * MIB} for size in (100, 110, 120)))
    assert begin(many) == (160, "95 % of the last 3 runs on this lock held 120 MiB at most, and a quarter is added")


def test_a_run_on_another_lock_does_not_count() -> None:
    assert begin(runs({"used": 900 * MIB}, lock=OTHER)) == (
        256,
        "no run of it on this lock is known (1 on other locks), so this is what the environment says",
    )


def test_out_of_memory_begins_higher_the_next_time() -> None:
    assert begin(runs({"killed_at": 512 * MIB})) == (640, "a run on this lock was out of memory at 512Mi")
    # Also where it is one of many: the 95th percentile alone would not see it.
    many = runs({"killed_at": 512 * MIB}, *({"used": 100 * MIB} for _ in range(19)))
    assert begin(many)[0] == 640


def test_a_limit_that_was_enough_is_kept_as_it_is() -> None:
    assert begin(runs({"enough": 512 * MIB})) == (512, "a run on this lock got through with 512Mi")


def test_it_is_never_above_its_cap_nor_above_what_the_namespace_allows() -> None:
    kept = runs({"killed_at": 2048 * MIB})
    assert begin(kept) == (2048, "a run on this lock was out of memory at 2Gi, but its cap allows no more")
    bounded = AutoMemory(first=256 * MIB, cap=1024 * MIB, is_bounded=True)
    assert begin(kept, bounded) == (
        1024,
        "a run on this lock was out of memory at 2Gi, but its namespace allows no more",
    )


def test_it_is_never_below_what_its_imports_take() -> None:
    assert begin(runs({"used": 60 * MIB}), imports=200 * MIB) == (256, "its imports alone take 200 MiB")


def test_only_the_last_runs_are_kept() -> None:
    kept = runs(*({"used": size * MIB} for size in range(1, 60)))
    assert len(kept) == learning.KEPT_RUNS
    assert kept[-1] == {"lock": LOCK[:16], "used": 59 * MIB}


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["lock", "used", "killed_at", "x"]), inner),
)


@given(json)
def test_whatever_others_write_in_its_place_is_no_history(kept: Any) -> None:
    found = learning.history(kept)
    figure = learning.begin(AUTO, found, LOCK)
    assert 0 < figure.memory <= 2048 * MIB


@given(st.lists(st.tuples(st.sampled_from(["used", "enough", "killed_at"]), st.integers(1, 2**45)), max_size=40))
def test_a_history_can_be_written_and_read_and_is_never_beyond_the_cap(figures: list[tuple[str, int]]) -> None:
    kept = runs(*({name: size} for name, size in figures))
    assert learning.history(kept) == kept
    assert learning.begin(AUTO, kept, LOCK).memory <= 2048 * MIB


@pytest.mark.parametrize("size", [0, -5, True, 2**60, 1.5, "512Mi", None])
def test_a_size_that_cannot_be_is_left_out(size: Any) -> None:
    assert learning.history([{"lock": LOCK, "used": size}]) == []
