"""Whatever ends a task in Airflow, its pod is deleted or left as the task says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from tests.airflow.conftest import NAMESPACE
from tests.airflowtask import InBackground, TaskInstance, execute
from tests.pods import functions
from tests.pods.apiserver import ApiServer
from tests.pods.engine import until

from podenv.airflow.compat import AirflowFailException, TaskDeferred
from podenv.errors import FunctionRaised, Killed
from podenv.pods.decisions import CHECKED_LABEL

Make = Callable[..., Any]


def pods(server: ApiServer) -> list[str]:
    return [pod["metadata"]["name"] for pod in server.pods(NAMESPACE)]


def test_a_task_returns_its_value_pushes_its_pod_and_leaves_none(server: ApiServer, make: Make) -> None:
    outcome = execute(make(functions.double, 21, task_id="doubles"))
    assert (outcome.value, outcome.printed) == (42, ["doubling"])
    (asked,) = server.asked("POST .*/pods$")
    assert outcome.xcoms == {"pod_name": asked.body["metadata"]["name"], "pod_namespace": NAMESPACE}
    until(lambda: pods(server) == [])


def test_what_the_function_raises_fails_the_task_and_leaves_no_pod(server: ApiServer, make: Make) -> None:
    outcome = execute(make(functions.raises, "no"))
    assert isinstance(outcome.error, FunctionRaised)
    until(lambda: pods(server) == [])


MOMENTS = [
    "on_pod_creation", "on_pod_starting", "progress_callback", "on_pod_completion", "on_pod_teardown", "on_pod_cleanup",
]  # fmt: skip


def breaking(moment: str) -> type[Any]:
    """A callback class of which one method raises."""
    from airflow.providers.cncf.kubernetes.callbacks import KubernetesPodOperatorCallback

    def fail(**_: Any) -> None:
        raise RuntimeError(f"an error in {moment}")

    return type("Breaking", (KubernetesPodOperatorCallback,), {moment: staticmethod(fail)})


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_error_in_a_callback_leaves_no_pod(server: ApiServer, make: Make, moment: str) -> None:
    outcome = execute(make(functions.double, 21, callbacks=breaking(moment)))
    assert outcome.message == f"RuntimeError: an error in {moment}"
    until(lambda: pods(server) == [])


@pytest.mark.parametrize("moment", ["on_pod_creation", "on_operator_resuming", "on_pod_completion"])
def test_an_error_in_a_callback_of_a_deferrable_task_leaves_no_pod(server: ApiServer, make: Make, moment: str) -> None:
    outcome = execute(make(functions.double, 21, callbacks=breaking(moment), deferrable=True))
    assert outcome.message == f"RuntimeError: an error in {moment}"
    until(lambda: pods(server) == [])


def test_an_error_while_the_manifest_is_shown_creates_no_pod(server: ApiServer, make: Make) -> None:
    outcome = execute(make(functions.double, 21, callbacks=breaking("on_pod_manifest_created")))
    assert outcome.message == "RuntimeError: an error in on_pod_manifest_created"
    assert server.asked("POST") == []


@pytest.mark.parametrize("deferrable", [False, True])
def test_an_xcom_that_cannot_be_pushed_leaves_no_pod(
    server: ApiServer, make: Make, deferrable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def push(ti: Any, key: str, value: Any) -> None:
        raise RuntimeError("the API of Airflow is away")

    monkeypatch.setattr("tests.airflowtask.TaskInstance.xcom_push", push)
    outcome = execute(make(functions.double, 21, deferrable=deferrable))
    assert outcome.message == "RuntimeError: the API of Airflow is away"
    assert len(server.asked("POST .*/pods$")) == 1
    until(lambda: pods(server) == [])


def test_a_task_that_cannot_be_deferred_leaves_no_pod(
    server: ApiServer, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = make(functions.double, 21, deferrable=True)

    def fail(**_: Any) -> None:
        raise RuntimeError("no triggerer")

    monkeypatch.setattr(operator, "invoke_defer_method", fail)
    assert execute(operator).message == "RuntimeError: no triggerer"
    until(lambda: pods(server) == [])


ACTIONS = {
    "delete_pod": False,
    "delete_succeeded_pod": True,
    "delete_active_pod": False,
    "keep_pod": True,
}


@pytest.mark.parametrize("action", list(ACTIONS))
def test_a_task_whose_execution_timeout_passes_keeps_its_pod_only_if_it_says_so(
    server: ApiServer, make: Make, action: str
) -> None:
    """As Airflow ends it: an exception out of a signal handler, then on_kill()."""
    outcome = timed_out(make(functions.sleeps, 60, on_finish_action=action, execution_timeout=timedelta(seconds=0.7)))
    assert type(outcome).__name__ == "AirflowTaskTimeout"
    if ACTIONS[action]:
        (pod,) = server.pods(NAMESPACE)
        assert pod["metadata"]["labels"][CHECKED_LABEL] == "True"
        assert "deletionTimestamp" not in pod["metadata"]
    else:
        until(lambda: pods(server) == [])


def timed_out(operator: Any) -> BaseException | None:
    """How the task ends, with Airflow's own timeout around it and what Airflow does then."""
    from airflow.sdk.execution_time import timeout as module

    timed_out = module.AirflowTaskTimeout  # type: ignore[attr-defined]  # its home differs between versions
    try:
        with module.timeout(operator.execution_timeout.total_seconds()):  # type: ignore[no-untyped-call]
            outcome = execute(operator)
        error = outcome.error
    except timed_out as late:  # between the parts of the test itself
        error = late
    if isinstance(error, timed_out):
        operator.on_kill()
    return error


def test_the_cluster_ends_a_pod_whose_worker_is_gone_when_its_task_would_be_out_of_time(
    server: ApiServer, make: Make
) -> None:
    execute(make(functions.double, 1, execution_timeout=timedelta(minutes=5)))
    execute(make(functions.double, 1))
    limits = [asked.body["spec"].get("activeDeadlineSeconds") for asked in server.asked("POST .*/pods$")]
    assert limits == [360, None]


@pytest.mark.parametrize("action", ["delete_pod", "keep_pod"])
def test_a_deferred_task_that_is_out_of_time_ends_its_pod_or_keeps_it(
    server: ApiServer, make: Make, action: str
) -> None:
    timeout = timedelta(seconds=1)
    outcome = execute(make(functions.sleeps, 60, deferrable=True, execution_timeout=timeout, on_finish_action=action))
    assert isinstance(outcome.error, Killed | AirflowFailException), outcome
    assert "ran longer than its execution_timeout" in outcome.message
    until(lambda: len(pods(server)) == (action == "keep_pod"))


@pytest.mark.parametrize("action", ["delete_pod", "keep_pod"])
def test_on_kill_deletes_the_pod_or_leaves_it(server: ApiServer, make: Make, action: str) -> None:
    operator = make(functions.sleeps, 60, on_kill_action=action)
    running = InBackground(operator)
    until(lambda: server.pods(NAMESPACE) and server.pods(NAMESPACE)[0]["status"]["phase"] == "Running")
    operator.on_kill()
    assert isinstance(running.outcome().error, Killed)
    until(lambda: len(pods(server)) == (action == "keep_pod"))


@pytest.mark.parametrize("moment", ["while it tells of its pod", "while it defers"])
def test_a_deferrable_task_that_is_killed_before_it_is_deferred_leaves_no_pod(
    server: ApiServer, make: Make, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = make(functions.sleeps, 60, deferrable=True)
    defer = operator.invoke_defer_method

    def kill_and_defer(**given: Any) -> None:
        operator.on_kill()
        defer(**given)

    if moment == "while it defers":
        monkeypatch.setattr(operator, "invoke_defer_method", kill_and_defer)
    else:
        monkeypatch.setattr("tests.airflowtask.TaskInstance.xcom_push", lambda ti, key, value: operator.on_kill())
    with pytest.raises(Killed):
        operator.execute(context_of(operator))
    until(lambda: pods(server) == [])


def context_of(operator: Any) -> dict[str, Any]:
    return {"ti": TaskInstance(operator.task_id, "run", 1, -1), "run_id": "run", "dag": operator.dag}


def test_a_pod_of_a_deferred_task_is_left_for_its_trigger(server: ApiServer, make: Make) -> None:
    operator = make(functions.sleeps, 60, deferrable=True)
    context = context_of(operator)
    with pytest.raises(TaskDeferred):
        operator.execute(context)
    assert pods(server) == [context["ti"].xcoms["pod_name"]]
    assert server.asked("DELETE") == []
