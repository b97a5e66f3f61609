"""A pod that the cluster took away is launched again: freely where nothing ran, else only as the task allows."""

from __future__ import annotations

import json

import pytest
from tests.pods import functions
from tests.pods.apiserver import ApiServer
from tests.pods.engine import Engine, until
from tests.pods.kubelet import Plan
from tests.pods.nodepod import NodePod
from tests.pods.objects import Json

from podenv.catalogue import names
from podenv.errors import DiskExceeded, PodLost
from podenv.pods.request import Relaunches

RETRIES = Relaunches.of(retries=1, task=None, environment=None)
NO_RETRIES = Relaunches.of(retries=0, task=None, environment=None)


def refused_by_the_node(pod: NodePod) -> None:
    pod.schedule()
    pod.edit(lambda item: item["status"].pop("containerStatuses"))
    pod.fail("OutOfcpu", "Pod Node didn't have enough resource: cpu")


def preempted_before_its_start(pod: NodePod) -> None:
    pod.schedule()
    pod.tell("Preempted", "Preempted by s/important on node node-1")
    pod.wait(0.1)
    pod.vanish()


def evicted_while_it_ran(pod: NodePod) -> None:
    pod.schedule()
    pod.start()
    pod.write("working\n")
    pod.wait(0.1)
    pod.disrupt("EvictionByEvictionAPI", "Eviction API: evicting")
    pod.fail("Evicted", "The node was low on resource: memory.")


def deleted_while_it_ran(pod: NodePod) -> None:
    pod.schedule()
    pod.start()
    pod.wait(0.2)
    pod.mark_deleted(30)
    pod.end(143)
    pod.wait(0.2)
    pod.vanish()


def vanished_while_it_ran(pod: NodePod) -> None:
    pod.schedule()
    pod.start()
    pod.wait(0.2)
    pod.vanish()


BEFORE: list[Plan] = [refused_by_the_node, preempted_before_its_start]
WHILE: list[Plan] = [evicted_while_it_ran, deleted_while_it_ran, vanished_while_it_ran]


def launches(server: ApiServer) -> list[str]:
    return [asked.body["metadata"]["name"] for asked in server.asked("POST .*/pods$")]


@pytest.mark.parametrize("plan", BEFORE, ids=lambda plan: plan.__name__)
def test_a_pod_that_never_started_is_launched_again_although_the_task_has_no_retries(
    engine: Engine, server: ApiServer, plan: Plan
) -> None:
    server.kubelet.plans = [plan, plan]
    assert engine.call(functions.double, 21, relaunches=NO_RETRIES) == 42
    assert launches(server) == ["etl-task", "etl-task-again1", "etl-task-again2"]
    until(lambda: server.pods() == [])


@pytest.mark.parametrize("plan", WHILE, ids=lambda plan: plan.__name__)
@pytest.mark.parametrize("get_logs", [True, False])
def test_a_function_that_may_have_run_is_not_run_again_without_retries(
    engine: Engine, server: ApiServer, plan: Plan, get_logs: bool
) -> None:
    server.kubelet.plans = [plan]
    with pytest.raises(PodLost, match="so it is not started again; set retries, or relaunch=N"):
        engine.call(functions.double, 21, relaunches=NO_RETRIES, follow=get_logs)
    assert launches(server) == ["etl-task"]
    until(lambda: server.pods() == [])


def test_a_pod_that_is_deleted_before_it_is_watched_is_known_never_to_have_run(
    engine: Engine, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def delete(pod: Json) -> None:
        if pod["metadata"]["name"] == "etl-task":
            server.kubelet.delete(("pods", "s", "etl-task"), 0)

    server.kubelet.plans = [lambda pod: None]
    monkeypatch.setattr(engine.told, "created", delete)
    assert engine.call(functions.double, 21, relaunches=NO_RETRIES) == 42
    assert launches(server) == ["etl-task", "etl-task-again1"]


def test_a_pod_that_spot_nodes_lost_often_enough_goes_without_them(engine: Engine, server: ApiServer) -> None:
    own, taint = {"key": "gpu", "operator": "Exists"}, {"key": "spot", "operator": "Exists", "effect": "NoSchedule"}
    spot = {"tries": 2, "nodeSelector": {"kind": "spot"}, "tolerations": [taint]}
    override = {
        "metadata": {"annotations": {names.SPOT_ANNOTATION: json.dumps(spot)}},
        "spec": {"nodeSelector": {"kind": "spot", "zone": "a"}, "tolerations": [own, taint]},
    }
    server.kubelet.plans = [refused_by_the_node, refused_by_the_node, refused_by_the_node]
    assert engine.call(functions.double, 21, relaunches=NO_RETRIES, overrides=[override]) == 42
    specs = [asked.body["spec"] for asked in server.asked("POST .*/pods$")]
    assert [spec["nodeSelector"] for spec in specs] == [{"kind": "spot", "zone": "a"}] * 2 + [{"zone": "a"}] * 2
    assert [spec["tolerations"] for spec in specs] == [[own, taint]] * 2 + [[own]] * 2
    assert "The next pod may run on nodes that are not spot nodes too." in engine.told.notes


def test_the_last_launch_goes_without_spot_nodes_however_many_tries_they_have(
    engine: Engine, server: ApiServer
) -> None:
    spot = {"tries": 9, "nodeSelector": {"kind": "spot"}}
    override = {
        "metadata": {"annotations": {names.SPOT_ANNOTATION: json.dumps(spot)}},
        "spec": {"nodeSelector": {"kind": "spot"}},
    }
    server.kubelet.plans = [refused_by_the_node] * 3
    assert engine.call(functions.double, 21, relaunches=NO_RETRIES, overrides=[override]) == 42
    specs = [asked.body["spec"].get("nodeSelector") for asked in server.asked("POST .*/pods$")]
    assert specs == [{"kind": "spot"}] * 3 + [{}]


def test_a_task_that_chose_no_relaunch_is_not_told_how_to_have_one(engine: Engine, server: ApiServer) -> None:
    server.kubelet.plans = [evicted_while_it_ran]
    with pytest.raises(PodLost) as raised:
        engine.call(functions.double, 21, relaunches=Relaunches.of(retries=2, task=0, environment=None))
    assert str(raised.value).endswith("The cluster says: EvictionByEvictionAPI: Eviction API: evicting.")
    assert launches(server) == ["etl-task"]


@pytest.mark.parametrize("plan", WHILE, ids=lambda plan: plan.__name__)
@pytest.mark.parametrize("get_logs", [True, False])
def test_with_retries_it_is_launched_again_in_place(
    engine: Engine, server: ApiServer, plan: Plan, get_logs: bool
) -> None:
    server.kubelet.plans = [plan]
    assert engine.call(functions.double, 21, relaunches=RETRIES, follow=get_logs) == 42
    assert launches(server) == ["etl-task", "etl-task-again1"]
    until(lambda: server.pods() == [])


def test_a_pod_is_launched_again_three_times_at_most(engine: Engine, server: ApiServer) -> None:
    server.kubelet.default = evicted_while_it_ran
    with pytest.raises(PodLost, match="Evicted: The node was low on resource"):
        engine.call(functions.double, 21, relaunches=RETRIES)
    assert launches(server) == ["etl-task", *(f"etl-task-again{number}" for number in (1, 2, 3))]
    until(lambda: server.pods() == [])


@pytest.mark.parametrize(
    ("retries", "task", "environment", "allowed"),
    [(0, 1, None, 1), (3, 0, None, 0), (0, None, 2, 2), (3, None, 0, 0), (0, 1, 5, 1)],
)
@pytest.mark.parametrize("plan", [refused_by_the_node, evicted_while_it_ran], ids=lambda plan: plan.__name__)
def test_the_task_or_its_environment_says_how_often(
    engine: Engine,
    server: ApiServer,
    retries: int,
    task: int | None,
    environment: int | None,
    allowed: int,
    plan: Plan,
) -> None:
    server.kubelet.default = plan
    with pytest.raises(PodLost):
        engine.call(functions.double, 1, relaunches=Relaunches.of(retries=retries, task=task, environment=environment))
    assert len(launches(server)) == allowed + 1


def test_the_clusters_words_say_why_a_pod_was_taken(engine: Engine, server: ApiServer) -> None:
    server.kubelet.plans = [evicted_while_it_ran, preempted_before_its_start]
    assert engine.call(functions.double, 21, relaunches=RETRIES) == 42
    evicted, preempted = (note for note in engine.told.notes if "It is started again" in note)
    assert "The cluster says: EvictionByEvictionAPI: Eviction API: evicting. It is started again (1 of" in evicted
    assert "The cluster says: Preempted: Preempted by s/important on node node-1. It is started again (2" in preempted


def test_a_pod_that_used_too_much_disk_is_not_launched_again(engine: Engine, server: ApiServer) -> None:
    def greedy(pod: NodePod) -> None:
        pod.schedule()
        pod.start()
        pod.fail("Evicted", "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi.")

    server.kubelet.plans = [greedy]
    with pytest.raises(DiskExceeded, match="raise its ephemeral-storage limit"):
        engine.call(functions.double, 1, relaunches=RETRIES)
    assert launches(server) == ["etl-task"]


@pytest.mark.parametrize("get_logs", [True, False])
def test_a_pod_on_a_lost_node_is_launched_again_and_never_deleted_by_force(
    engine: Engine, server: ApiServer, get_logs: bool
) -> None:
    def loses_its_node(pod: NodePod) -> None:
        pod.schedule()
        pod.start()
        pod.write("working\n")
        pod.wait(0.2)
        server.kubelet.answers = False
        server.cut()
        pod.not_ready()
        pod.mark_deleted(30)

    def on_another_node(pod: NodePod) -> None:
        server.kubelet.answers = True
        pod.schedule("node-2")
        pod.run()

    server.kubelet.plans = [loses_its_node, on_another_node]
    assert engine.call(functions.double, 21, relaunches=RETRIES, follow=get_logs) == 42
    assert launches(server) == ["etl-task", "etl-task-again1"]
    assert any("does not answer, and the pod may still run there" in note for note in engine.told.notes)
    assert [asked.body.get("gracePeriodSeconds") for asked in server.asked("DELETE .*/etl-task$")] == [None]


def test_a_result_that_came_before_the_pod_was_lost_counts(engine: Engine, server: ApiServer) -> None:
    def evicted_at_its_end(pod: NodePod) -> None:
        pod.schedule()
        pod.end = lambda *_, **__: pod.fail("Evicted", "The node was low on resource.")  # type: ignore[method-assign]
        pod.run()

    server.kubelet.plans = [evicted_at_its_end]
    assert engine.call(functions.double, 21) == 42
    assert len(launches(server)) == 1
