"""A pod that an earlier worker left of this very work is followed to its end; no other pod is adopted or deleted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.pods import functions, statuses
from tests.pods.apiserver import ApiServer
from tests.pods.engine import IMAGE, OWNER, SELECTOR, Engine, InBackground, until
from tests.pods.nodepod import NodePod

from podenv.catalogue import names
from podenv.errors import PodLost, PodNameTaken, PodRefused
from podenv.pods.decisions import CHECKED_LABEL
from podenv.pods.manifest import merge
from podenv.pods.request import PodRequest, Relaunches

Engines = Callable[[], Engine]
Json = dict[str, Any]


def leave(server: ApiServer, request: PodRequest, **metadata: Any) -> NodePod:
    """The pod that a worker left which was killed right after it had created it."""
    body = merge(request.body(), {"metadata": metadata})
    server.core().create_namespaced_pod("s", body)
    return server.kubelet.pod(request.name)


def next_try(engine: Engine, request: PodRequest) -> Any:
    """The value that the next try brings."""
    return engine.run(request, adopted=engine.life.find(request, SELECTOR))


def launched(server: ApiServer) -> list[str]:
    return [asked.body["metadata"]["name"] for asked in server.asked("POST .*/pods$")]


def test_the_next_try_follows_the_pod_of_a_worker_that_was_killed(
    engines: Engines, server: ApiServer, tmp_path: Path
) -> None:
    end = tmp_path / "end"
    left = leave(server, engines().request(functions.waits_for, str(end), name="left"))
    second = engines()
    running = InBackground(lambda: next_try(second, second.request(functions.waits_for, str(end), name="second")))
    until(lambda: second.told.lines == ["waiting"])
    end.touch()
    assert running.value() == "done"
    assert launched(server) == ["left"]
    assert second.told.steps[0] == "created left"
    assert second.told.notes[0].startswith("Pod s/left runs on node node-1: created ")
    until(lambda: server.pods() == [])
    assert left.stopped.is_set()


@pytest.mark.parametrize("get_logs", [True, False])
def test_the_result_of_a_pod_that_ended_unwatched_counts(engines: Engines, server: ApiServer, get_logs: bool) -> None:
    leave(server, engines().request(functions.double, 21, name="left"))
    until(lambda: server.pods()[0]["status"]["phase"] == "Succeeded")
    second = engines()
    assert next_try(second, second.request(functions.double, 21, name="second", follow=get_logs)) == 42
    assert second.told.lines == (["doubling"] if get_logs else [])
    assert launched(server) == ["left"]


def test_the_secret_that_a_killed_worker_did_not_create_is_created(engines: Engines, server: ApiServer) -> None:
    first = engines().request(functions.double, 21, name="left", payload="secret")
    leave(server, first)
    until(lambda: "CreateContainerConfigError" in str(server.pods()[0]["status"]))
    second = engines()
    assert next_try(second, second.request(functions.double, 21, name="second", payload="secret")) == 42
    assert launched(server) == ["left"]
    until(lambda: server.objects.chosen("secrets", "s") == [])


CHANGES: dict[str, Json] = {
    "another image": {"spec": {"containers": [{"name": "base", "image": f"{IMAGE}9"}]}},
    "another call": {"metadata": {"annotations": {names.CALL_ANNOTATION: "another"}}},
    "no call": {"metadata": {"annotations": {names.CALL_ANNOTATION: ""}}},
}


@pytest.mark.parametrize("change", list(CHANGES))
def test_a_pod_of_this_task_that_does_other_work_is_deleted(engines: Engines, server: ApiServer, change: str) -> None:
    request = engines().request(functions.sleeps, 60, name="left")
    server.core().create_namespaced_pod("s", merge(request.body(), CHANGES[change]))
    second = engines()
    assert next_try(second, second.request(functions.double, 21, name="second")) == 42
    assert launched(server) == ["left", "second"]
    until(lambda: server.pods() == [])


@pytest.mark.parametrize("state", ["failed", "marked", "going"])
def test_a_pod_that_can_bring_no_result_of_this_try_is_not_adopted(
    engines: Engines, server: ApiServer, state: str
) -> None:
    def plan(pod: NodePod) -> None:
        pod.going = 5.0
        pod.schedule()
        pod.start()
        if state == "failed":
            pod.end(1)

    server.kubelet.plans = [plan]
    left = leave(
        server, engines().request(functions.double, 21, name="left"),
        labels={**OWNER, **({CHECKED_LABEL: "True"} if state == "marked" else {})},
    )  # fmt: skip
    until(lambda: server.pods()[0]["status"]["phase"] == ("Failed" if state == "failed" else "Running"))
    if state == "going":
        left.mark_deleted(30)
    second = engines()
    assert next_try(second, second.request(functions.double, 21, name="second")) == 42
    assert launched(server) == ["left", "second"]
    deleted = [asked.line.rsplit("/", 1)[-1] for asked in server.asked("DELETE")]
    assert deleted == (["left", "second"] if state == "failed" else ["second"])


def evicted_while_it_ran(pod: NodePod) -> None:
    pod.schedule()
    pod.start()
    pod.wait(0.3)
    pod.fail("Evicted", "The node was low on resource: memory.")


def test_a_pod_that_was_adopted_counts_how_often_it_was_launched_again(engines: Engines, server: ApiServer) -> None:
    server.kubelet.default = evicted_while_it_ran
    allowed = Relaunches(started=3)
    first = engines().request(functions.double, 21, name="left-again2")
    leave(server, first, annotations={names.STARTS_ANNOTATION: "2"})
    second = engines()
    with pytest.raises(PodLost):
        next_try(second, second.request(functions.double, 21, name="second", relaunches=allowed))
    assert launched(server) == ["left-again2", "left-again3"]


def test_a_pod_that_was_adopted_grows_from_the_memory_that_it_had(engines: Engines, server: ApiServer) -> None:
    def killed(pod: NodePod) -> None:
        pod.schedule()
        pod.start()
        pod.end(137, "OOMKilled")

    server.kubelet.plans = [evicted_while_it_ran]
    left = leave(server, engines().request(functions.double, 21, name="left-again1", memory="2Gi"))
    left.stopped.set()
    server.kubelet.plans = [killed]
    left.start()
    threading.Timer(0.3, lambda: left.end(137, "OOMKilled")).start()
    second = engines()
    assert next_try(second, second.request(functions.double, 21, memory="1Gi", max_memory="8Gi")) == 42
    containers = [asked.body["spec"]["containers"][0] for asked in server.asked("POST .*/pods$")]
    assert [one["resources"]["limits"]["memory"] for one in containers] == ["2Gi", "4Gi", "8Gi"]
    assert launched(server) == ["left-again1", "left-again2", "left-again3"]


def test_of_several_pods_the_newest_is_adopted(engines: Engines, server: ApiServer) -> None:
    for number, moment in enumerate(("2026-01-01T00:00:01Z", "2026-01-01T00:00:03Z", "2026-01-01T00:00:02Z")):
        pod = leave(server, engines().request(functions.double, 21, name=f"left{number}"))
        pod.edit(lambda item, moment=moment: item["metadata"].update(creationTimestamp=moment))  # type: ignore[misc]
    second = engines()
    assert next_try(second, second.request(functions.double, 21, name="second")) == 42
    assert second.told.steps[0] == "created left1"
    until(lambda: server.pods() == [])


def test_the_pods_of_others_are_neither_adopted_nor_deleted(engines: Engines, server: ApiServer) -> None:
    """The same call, the same image, another task, run or Airflow."""
    request = engines().request(functions.sleeps, 60, name="left")
    other = merge(request.body(), {"metadata": {"labels": {names.OWNER_LABEL: "another-run"}}})
    server.core().create_namespaced_pod("s", other)
    second = engines()
    assert second.life.find(second.request(functions.sleeps, 60), SELECTOR) is None
    assert server.asked("DELETE") == []
    assert [pod["metadata"]["name"] for pod in server.pods()] == ["left"]


def test_a_fixed_name_that_another_run_holds_is_refused_and_names_its_owner(
    engines: Engines, server: ApiServer
) -> None:
    """``random_name_suffix=False``: run B's pod runs when run A's next try starts."""
    theirs = {names.OWNER_LABEL: "run-b", "dag_id": "d", "task_id": "t", "run_id": "run_b"}
    request = engines().request(functions.sleeps, 60, name="nightly")
    server.core().create_namespaced_pod("s", merge(request.body(), {"metadata": {"labels": theirs}}))
    second = engines()
    with pytest.raises(PodNameTaken, match=r"another pod nightly \(dag_id d, task_id t, run_id run_b\) is in s; wait"):
        next_try(second, second.request(functions.sleeps, 60, name="nightly"))
    assert server.asked("DELETE") == []
    assert [pod["metadata"]["labels"][names.OWNER_LABEL] for pod in server.pods()] == ["run-b"]


def test_a_fixed_name_whose_pod_is_going_is_waited_for(engines: Engines, server: ApiServer) -> None:
    def slow_to_go(pod: NodePod) -> None:
        pod.going = 0.5
        pod.schedule()
        pod.start()

    server.kubelet.plans = [slow_to_go]
    leave(server, engines().request(functions.double, 4, name="nightly"))
    server.core().delete_namespaced_pod("nightly", "s")
    second = engines()
    assert next_try(second, second.request(functions.double, 21, name="nightly")) == 42
    until(lambda: server.pods() == [])


def test_a_pod_of_this_request_that_was_created_unanswered_is_taken(engine: Engine, server: ApiServer) -> None:
    server.trouble("POST", times=1, lose_answer=True)
    assert engine.call(functions.double, 21) == 42
    assert launched(server) == ["etl-task", "etl-task"]


def test_pods_that_may_not_be_listed_are_told(engine: Engine, server: ApiServer) -> None:
    server.trouble("GET", refuse=statuses.forbidden("list", "pods"))
    with pytest.raises(PodRefused, match="may not list pods"):
        engine.life.find(engine.request(functions.double, 1), SELECTOR)


def test_a_leftover_that_vanishes_meanwhile_does_not_matter(engines: Engines, server: ApiServer) -> None:
    left = leave(server, engines().request(functions.sleeps, 60, name="left"))
    server.trouble("DELETE", before=left.vanish)
    second = engines()
    assert next_try(second, second.request(functions.double, 21, name="second")) == 42
