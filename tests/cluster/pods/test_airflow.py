"""Whole DAGs under Airflow's own task runner, on the cluster."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from tests.cluster.pods.conftest import NAME, PROJECT

from podenv.catalogue import quantity
from podenv.dagrun import folder as dagfolder
from podenv.dagrun import run as dagrun

if TYPE_CHECKING:
    from tests.cluster.pods.conftest import Cluster

    from podenv.dagrun.results import RunResult, TaskResult


class Run:
    """A run of a DAG, and what its tasks printed."""

    def __init__(self, dag_id: str, on_line: Callable[[str], object] = lambda line: None) -> None:
        self.lines: list[tuple[str, str]] = []

        def keep(task: str, line: str) -> None:
            self.lines.append((task, line))
            on_line(line)

        dags = dagfolder.read(PROJECT / "dags")
        self.result: RunResult = dagrun.run(dags, dag_id, backend="kubernetes", on_line=keep)

    def __getitem__(self, task_id: str) -> TaskResult:
        (found,) = (task for task in self.result.tasks if task.task_id == task_id)
        return found

    def log(self, task_id: str) -> list[str]:
        return [line for task, line in self.lines if task == task_id]


@pytest.fixture(scope="module")
def real(cluster: Cluster) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("airflow.settings.DAGS_FOLDER", str(PROJECT / "dags"))
        yield Run("real")


@pytest.fixture(scope="module")
def deferred(cluster: Cluster) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("airflow.settings.DAGS_FOLDER", str(PROJECT / "dags"))
        yield Run("deferred")


def test_values_travel_from_pod_to_pod(real: Run) -> None:
    assert real["produce"].value == [1, 2, 3]
    doubled = sorted((task.map_index, task.value) for task in real.result.tasks if task.task_id == "double")
    assert doubled == [(0, 2), (1, 4), (2, 6)]


def test_a_result_names_what_ran_not_what_the_catalogue_says(real: Run, deferred: Run, cluster: Cluster) -> None:
    template = cluster.core.read_namespaced_pod_template(NAME, cluster.namespace).template
    deployed = template.spec.containers[0].resources.limits
    assert (real["produce"].python, real["produce"].lock, real["produce"].limits) == ("3.13", "f" * 64, deployed)
    grown = (deferred["grows"].limits or {})["memory"]
    assert quantity.to_bytes(grown) > 150_000_000


def test_a_function_that_raised_is_retried(real: Run) -> None:
    assert (real["second_try"].state, real["second_try"].value) == ("success", 2)


def test_what_no_retry_can_mend_is_tried_once(real: Run) -> None:
    assert real["no_json"].state == "failed"
    assert sum(line.startswith("Environment 'plain'") for line in real.log("no_json")) == 1


def test_a_task_that_runs_too_long_fails_and_leaves_no_pod(real: Run, cluster: Cluster) -> None:
    assert real["too_long"].state == "failed"
    assert cluster.pods(dag_id="real") == []


def test_a_deferred_task_returns_and_logs_what_any_other_does(deferred: Run) -> None:
    assert deferred["value"].value == "hello you"
    assert deferred.log("value").count("deferred, and back") == 1


def test_a_deferred_task_fails_with_the_same_words(deferred: Run) -> None:
    assert deferred["fails"].error == "The function raised LookupError in environment 'plain': on purpose"
    assert any("raise LookupError" in line for line in deferred.log("fails"))


def test_a_deferred_task_grows_as_well(deferred: Run) -> None:
    assert deferred["grows"].value == 150_000_000


def test_a_deferred_task_whose_image_is_missing_says_so(deferred: Run) -> None:
    assert "the image cannot be pulled" in str(deferred["no_image"].error)


def test_a_deferred_task_that_runs_too_long_fails_and_leaves_no_pod(deferred: Run, cluster: Cluster) -> None:
    assert "ran longer than its execution_timeout" in str(deferred["too_long"].error)
    assert cluster.pods(dag_id="deferred") == []


def test_memory_that_is_auto_begins_higher_after_a_run_that_was_out_of_memory(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow.settings.DAGS_FOLDER", str(PROJECT / "dags"))
    first, second = Run("learned"), Run("learned")
    for task in ("grows", "grows_deferred"):
        assert (first[task].value, second[task].value) == (150_000_000, 150_000_000)
        (told,) = (
            line for line in first.log(task) if line.startswith("Memory is auto: 128Mi of at most 400Mi; no run")
        )
        assert any("Out of memory" in line and "started again with 256Mi" in line for line in first.log(task))
        (told,) = (line for line in second.log(task) if line.startswith("Memory is auto"))
        begin = told.split()[3]
        assert quantity.to_bytes(begin) > 150_000_000
        assert (second[task].limits or {})["memory"] == begin
        assert not any("Out of memory" in line for line in second.log(task))


@pytest.mark.usefixtures("_sigterm")
def test_a_worker_that_gets_sigterm_fails_its_task_soon_and_leaves_no_pod(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow.settings.DAGS_FOLDER", str(PROJECT / "dags"))
    told: list[float] = []

    def terminate(line: str) -> None:
        if line == "asleep":
            told.append(time.monotonic())
            threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()

    run = Run("interrupted", terminate)
    assert time.monotonic() - told[0] < 60
    assert run["sleeps"].state == "failed"
    assert "was ended from outside" in str(run["sleeps"].error)
    assert cluster.pods(dag_id="interrupted") == []
