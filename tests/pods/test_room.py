"""A task for whose pod there is no room waits in line, in the same try; what can never fit fails at once."""

from __future__ import annotations

import time

import pytest
from tests.pods import functions, statuses
from tests.pods.apiserver import ApiServer
from tests.pods.engine import Engine, until
from tests.pods.nodepod import NodePod

from podenv.errors import Killed, PodRefused, QuotaExceeded, Unschedulable
from podenv.pods import room

FULL = "exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1"
SHORT = "0/3 nodes are available: 3 Insufficient memory."


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "PAUSE_SECONDS", (0.05, 0.2))
    monkeypatch.setattr(room, "TELL_SECONDS", 0.4)
    monkeypatch.setattr(room, "SCALE_UP_SECONDS", 0.5)


def taken_late(pod: NodePod) -> None:
    pod.unschedulable(SHORT)
    pod.wait(1.5)
    pod.schedule()
    pod.run()


def never_taken(pod: NodePod) -> None:
    pod.unschedulable(SHORT)


def test_a_quota_without_room_is_waited_for_and_the_log_says_so_now_and_then(engine: Engine, server: ApiServer) -> None:
    server.trouble("POST", times=8, refuse=statuses.quota_exceeded("etl-task"))
    assert engine.call(functions.double, 21) == 42
    told = [note for note in engine.told.notes if note.startswith("It waits for room")]
    assert told[0] == (f'It waits for room (pods "etl-task" is forbidden: {FULL}); 0 s of at most 3600 s so far.')
    assert 2 <= len(told) <= 4
    assert len(server.asked("POST .*/pods$")) == 9
    until(lambda: server.pods() == [])


def test_a_quota_that_stays_full_ends_the_try_after_the_time_for_it(engine: Engine, server: ApiServer) -> None:
    server.trouble("POST", times=100, refuse=statuses.quota_exceeded("etl-task"))
    with pytest.raises(QuotaExceeded) as raised:
        engine.call(functions.double, 1, room_timeout=0.5)
    assert "had no room for 1 s" in str(raised.value) or "had no room for 0 s" in str(raised.value)
    assert FULL in str(raised.value)
    assert raised.value.retry
    assert server.pods() == []


def test_a_pod_that_is_larger_than_the_quota_is_refused_at_once(engine: Engine, server: ApiServer) -> None:
    words = "exceeded quota: q, requested: limits.cpu=1,limits.memory=9Gi, limited: limits.memory=8Gi"
    server.trouble("POST", refuse=statuses.refusal(403, "Forbidden", f'pods "etl-task" is forbidden: {words}'))
    with pytest.raises(PodRefused, match=r"larger than the quota .*\(limits.memory 9Gi, and the quota holds 8Gi\)"):
        engine.call(functions.double, 1)
    assert len(server.asked("POST")) == 1


def test_a_task_that_is_killed_while_it_waits_for_a_quota_ends_soon(engine: Engine, server: ApiServer) -> None:
    server.trouble("POST", times=1000, refuse=statuses.quota_exceeded("etl-task"))
    running = engine.start(functions.double, 1)
    until(lambda: len(server.asked("POST")) > 2)
    began = time.monotonic()
    engine.life.kill()
    with pytest.raises(Killed):
        running.value()
    assert time.monotonic() - began < 2


def test_nodes_without_room_are_waited_for_longer_than_for_a_node_of_another_kind(
    engine: Engine, server: ApiServer
) -> None:
    server.kubelet.plans = [taken_late]
    assert engine.call(functions.double, 21, schedule_timeout=0.5) == 42
    told = [note for note in engine.told.notes if note.startswith("It waits for room")]
    assert told[0] == f"It waits for room ({SHORT}); 0 s of at most 3600 s so far."
    assert len(told) >= 2


def test_nodes_that_stay_full_end_the_try_after_the_time_for_it(engine: Engine, server: ApiServer) -> None:
    server.kubelet.plans = [never_taken]
    with pytest.raises(Unschedulable, match=r"no node had room for the pod for 1 s .*raise room_timeout"):
        engine.call(functions.double, 1, schedule_timeout=0.2, room_timeout=1)
    assert server.pods() == []


def node(memory: str, cpu: str = "4") -> dict[str, object]:
    return {"status": {"allocatable": {"memory": memory, "cpu": cpu, "pods": "110"}}}


def pod(memory: str, cpu: str = "1", **extra: str) -> dict[str, object]:
    resources = {"requests": {"memory": memory, "cpu": cpu}, "limits": extra}
    return {"spec": {"containers": [{"name": "base", "resources": resources}]}}


@pytest.mark.parametrize(
    ("asked", "nodes", "words"),
    [
        (pod("4Gi"), [node("2Gi"), node("8Gi")], ""),
        (pod("16Gi"), [node("2Gi"), node("8Gi")], "memory 16Gi, and the largest node has 8Gi"),
        (pod("1Gi", "8"), [node("8Gi")], "cpu 8, and the largest node has 4"),
        (pod("1Gi", **{"nvidia.com/gpu": "1"}), [node("8Gi")], "nvidia.com/gpu 1, and the largest node has 0"),
        (pod("16Gi"), [], ""),
    ],
)
def test_what_no_node_could_ever_hold_is_known_where_nodes_are_known(
    asked: dict[str, object], nodes: list[dict[str, object]], words: str
) -> None:
    assert room.beyond_nodes(asked, nodes) == words


def test_a_pod_that_is_larger_than_every_node_fails_soon_unless_a_node_is_added(
    engine: Engine, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine.client, "nodes", lambda: [node("1Gi")])
    server.kubelet.plans = [never_taken, taken_late]
    with pytest.raises(Unschedulable, match="memory 2Gi, and the largest node has 1Gi; ask for less, or add larger"):
        engine.call(functions.double, 1, memory="2Gi")

    def with_a_new_node(pod: NodePod) -> None:
        pod.tell("TriggeredScaleUp", "pod triggered scale-up: [{pool 1->2 (max: 3)}]")
        taken_late(pod)

    server.kubelet.plans = [with_a_new_node]
    assert engine.call(functions.double, 21, memory="2Gi", name="etl-other") == 42


KUEUE = "kueue.x-k8s.io/admission"


def test_a_pod_in_a_queue_waits_for_its_turn_and_then_for_a_node(
    engine: Engine, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kueue's gate is there when the pod is created, and no node need be large enough yet."""
    monkeypatch.setattr(engine.client, "nodes", lambda: [node("1Gi")])

    def in_turn(pod: NodePod) -> None:
        pod.gate(KUEUE, queue="team-a")
        pod.wait(1.2)
        pod.gate()
        pod.wait(0.3)
        pod.schedule()
        pod.run()

    server.kubelet.plans = [in_turn]
    assert engine.call(functions.double, 21, memory="2Gi", schedule_timeout=0.6) == 42
    told = [note for note in engine.told.notes if note.startswith("It waits")]
    assert told[0] == "It waits for the queue 'team-a' of Kueue; 0 s of at most 3600 s so far."
    assert len(told) >= 2


def test_a_pod_that_its_queue_does_not_admit_ends_the_try_after_the_time_for_room(
    engine: Engine, server: ApiServer
) -> None:
    server.kubelet.plans = [lambda pod: pod.gate(KUEUE, queue="team-a")]
    with pytest.raises(
        Unschedulable, match=r"waited 1 s for the queue 'team-a' of Kueue; see .*kubectl describe workloads -n \S+`"
    ) as raised:
        engine.call(functions.double, 1, schedule_timeout=0.2, room_timeout=1)
    assert raised.value.retry
    assert server.pods() == []


def test_a_gate_of_somebody_else_is_named(engine: Engine, server: ApiServer) -> None:
    server.kubelet.plans = [lambda pod: pod.gate("acme.com/approval")]
    with pytest.raises(Unschedulable, match=r"for whoever removes the scheduling gate acme.com/approval; see"):
        engine.call(functions.double, 1, schedule_timeout=0.2, room_timeout=0.5)


def test_a_pod_that_no_node_is_for_tells_which_nodes_it_selects(engine: Engine, server: ApiServer) -> None:
    said = "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."
    server.kubelet.plans = [lambda pod: pod.unschedulable(said)]
    overrides = [{"spec": {"nodeSelector": {"kubernetes.io/arch": "arm64"}}}]
    with pytest.raises(
        Unschedulable, match=r"selector\.\), for it selects nodes with kubernetes\.io/arch=arm64 \(nodeSelector"
    ):
        engine.call(functions.double, 1, schedule_timeout=0.2, overrides=overrides)


def test_a_pod_that_was_admitted_and_that_no_node_takes_is_not_waited_for_as_in_a_queue(
    engine: Engine, server: ApiServer
) -> None:
    def admitted(pod: NodePod) -> None:
        pod.gate(KUEUE, queue="team-a")
        pod.wait(0.3)
        pod.gate()
        pod.unschedulable("0/1 nodes are available: 1 had untolerated taint.")

    server.kubelet.plans = [admitted]
    with pytest.raises(Unschedulable, match=r"no node took the pod within 0 s \(0/1 nodes .*taint"):
        engine.call(functions.double, 1, schedule_timeout=0.4)
