"""Runs of tasks become what each task used; what cannot be true, or is of another lock, is left out."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from podenv.usage.runs import Run, Sizes, Spread, TaskSizes, same_lock

MIB = 2**20
LOCK, OTHER = "a" * 64, "b" * 64


def run(task: str = "clean", *, lock: str = LOCK, peak: float = 100, seconds: Any = 10.0, **more: Any) -> Run:
    usage = {
        "environment": "etl",
        "lock": lock,
        "state": "success",
        "started": "2026-11-20T12:00:00+00:00",
        "seconds": seconds,
        "peak_memory_bytes": int(peak * MIB),
        "memory_limit_bytes": 512 * MIB,
        "cpu_seconds": 4.0,
        "cpu_limit_cores": 1.0,
        **more,
    }
    found = Run.of("dag", task, usage)
    assert found is not None
    return found


def sizes(*runs: Run, lock: str | None = LOCK) -> TaskSizes:
    found = Sizes(lambda _: lock)
    found.add(runs)
    (task,) = found.tasks()
    return task


def test_a_task_has_the_spread_of_its_runs_and_a_proposal() -> None:
    task = sizes(*(run(peak=peak) for peak in (100, 110, 120, 130)))
    assert (task.dag, task.task, task.environment, task.runs) == ("dag", "clean", "etl", 4)
    assert task.memory == Spread(110 * MIB, 130 * MIB, 130 * MIB)
    assert task.cpu == Spread(0.4, 0.4, 0.4)
    assert task.seconds == Spread(10, 10, 10)
    assert (task.proposed_memory, task.proposed_cpu) == ("176Mi", "500m")
    assert (task.proposed_memory_bytes, task.proposed_cpu_cores) == (176 * MIB, 0.5)


def test_what_was_reserved_and_not_used_is_wasted() -> None:
    task = sizes(*(run(peak=256, seconds=3600.0, memory_request_bytes=1280 * MIB) for _ in range(2)))
    assert task.wasted_gib_hours == 2.0
    assert sizes(run(peak=600, seconds=3600.0)).wasted_gib_hours == 0  # above its request


def test_runs_on_another_lock_do_not_count() -> None:
    task = sizes(*(run(peak=100) for _ in range(3)), *(run(peak=400, lock=OTHER) for _ in range(5)))
    assert (task.runs, task.other_lock) == (3, 5)
    assert task.memory == Spread(100 * MIB, 100 * MIB, 100 * MIB)


def test_a_lock_that_has_not_run_has_no_proposal_and_says_why() -> None:
    task = sizes(*(run(lock=OTHER) for _ in range(5)))
    assert (task.runs, task.other_lock, task.proposed_memory, task.memory_limit) == (0, 5, None, 512 * MIB)
    assert task.why == "only 0 of 5 runs were on the lock in force, 3 are needed"


def test_where_the_lock_in_force_is_not_known_the_newest_runs_counts() -> None:
    old = [run(lock=OTHER, started="2026-11-01T00:00:00+00:00") for _ in range(9)]
    task = sizes(*old, *(run(started="2026-11-21T00:00:00+00:00") for _ in range(3)), lock=None)
    assert (task.lock, task.runs, task.other_lock) == (LOCK, 3, 9)


def test_a_shortened_hash_is_of_the_same_lock() -> None:
    assert same_lock(LOCK[:16], LOCK)
    assert not same_lock(LOCK, OTHER)
    assert not same_lock(None, LOCK)
    assert not same_lock("", LOCK)


def test_fewer_than_three_runs_are_no_ground_for_a_proposal() -> None:
    task = sizes(run(), run())
    assert (task.proposed_memory, task.proposed_cpu, task.why) == (None, None, "2 of the 3 runs that are needed")


@pytest.mark.parametrize("seconds", [-3.0, 5e8, float("nan"), float("inf"), "soon", True])
def test_times_that_cannot_be_right_are_left_out_and_the_memory_counts(seconds: Any) -> None:
    task = sizes(*(run(seconds=seconds, peak=100) for _ in range(3)))
    assert (task.odd, task.seconds, task.cpu, task.wasted_gib_hours) == (3, None, None, 0)
    assert task.memory == Spread(100 * MIB, 100 * MIB, 100 * MIB)
    assert (task.proposed_memory, task.proposed_cpu) == ("128Mi", None)


def test_a_run_that_was_killed_counts_with_more_than_its_limit() -> None:
    killed = run(peak=512, state="failed", out_of_memory_kills=1)
    task = sizes(run(), run(), killed)
    assert (task.kills, task.proposed_memory) == (1, "640Mi")


def test_growths_are_counted() -> None:
    assert sizes(run(growths=2, out_of_memory_kills=2), run()).growths == 2


def test_a_throttled_run_keeps_its_limit_of_cpu() -> None:
    task = sizes(*(run(throttled_seconds=1.0, cpu_limit_cores=2.0) for _ in range(3)))
    assert task.proposed_cpu == "2"


def test_a_record_without_figures_is_a_run_of_which_nothing_is_known() -> None:
    bare = [Run.of("dag", "clean", {"environment": "etl", "lock": LOCK}) for _ in range(3)]
    task = sizes(*(one for one in bare if one))
    assert (task.runs, task.memory, task.cpu, task.why) == (3, None, None, "no run was measured")


@pytest.mark.parametrize("usage", [{}, {"environment": None}, {"environment": 3}, {"environment": ""}])
def test_a_record_without_an_environment_is_no_run(usage: dict[str, Any]) -> None:
    assert Run.of("dag", "clean", usage) is None


@pytest.mark.parametrize("started", [None, "yesterday", 1e300, "2026-11-20", 1763640000])
def test_any_beginning_is_taken(started: Any) -> None:
    assert sizes(run(started=started)).runs == 1


def test_a_hundred_thousand_runs_take_a_few_megabytes() -> None:
    found = Sizes()
    tracemalloc.start()
    try:
        found.add(run(f"task{number % 50}", peak=100 + number % 7) for number in range(100_000))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.runs == 100_000
    assert held < 5e6
