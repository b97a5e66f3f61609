"""A task adopts and deletes what it made itself in this run, and nothing else, whatever names and calls are alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.airflow.conftest import NAMESPACE
from tests.airflowtask import InBackground, execute
from tests.pods import functions
from tests.pods.apiserver import ApiServer
from tests.pods.engine import until

from podenv.errors import Killed

Make = Callable[..., Any]


@dataclass(frozen=True)
class DagRun:
    """As much of Airflow's as tells one run from another."""

    start_date: datetime


RUN = DagRun(datetime(2026, 1, 1, tzinfo=UTC))


def pods(server: ApiServer) -> list[str]:
    return [pod["metadata"]["name"] for pod in server.pods(NAMESPACE)]


def left_by_a_killed_worker(server: ApiServer, operator: Any, **context: Any) -> str:
    """The name of the pod of a worker that was killed while its task ran: nothing is told to it any more."""
    operator.on_kill_action = type(operator.on_kill_action)("keep_pod")
    running = InBackground(operator, **{"dag_run": RUN, **context})
    until(lambda: server.asked("GET .*/log"))
    operator.on_kill()
    assert isinstance(running.outcome().error, Killed)
    (pod,) = server.pods(NAMESPACE)
    server.objects.edit(
        ("pods", NAMESPACE, pod["metadata"]["name"]), lambda item: item["metadata"]["labels"].pop("already_checked", 0)
    )
    return str(pod["metadata"]["name"])


def test_the_next_try_adopts_the_pod_of_the_same_run(server: ApiServer, make: Make) -> None:
    left = left_by_a_killed_worker(server, make(functions.sleeps, 1.0, task_id="t"))
    outcome = execute(make(functions.sleeps, 1.0, task_id="t"), try_number=2, dag_run=RUN)
    assert (outcome.value, outcome.xcoms["pod_name"]) == ("awake", left)
    assert len(server.asked("POST .*/pods$")) == 1


OTHERS: dict[str, dict[str, Any]] = {
    "another run": {"run_id": "run_b"},
    "another mapped task": {"map_index": 3},
    "a run of the same name that began at another time": {"dag_run": DagRun(datetime(2026, 1, 2, tzinfo=UTC))},
}


@pytest.mark.parametrize("suffix", [True, False], ids=["random name", "fixed name"])
@pytest.mark.parametrize("alike", [True, False], ids=["same call", "another call"])
@pytest.mark.parametrize("other", list(OTHERS))
def test_a_pod_of_another_run_is_neither_adopted_nor_deleted(
    server: ApiServer, make: Make, other: str, alike: bool, suffix: bool
) -> None:
    """With a fixed name there is no room for a second pod: the task says whose the other is."""
    named = {"task_id": "t", "name": "nightly", "random_name_suffix": suffix}
    theirs = left_by_a_killed_worker(server, make(functions.sleeps, 60, **named), **OTHERS[other])
    outcome = execute(make(functions.sleeps, 60 if alike and not suffix else 0, **named), try_number=2, dag_run=RUN)
    if suffix:
        assert outcome.value == "awake", outcome
        assert outcome.xcoms["pod_name"] != theirs
    else:
        assert "PodNameTaken: Environment 'plain': another pod nightly (dag_id tests, task_id t, run_id run" in (
            outcome.message
        )
    assert [line for line in server.asked("DELETE") if line.line.endswith(f"/{theirs}")] == []
    until(lambda: pods(server) == [theirs])
    assert "deletionTimestamp" not in server.pods(NAMESPACE)[0]["metadata"]


@pytest.mark.parametrize("alike", [True, False], ids=["same code", "other code"])
def test_two_airflows_that_share_a_cluster_leave_each_others_pods_alone(
    server: ApiServer, make: Make, alike: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Staging and production: the same DAG, task, schedule and so run id, on the first try of each."""
    monkeypatch.setenv("AIRFLOW__PODENV__AIRFLOW_ID", "staging")
    theirs = left_by_a_killed_worker(server, make(functions.sleeps, 60 if not alike else 0.8, task_id="t"))
    monkeypatch.setenv("AIRFLOW__PODENV__AIRFLOW_ID", "production")
    outcome = execute(make(functions.sleeps, 0.8, task_id="t"), dag_run=RUN)
    assert outcome.value == "awake"
    assert outcome.xcoms["pod_name"] != theirs
    assert [asked for asked in server.asked("DELETE") if asked.line.endswith(f"/{theirs}")] == []
    until(lambda: pods(server) == [theirs])


def test_an_airflow_without_a_name_of_its_own_is_told_by_its_key_and_address(
    server: ApiServer, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = []
    for address in ("https://staging", "https://production", "https://staging"):
        monkeypatch.setenv("AIRFLOW__API__BASE_URL", address)
        execute(make(functions.double, 1))
        labels.append(server.asked("POST .*/pods$")[-1].body["metadata"]["labels"]["podenv.dev/airflow"])
    assert labels[0] == labels[2] != labels[1]


@pytest.mark.parametrize("payload", ["env", "secret"])
def test_a_retry_with_a_fixed_name_runs_its_own_call(
    server: ApiServer, make: Make, payload: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first pod's Secret stays for a while: the garbage collector is slow."""
    monkeypatch.setenv("AIRFLOW__PODENV__PAYLOAD", payload)
    server.kubelet.collects = False
    named = {"task_id": "t", "name": "nightly", "random_name_suffix": False}
    assert execute(make(functions.double, 1, **named), dag_run=RUN).value == 2
    assert execute(make(functions.double, 21, **named), try_number=2, dag_run=RUN).value == 42
    until(lambda: pods(server) == [])
