"""`memory="auto"` under Airflow's own task runner: out of memory in one run is where the next one begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.dags.conftest import Run


def memories(run: Run, task_id: str) -> list[str]:
    return [(task.limits or {})["memory"] for task in run.all(task_id)]


def said(run: Run, task_id: str, begin: str = "Memory is auto") -> list[str]:
    return [line for task, line in run.lines if task == task_id and line.startswith(begin)]


# One test: what ran before is in Airflow's database, which the processes that run tests side by side share.
def test_a_run_begins_where_the_one_before_got_through(run_dag: Callable[..., Run]) -> None:
    first, second = run_dag("learned"), run_dag("learned")
    unknown = "no run of it on this lock is known, so this is what the environment says"

    assert said(first, "grows") == [f"Memory is auto: 64Mi of at most 2Gi; {unknown}."]
    assert (memories(first, "grows"), first["grows"].max_memory) == (["128Mi"], "2Gi")
    begin = memories(second, "grows")[0]
    (told,) = said(second, "grows")
    assert told.startswith(f"Memory is auto: {begin} of at most 2Gi; ")
    assert unknown not in told
    assert said(second, "grows", "Out of memory") == []

    # Each mapped task learns its own.
    small, large = memories(second, "mapped")
    assert (large, small != large, memories(first, "mapped")[0]) == (begin, True, "64Mi")

    # A run that failed for want of memory is learned from too.
    assert said(first, "dies") == [f"Memory is auto: 512Mi of at most 600Mi; {unknown}."]
    why = "a run on this lock was out of memory at 600Mi, but its cap allows no more"
    assert said(second, "dies") == [f"Memory is auto: 600Mi of at most 600Mi; {why}."]
    assert (first["dies"].state, second["dies"].state) == ("failed", "failed")
