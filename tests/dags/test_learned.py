"""`memory="auto"` under Airflow's own task runner: out of memory in one run is where the next one begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.dags.conftest import Run


@pytest.fixture(scope="module")
def runs(run_dag: Callable[..., Run]) -> list[Run]:
    return [run_dag("learned"), run_dag("learned")]


def memories(run: Run, task_id: str) -> list[str]:
    return [(task.limits or {})["memory"] for task in run.all(task_id)]


def said(run: Run, task_id: str) -> list[str]:
    return [line for task, line in run.lines if task == task_id and line.startswith("Memory is auto")]


UNKNOWN = "no run of it on this lock is known, so this is what the environment says"


def test_the_first_run_begins_with_the_environments_figure_and_grows(runs: list[Run]) -> None:
    assert said(runs[0], "grows") == [f"Memory is auto: 64Mi of at most 2Gi; {UNKNOWN}."]
    assert memories(runs[0], "grows") == ["128Mi"]
    assert runs[0]["grows"].max_memory == "2Gi"


def test_the_next_run_begins_higher_and_does_not_grow(runs: list[Run]) -> None:
    (told,) = said(runs[1], "grows")
    begin = memories(runs[1], "grows")[0]
    assert told.startswith(f"Memory is auto: {begin} of at most 2Gi; ")
    assert UNKNOWN not in told
    assert not any(line.startswith("Out of memory") for task, line in runs[1].lines if task == "grows")


def test_each_mapped_task_learns_its_own(runs: list[Run]) -> None:
    assert memories(runs[0], "mapped")[0] == "64Mi"
    small, large = memories(runs[1], "mapped")
    assert large == memories(runs[1], "grows")[0]
    assert small != large


def test_a_run_that_failed_for_want_of_memory_is_learned_from_too(runs: list[Run]) -> None:
    assert said(runs[0], "dies") == [f"Memory is auto: 512Mi of at most 600Mi; {UNKNOWN}."]
    assert [run["dies"].state for run in runs] == ["failed", "failed"]
    why = "a run on this lock was out of memory at 600Mi, but its cap allows no more"
    assert said(runs[1], "dies") == [f"Memory is auto: 600Mi of at most 600Mi; {why}."]
