"""What it took to run a task is counted where it happens: launches, their reasons, waits, starts, sizes, requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.pods import functions, statuses
from tests.pods.apiserver import ApiServer
from tests.pods.engine import SELECTOR, Engine
from tests.pods.kubelet import Plan
from tests.pods.nodepod import NodePod
from tests.pods.test_relaunch import (
    deleted_while_it_ran,
    evicted_while_it_ran,
    preempted_before_its_start,
    refused_by_the_node,
    vanished_while_it_ran,
)
from tests.pods.test_room import taken_late

from podenv.errors import Unschedulable
from podenv.pods import room, status
from podenv.pods.request import Relaunches

RETRIES = Relaunches.of(retries=1, task=None, environment=None)


def test_a_new_pod_is_one_launch_with_one_start_and_every_request_counts(engine: Engine, server: ApiServer) -> None:
    request = engine.request(functions.double, 21)
    assert engine.run(request) == 42
    tally = engine.life.tally
    assert (dict(tally.launches), dict(tally.relaunches), tally.adoptions, tally.waited_seconds) == (
        {"new": 1},
        {},
        0,
        0,
    )
    assert [0 < seconds < 10 for seconds in tally.starts] == [True]
    assert tally.requests == len(server.requests)
    (asked,) = server.asked("POST .*/pods$")
    sent = {one["name"]: one["value"] for one in asked.body["spec"]["containers"][0]["env"]}
    assert tally.call_bytes == len(sent["PODENV_RUN_CALL_0"])


def test_a_call_in_a_secret_is_as_large(engine: Engine) -> None:
    engine.call(functions.double, 21)
    plain = engine.life.tally.call_bytes
    engine.call(functions.double, 21, payload="secret")
    assert engine.life.tally.call_bytes == plain


def test_the_result_says_how_large_it_was(engine: Engine) -> None:
    engine.call(functions.double, 21)
    assert engine.life.result is not None
    small = engine.life.result.size
    engine.call(functions.noise, 100_000)
    assert 0 < small < 500
    assert 50_000 < engine.life.result.size < 60_000  # hexadecimal digits hold half of that


def test_requests_that_the_server_did_not_answer_count_too(engine: Engine, server: ApiServer) -> None:
    server.trouble("POST .*/pods", times=2, refuse=statuses.refusal(503, "ServiceUnavailable", "busy"))
    engine.call(functions.double, 21)
    assert len(server.asked("POST .*/pods")) == 3
    assert engine.life.tally.requests == len(server.requests)


def test_a_launch_with_more_memory_is_one_for_lack_of_memory(engine: Engine, server: ApiServer) -> None:
    def killed(pod: NodePod) -> None:
        pod.schedule()
        pod.start()
        pod.end(137, "OOMKilled")

    server.kubelet.plans = [killed, killed]
    assert engine.call(functions.double, 21, memory="1Gi", max_memory="4Gi") == 42
    tally = engine.life.tally
    assert (dict(tally.launches), dict(tally.relaunches)) == ({"new": 3}, {"OutOfMemory": 2})
    assert (tally.growths, tally.lost, len(tally.starts)) == (2, 0, 3)


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        (refused_by_the_node, "OutOfcpu"),
        (preempted_before_its_start, "Preempted"),
        (evicted_while_it_ran, "EvictionByEvictionAPI"),
        (deleted_while_it_ran, "Deleted"),
        (vanished_while_it_ran, "Deleted"),
    ],
)
def test_a_launch_after_a_lost_pod_has_the_clusters_reason(
    engine: Engine, server: ApiServer, plan: Plan, reason: str
) -> None:
    server.kubelet.plans = [plan]
    assert engine.call(functions.double, 21, relaunches=RETRIES) == 42
    tally = engine.life.tally
    assert (dict(tally.launches), dict(tally.relaunches), tally.growths, tally.lost) == ({"new": 2}, {reason: 1}, 0, 1)


def pod(*, going: bool = False, over: bool = False, reason: str | None = None) -> dict[str, Any]:
    state = {"terminated": {"exitCode": 143}} if over else {"running": {}}
    return {
        "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"} if going else {},
        "status": {"reason": reason, "containerStatuses": [{"name": "base", "state": state}]},
    }


@pytest.mark.parametrize(
    ("seen", "why", "reason"),
    [
        (pod(), "PreemptionByScheduler: preempting to accommodate a higher priority pod", "PreemptionByScheduler"),
        (pod(reason="Evicted"), "", "Evicted"),
        (pod(going=True), "", "NodeLost"),
        (pod(going=True, over=True), "", "Deleted"),
        (pod(), "", "Deleted"),
        (None, "", "Deleted"),
        (pod(reason="a,b=c"), "", "Other"),
    ],
)
def test_a_reason_is_one_word_whatever_the_cluster_says(seen: dict[str, Any] | None, why: str, reason: str) -> None:
    assert status.reason_taken(seen, "base", why) == reason


def test_a_wait_for_the_quota_counts(engine: Engine, server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "PAUSE_SECONDS", (0.05, 0.2))
    server.trouble("POST", times=4, refuse=statuses.quota_exceeded("etl-task"))
    engine.call(functions.double, 21)
    assert 0.15 < engine.life.tally.waited_seconds < 5


def test_a_wait_for_a_node_counts_and_is_no_part_of_the_start(engine: Engine, server: ApiServer) -> None:
    server.kubelet.plans = [taken_late]
    engine.call(functions.double, 21)
    tally = engine.life.tally
    assert 1.4 < tally.waited_seconds < 5
    assert [seconds < 1.4 for seconds in tally.starts] == [True]


def test_a_wait_that_was_in_vain_counts(engine: Engine, server: ApiServer) -> None:
    server.kubelet.plans = [lambda pod: pod.unschedulable("0/3 nodes are available: 3 Insufficient memory.")]
    with pytest.raises(Unschedulable):
        engine.call(functions.double, 1, schedule_timeout=0.3, room_timeout=0.6)
    assert 0.5 < engine.life.tally.waited_seconds < 5


def test_a_pod_of_an_earlier_worker_is_adopted_and_not_launched(
    engines: Callable[[], Engine], server: ApiServer
) -> None:
    request = engines().request(functions.double, 21, name="left")
    server.core().create_namespaced_pod("s", request.body())
    second = engines()
    again = second.request(functions.double, 21, name="second")
    assert second.run(again, adopted=second.life.find(again, SELECTOR)) == 42
    tally = second.life.tally
    assert (tally.adoptions, dict(tally.launches), tally.call_bytes) == (1, {}, None)
