"""Airflow's metrics get what a task took: as StatsD packets on loopback, from Airflow's own logger."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.airflow.conftest import NAMESPACE
from tests.airflowtask import execute
from tests.pods import functions, statuses
from tests.pods.apiserver import ApiServer
from tests.pods.engine import until
from tests.pods.nodepod import NodePod

from podenv.airflow.measured import METRICS
from podenv.pods import room

Make = Callable[..., Any]
MIB = 2**20
LETTER = {"counter": "c", "timer": "ms", "gauge": "g"}


class StatsD:
    """A StatsD server: ``seen`` are the metrics that came, each with its tags."""

    def __init__(self, listening: socket.socket) -> None:
        self._socket = listening

    def seen(self) -> dict[tuple[str, str], float]:
        """Name and own tag -> value, of all that came until now; the tags of the task are checked and left out."""
        found: dict[tuple[str, str], float] = {}
        while True:
            try:
                packet = self._socket.recv(65_536).decode()
            except BlockingIOError:
                return found
            match = re.fullmatch(r"airflow\.(podenv\.[^,:]+)((?:,[^,:=]+=[^,:=]+)*):([0-9.]+)\|(c|ms|g)", packet)
            if match is None:
                continue  # of Airflow's own
            name, tags, value, letter = match.groups()
            assert LETTER[METRICS[name]] == letter, packet
            known = dict(tag.split("=") for tag in tags.split(",")[1:])
            assert known.pop("dag_id") == "tests", packet
            assert known.pop("task_id"), packet
            assert known.pop("environment") == "plain", packet
            key = (name.removeprefix("podenv.task."), ",".join(f"{tag}={text}" for tag, text in known.items()))
            found[key] = found.get(key, 0.0) + float(value)


@pytest.fixture
def statsd(monkeypatch: pytest.MonkeyPatch) -> Iterator[StatsD]:
    """Airflow's metrics as a task process sets them up, with tags as the exporter of its chart reads them."""
    from airflow.sdk._shared.observability.metrics import base_stats_logger
    from airflow.sdk.observability import stats
    from airflow.sdk.observability.metrics import stats_utils

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.setblocking(False)
        given = {"ON": "True", "HOST": "127.0.0.1", "PORT": str(listening.getsockname()[1]), "INFLUXDB_ENABLED": "True"}
        for name, value in given.items():
            monkeypatch.setenv(f"AIRFLOW__METRICS__STATSD_{name}", value)
        logger: Any = stats_utils.get_stats_factory()()
        stats.initialize(factory=lambda: logger, export_legacy_names=False)
        yield StatsD(listening)
        stats.initialize(factory=base_stats_logger.NoStatsLogger, export_legacy_names=False)
        logger.statsd.close()


def pods(seen: dict[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    """What does not depend on the machine."""
    return {key: value for key, value in seen.items() if METRICS[f"podenv.task.{key[0]}"] == "counter"}


def test_a_task_in_a_new_pod_sends_each_of_its_metrics_once(server: ApiServer, make: Make, statsd: StatsD) -> None:
    outcome = execute(make(functions.hold, 50 * MIB, memory="256Mi", cpu="1"))
    seen, kept = statsd.seen(), outcome.operator.podenv
    assert pods(seen) == {
        ("runs", "state=success"): 1,
        ("launches", "kind=new"): 1,
        ("api_requests", ""): len(server.requests),
    }
    (asked,) = server.asked("POST .*/pods$")
    sent = {one["name"]: one.get("value", "") for one in asked.body["spec"]["containers"][0]["env"]}
    assert seen[("call_bytes", "")] == len(sent["PODENV_RUN_CALL_0"])
    assert 0 < seen[("result_bytes", "")] < 500
    assert 0 < seen[("starting", "")] < 10_000
    assert seen[("duration", "")] == pytest.approx(kept["seconds"] * 1000)
    assert seen[("peak_memory_bytes", "")] == kept["peak_memory_bytes"]
    assert seen[("memory_limit_bytes", "")] == 256 * MIB
    assert seen[("cpu_seconds", "")] == kept["cpu_seconds"]
    assert ("waiting", "") not in seen


@pytest.mark.usefixtures("server")
def test_a_failure_has_its_type(make: Make, statsd: StatsD) -> None:
    execute(make(functions.raises, "on purpose"))
    seen = statsd.seen()
    assert seen[("runs", "state=failed")] == 1
    assert seen[("failures", "failure=FunctionRaised")] == 1
    assert seen[("launches", "kind=new")] == 1


def test_a_task_that_never_had_a_pod_has_a_failure_and_no_launch(server: ApiServer, make: Make, statsd: StatsD) -> None:
    server.objects.remove(("podtemplates", NAMESPACE, "plain"))
    execute(make(functions.double, 1))
    assert pods(statsd.seen()) == {
        ("runs", "state=failed"): 1,
        ("failures", "failure=NotDeployed"): 1,
        ("api_requests", ""): len(server.requests),
    }


@pytest.mark.parametrize("deferrable", [False, True])
def test_relaunches_have_their_reason_also_those_before_the_task_was_deferred(
    server: ApiServer, make: Make, statsd: StatsD, deferrable: bool
) -> None:
    def killed(pod: NodePod) -> None:
        pod.schedule()
        pod.start()
        pod.end(137, "OOMKilled")

    def evicted(pod: NodePod) -> None:
        pod.schedule()
        pod.start()
        pod.wait(0.1)
        pod.fail("Evicted", "The node was low on resource: memory.")

    server.kubelet.plans = [killed, evicted]
    given = {"memory": "64Mi", "max_memory": "128Mi", "retries": 1, "deferrable": deferrable}
    assert execute(make(functions.double, 21, **given)).value == 42
    seen = pods(statsd.seen())
    asked = seen.pop(("api_requests", ""))
    assert seen == {
        ("runs", "state=success"): 1,
        ("launches", "kind=new"): 3,
        ("relaunches", "reason=OutOfMemory"): 1,
        ("relaunches", "reason=Evicted"): 1,
    }
    triggers = asked < len(server.requests)  # the triggerer's are none of the worker's
    assert (asked > 10, triggers) == (True, deferrable)


def test_a_run_that_the_kernel_ended_counts_its_kills(server: ApiServer, make: Make, statsd: StatsD) -> None:
    def killed(pod: NodePod) -> None:
        pod.schedule()
        pod.start()
        pod.end(137, "OOMKilled")

    server.kubelet.plans = [killed]
    execute(make(functions.double, 1, memory="64Mi"))
    seen = statsd.seen()
    assert seen[("out_of_memory_kills", "")] == 1
    assert seen[("failures", "failure=OutOfMemory")] == 1


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_wait_for_room_counts_on_a_worker_and_in_the_triggerer(
    server: ApiServer, make: Make, statsd: StatsD, deferrable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "PAUSE_SECONDS", (0.3, 0.3))
    monkeypatch.setattr(room, "DEFERRED_PAUSE_SECONDS", (0.3, 0.3))
    server.trouble("POST .*/pods", times=2, refuse=statuses.quota_exceeded("x"))
    assert execute(make(functions.double, 21, deferrable=deferrable)).value == 42
    assert 300 < statsd.seen()[("waiting", "")] < 5_000


@pytest.mark.usefixtures("server")
def test_a_deferred_task_has_a_start_and_one_launch(make: Make, statsd: StatsD) -> None:
    execute(make(functions.double, 21, deferrable=True))
    seen = statsd.seen()
    assert seen[("launches", "kind=new")] == 1
    assert 0 <= seen[("starting", "")] < 10_000
    assert seen[("call_bytes", "")] > 0


def test_a_pod_of_an_earlier_worker_is_an_adoption(server: ApiServer, make: Make, statsd: StatsD) -> None:
    operator = make(functions.double, 21)
    execute(operator)
    statsd.seen()
    (asked,) = server.asked("POST .*/pods$")
    until(lambda: server.pods(NAMESPACE) == [])
    server.core().create_namespaced_pod(NAMESPACE, asked.body)  # as a worker left it
    assert execute(operator).value == 42
    seen = pods(statsd.seen())
    assert seen[("adoptions", "")] == 1
    assert ("launches", "kind=new") not in seen
