"""The worker ends, or is told to; the node is gone: no pod is left, no work is done twice, and nothing is a success."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes import client
from tests.cluster.pods.devcluster_parts import stopped

from podenv.errors import Killed, PodNameTaken

if TYPE_CHECKING:
    from tests.cluster.pods.conftest import Cluster, InBackground, Outcome

    Start = Callable[..., InBackground]
    Execute = Callable[..., Outcome]


def waits(seconds: float) -> str:
    import time

    print("waiting")
    time.sleep(seconds)
    return "waited"


def runs(pod: Any) -> bool:
    return bool(pod.status.phase == "Running")


def killed_worker(make: Callable[..., Any], execute: Execute, cluster: Cluster, task_id: str, **given: Any) -> Any:
    """The pod that a worker leaves behind which was killed with SIGKILL."""
    operator = make(waits, given.pop("seconds", 4), task_id=task_id, **given)
    child = os.fork()
    if child == 0:
        try:
            execute(operator)
        finally:
            os._exit(0)
    try:
        return cluster.await_pod(task_id, runs)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@pytest.mark.parametrize("pause", [0.0, 0.1, 0.5, 2.0])
def test_a_task_that_is_told_to_end_ends_soon_and_leaves_no_pod(start: Start, cluster: Cluster, pause: float) -> None:
    task_id = f"told-{int(pause * 10)}"
    running = start(waits, 60, task_id=task_id)
    time.sleep(pause)
    running.operator.on_kill()
    outcome = running.outcome(30)
    assert isinstance(outcome.error, Killed)
    assert "was ended from outside" in outcome.message
    assert cluster.pods(task_id=task_id) == []


def test_on_kill_can_leave_the_pod_to_the_next_try(
    start: Start, make: Callable[..., Any], execute: Execute, cluster: Cluster
) -> None:
    given = {"task_id": "left", "on_kill_action": "keep_pod"}
    running = start(waits, 8, **given)
    pod = cluster.await_pod("left", runs)
    running.operator.on_kill()
    assert isinstance(running.outcome(30).error, Killed)
    assert [one.metadata.name for one in cluster.pods(task_id="left")] == [pod.metadata.name]
    outcome = execute(make(waits, 8, **given), try_number=2)
    assert (outcome.value, outcome.xcoms["pod_name"]) == ("waited", pod.metadata.name)


def test_the_next_try_goes_on_with_the_pod_of_a_worker_that_was_killed(
    make: Callable[..., Any], execute: Execute, cluster: Cluster
) -> None:
    left = killed_worker(make, execute, cluster, "resumed")
    outcome = execute(make(waits, 4, task_id="resumed"), try_number=2)
    assert outcome.value == "waited"
    assert outcome.xcoms["pod_name"] == left.metadata.name
    assert outcome.printed == ["waiting"]


def test_a_pod_of_another_run_or_another_airflow_is_neither_adopted_nor_deleted(
    make: Callable[..., Any], execute: Execute, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two Airflows share a cluster: their scheduled runs of the same DAG have the same name."""
    left = killed_worker(make, execute, cluster, "shared", seconds=6)
    other_run = execute(make(waits, 6, task_id="shared"), run_id="another")
    monkeypatch.setenv("AIRFLOW__PODENV__AIRFLOW_ID", "staging")
    other_airflow = execute(make(waits, 6, task_id="shared"))
    names = {left.metadata.name, other_run.xcoms["pod_name"], other_airflow.xcoms["pod_name"]}
    assert len(names) == 3
    assert [pod.metadata.name for pod in cluster.pods(task_id="shared")] == [left.metadata.name]
    cluster.core.delete_namespaced_pod(left.metadata.name, cluster.namespace)


def test_a_name_that_another_runs_pod_has_is_refused_and_that_pod_lives_on(
    make: Callable[..., Any], execute: Execute, start: Start, cluster: Cluster
) -> None:
    fixed = {"task_id": "nightly", "name": "nightly", "random_name_suffix": False}
    running = start(waits, 5, **fixed)
    cluster.await_pod("nightly", runs)
    store = {"pod_identifier": {"name": "nightly", "namespace": cluster.namespace}}  # what a stock operator would trust
    outcome = execute(make(waits, 5, retries=1, **fixed), run_id="run_B", try_number=2, store=store)
    assert isinstance(outcome.error, PodNameTaken)
    assert outcome.error.retry
    assert "another pod nightly (dag_id tests, task_id nightly, run_id run) is in" in outcome.message
    assert running.outcome().value == "waited"


def test_the_result_of_a_pod_that_succeeded_unwatched_counts(
    make: Callable[..., Any], execute: Execute, cluster: Cluster
) -> None:
    left = killed_worker(make, execute, cluster, "unwatched")
    cluster.await_pod("unwatched", lambda pod: pod.status.phase == "Succeeded")
    outcome = execute(make(waits, 4, task_id="unwatched"), try_number=2)
    assert (outcome.value, outcome.xcoms["pod_name"]) == ("waited", left.metadata.name)


def test_a_deferrable_task_does_not_defer_for_a_pod_that_is_over(
    make: Callable[..., Any], execute: Execute, cluster: Cluster
) -> None:
    left = killed_worker(make, execute, cluster, "over")
    cluster.await_pod("over", lambda pod: pod.status.phase == "Succeeded")
    outcome = execute(make(waits, 4, task_id="over", deferrable=True), try_number=2)
    assert (outcome.value, outcome.xcoms["pod_name"]) == ("waited", left.metadata.name)


@pytest.mark.parametrize("change", ["image", "call", "not durable"])
def test_a_pod_of_another_image_or_call_is_never_adopted(
    make: Callable[..., Any], execute: Execute, cluster: Cluster, change: str
) -> None:
    task_id = f"stale-{change.replace(' ', '-')}"
    left = killed_worker(make, execute, cluster, task_id, seconds=5)
    given: dict[str, Any] = {"durable": change != "not durable"}
    if change == "image":
        given["image"] = cluster.image.replace("@", ":test@")
    outcome = execute(make(waits, 0.5 if change == "call" else 5, task_id=task_id, **given))
    assert outcome.value == "waited"
    assert outcome.xcoms["pod_name"] != left.metadata.name
    assert [pod.metadata.name for pod in cluster.pods(task_id=task_id)] == (
        [left.metadata.name] if change == "not durable" else []
    )


def test_a_kept_pod_is_not_taken_for_the_next_trys_own(
    make: Callable[..., Any], execute: Execute, cluster: Cluster
) -> None:
    first = execute(make(waits, 0, task_id="kept", on_finish_action="keep_pod"))
    second = execute(make(waits, 0, task_id="kept", on_finish_action="keep_pod"), try_number=2)
    assert first.value == second.value == "waited"
    assert sorted(pod.metadata.name for pod in cluster.pods(task_id="kept")) == sorted(
        [first.xcoms["pod_name"], second.xcoms["pod_name"]]
    )


@contextmanager
def another_node(core: Any) -> Iterator[None]:
    """A node that is ready and takes no pods: a cluster of which every node is gone gives up none of them."""
    name = "podenv-tests-phantom"
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "", "lastTransitionTime": None}
    lease = {"metadata": {"name": name}, "spec": {"holderIdentity": name, "leaseDurationSeconds": 40}}
    leases = client.CoordinationV1Api(core.api_client)
    over = threading.Event()

    def beat() -> None:
        while True:
            now = datetime.now(UTC)
            ready["lastHeartbeatTime"] = ready["lastTransitionTime"] = now.isoformat()
            core.patch_node_status(name, {"status": {"conditions": [ready]}})
            spec = {"renewTime": now.isoformat(timespec="microseconds")}
            leases.patch_namespaced_lease(name, "kube-node-lease", {"spec": spec})
            if over.wait(5):
                return

    core.create_node({"metadata": {"name": name}, "spec": {"unschedulable": True}})
    leases.create_namespaced_lease("kube-node-lease", lease)
    heart = threading.Thread(target=beat)
    heart.start()
    try:
        yield
    finally:
        over.set()
        heart.join()
        core.delete_node(name)
        leases.delete_namespaced_lease(name, "kube-node-lease")


def ends_when_started_again() -> str:
    import socket
    import time

    if not socket.gethostname().endswith("-again1"):
        time.sleep(3600)
    return "started again"


@pytest.mark.devcluster
def test_a_pod_on_a_node_that_is_gone_is_started_again(start: Start, cluster: Cluster) -> None:
    running = {
        "logged": start(waits, 3600, task_id="logged", relaunch=3, schedule_timeout_seconds=300),
        "unlogged": start(waits, 3600, task_id="unlogged", relaunch=3, schedule_timeout_seconds=300, get_logs=False),
        "deferred": start(
            ends_when_started_again,
            task_id="deferred",
            retries=1,
            schedule_timeout_seconds=300,
            deferrable=True,
            poll_interval=1,
        ),
    }
    first = {task_id: cluster.await_pod(task_id, runs).metadata.name for task_id in running}
    with another_node(cluster.core), stopped("kubelet"):
        deadline = time.monotonic() + 120
        while {*first.values()} & {pod.metadata.name for pod in cluster.pods()}:
            assert time.monotonic() < deadline, "the cluster has not given up the node"
            time.sleep(1)
        for task_id, name in first.items():
            assert cluster.await_pod(task_id).metadata.name == f"{name}-again1"
    for task_id in ("logged", "unlogged"):
        cluster.await_pod(task_id, runs)
        running[task_id].operator.on_kill()
    outcomes = {task_id: one.outcome() for task_id, one in running.items()}
    assert outcomes["deferred"].value == "started again"
    for outcome in outcomes.values():
        assert any("does not answer, and the pod may still run there" in line for line in outcome.log)


def allocates(megabytes: int) -> int:
    import time

    print("waiting")
    time.sleep(2)
    return len(bytearray(megabytes * 1024 * 1024))


def test_a_pod_that_was_taken_over_and_runs_out_of_memory_grows_as_well(
    start: Start, make: Callable[..., Any], execute: Execute, cluster: Cluster
) -> None:
    given = {"task_id": "grows", "memory": "100Mi", "max_memory": "400Mi"}
    operator = make(allocates, 150, **given)
    child = os.fork()
    if child == 0:
        execute(operator)
        os._exit(0)
    left = cluster.await_pod("grows", runs)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    outcome = execute(make(allocates, 150, **given), try_number=2)
    assert outcome.value == 150 * 1024 * 1024
    assert outcome.xcoms["pod_name"] == f"{left.metadata.name}-again1"
