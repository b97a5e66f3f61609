"""A deferred task goes on as soon as waiting is in vain, and not before."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.triggers.base import TriggerEvent
from kubernetes.client import ApiException
from kubernetes.config import ConfigException
from tests.unit.pods.test_status import ended, pod, waiting

from podenv.airflow import trigger
from podenv.airflow.trigger import EnvPodTrigger
from podenv.pods.client import Json

RUNNING = pod({"running": {}}, phase="Running")
STARTING = waiting("ContainerCreating")


async def _first(waits: EnvPodTrigger) -> TriggerEvent:
    return await anext(waits.run())


def event_of(answers: Iterator[Json | Exception], **given: Any) -> dict[str, Any]:
    """The event after a server that gives ``answers``."""
    own = {"poll_interval": 0.01, **given}
    waits = EnvPodTrigger(
        pod_name="p", pod_namespace="s", trigger_start_time=datetime.now(UTC), base_container_name="base", **own
    )

    async def get_pod(name: str, namespace: str) -> Json:
        assert (name, namespace) == ("p", "s")
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    vars(waits)["hook"] = SimpleNamespace(get_pod=get_pod)
    return dict(asyncio.run(_first(waits)).payload)


def status_of(*answers: Json | Exception, **given: Any) -> str:
    """How the wait ends, once all of ``answers`` were given."""
    left = list(answers)
    status = str(event_of(iter(lambda: left.pop(0), None), **given)["status"])
    assert left == []
    return status


def test_the_database_keeps_the_class_and_all_arguments() -> None:
    given: dict[str, Any] = {
        "pod_name": "p",
        "pod_namespace": "s",
        "trigger_start_time": datetime.now(UTC),
        "base_container_name": "base",
    }
    path, kept = EnvPodTrigger(**given, startup_timeout=7, trigger_kwargs={"a": 1}).serialize()
    assert path == "podenv.airflow.trigger.EnvPodTrigger"
    assert EnvPodTrigger(**kept).serialize() == (path, kept)
    assert kept["startup_timeout"] == 7


def test_the_event_names_the_pod_and_brings_what_the_operator_gave_along() -> None:
    event = event_of(iter([ended(0)]), trigger_kwargs={"a": 1})
    assert event == {"status": "success", "name": "p", "namespace": "s", "a": 1}


def test_a_container_that_is_over_ends_the_wait_whatever_a_sidecar_does() -> None:
    assert status_of(STARTING, RUNNING, ended(0, "Completed", phase="Running")) == "success"
    assert status_of(STARTING, RUNNING, ended(1)) == "failed"


def test_a_container_that_can_never_start_ends_the_wait() -> None:
    root = waiting("CreateContainerConfigError", "container has runAsNonRoot and image will run as root")
    assert status_of(STARTING, root) == "failed"


def test_a_secret_may_come_later() -> None:
    late = waiting("CreateContainerConfigError", 'secret "vault" not found')
    assert status_of(late, RUNNING, ended(0)) == "success"


def test_a_pod_whose_node_is_lost_ends_the_wait() -> None:
    unready = [{"type": "Ready", "status": "False"}]
    lost = pod({"running": {}}, deleted=datetime.now(UTC), phase="Running", conditions=unready)
    assert status_of(RUNNING, lost) == "failed"


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_pod_that_is_gone_or_may_not_be_read_ends_the_wait(status: int) -> None:
    assert status_of(RUNNING, ApiException(status)) == "error"


def test_a_server_that_is_away_for_a_while_ends_nothing() -> None:
    away = [ApiException(503), OSError("connection refused"), TimeoutError()]
    assert status_of(RUNNING, *away, RUNNING, ended(0)) == "success"


def test_a_server_that_stays_away_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trigger, "PATIENCE_SECONDS", 0)
    assert status_of(RUNNING, OSError("connection refused")) == "error"


def test_a_triggerer_without_a_way_to_the_cluster_ends_the_wait_at_once_and_says_why(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert status_of(ConfigException("Invalid kube-config file. No configuration found.")) == "error"
    said = "Pod s/p cannot be read: ConfigException: Invalid kube-config file. No configuration found."
    assert capsys.readouterr().out.count(said) == 1


def test_the_first_error_of_each_outage_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    away = [ApiException(503, "Service Unavailable"), OSError("connection refused")]
    assert status_of(RUNNING, *away, RUNNING, *away, ended(0)) == "success"
    assert capsys.readouterr().out.count("Pod s/p cannot be read: ApiException: Service Unavailable") == 2


def test_a_pod_that_does_not_start_in_time_ends_the_wait() -> None:
    unscheduled = pod(phase="Pending")
    del unscheduled["spec"]["nodeName"]
    forever = iter(lambda: unscheduled, None)
    assert event_of(forever, schedule_timeout=0.05, startup_timeout=3600)["status"] == "timeout"
    assert event_of(iter(lambda: STARTING, None), schedule_timeout=3600, startup_timeout=0.05)["status"] == "timeout"


def gated(*names: str, queue: str = "") -> Json:
    """A pod that gates hold back, as Kubernetes 1.27 and newer report it."""
    blocked = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "SchedulingGated",
        "message": "Scheduling is blocked due to non-empty scheduling gates",
    }
    held = pod(phase="Pending", conditions=[blocked])
    del held["spec"]["nodeName"]
    held["spec"]["schedulingGates"] = [{"name": name} for name in names]
    held["metadata"]["labels"] = {"kueue.x-k8s.io/queue-name": queue} if queue else {}
    return held


def test_a_pod_in_a_queue_waits_for_its_turn_and_the_log_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    held = gated("kueue.x-k8s.io/admission", queue="team-a")
    limits: dict[str, Any] = {"schedule_timeout": 0.05, "poll_interval": 0.06, "trigger_kwargs": {trigger.ROOM: 60.0}}
    let_in = gated()
    del let_in["spec"]["schedulingGates"]
    assert status_of(held, held, held, let_in, RUNNING, ended(0), **limits) == "success"
    said = capsys.readouterr().out
    assert said.count("Pod s/p waits for the queue 'team-a' of Kueue") == 1
    assert said.count("Pod s/p waits for a node") == 1
    late = limits | {"trigger_kwargs": {trigger.ROOM: 0.1}}
    assert event_of(iter(lambda: held, None), **late)["status"] == "timeout"


def test_a_pod_that_runs_has_no_time_limit_but_the_tasks_own() -> None:
    limits = {"schedule_timeout": 0.05, "startup_timeout": 0.05, "poll_interval": 0.06}
    assert status_of(RUNNING, RUNNING, RUNNING, ended(0), **limits) == "success"
    deadline = {"_execution_deadline": time.time() + 0.1}
    event = event_of(iter(lambda: RUNNING, None), trigger_kwargs=deadline)
    assert event == {"status": "timeout", "name": "p", "namespace": "s", **deadline}
