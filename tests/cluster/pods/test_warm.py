"""Tasks of an environment with idle pods, on a real cluster."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from podenv.catalogue import names
from podenv.pods.claim import IdlePods

if TYPE_CHECKING:
    from tests.cluster.pods.conftest import Cluster, InBackground, Outcome

    Run = Callable[..., Outcome]
    Start = Callable[..., InBackground]

NAME, IDLE = "waiting", 4


def doubles(number: int) -> list[Any]:
    import os
    import socket

    print("doubling")
    return [2 * number, socket.gethostname(), sorted(name for name in os.environ if "PODENV" in name)]


def prints(lines: int, seconds: float) -> int:
    import time

    for number in range(lines):
        print(number, "x" * 80)
    time.sleep(seconds)
    print("last")
    return lines


def raises() -> None:
    raise ValueError("no")


def sleeps(seconds: float, path: str = "") -> str:
    import pathlib
    import time

    try:
        print("asleep", flush=True)
        time.sleep(seconds)
    finally:
        print("finally", flush=True)
        if path:
            pathlib.Path(path).touch()
    return "awake"


def hoards(megabytes: int) -> int:
    return len(b"x" * megabytes * 1024 * 1024)


def connection(name: str) -> str:
    import os

    return os.environ[name]


def word() -> list[Any]:
    import os
    import socket

    return [os.environ.get("WORD"), socket.gethostname()]


class Pool:
    """The idle pods of the environment."""

    def __init__(self, core: Any, namespace: str) -> None:
        self.core = core
        self.namespace = namespace

    def idle(self) -> list[Any]:
        listed = self.core.list_namespaced_pod(self.namespace, label_selector=f"{names.WARM_LABEL}={NAME}").items
        return [pod for pod in listed if pod.status.phase == "Running" and not pod.metadata.deletion_timestamp]

    def fill(self) -> list[str]:
        """The names of idle pods, once all wait."""
        deadline = time.monotonic() + 60
        while len(found := self.idle()) < IDLE:
            assert time.monotonic() < deadline, f"{len(found)} of {IDLE} idle pods"
            time.sleep(0.1)
        return [pod.metadata.name for pod in found]

    def taken(self) -> list[Any]:
        """Pods that tasks have."""
        selector = f"{names.TEMPLATE_LABEL},!{names.WARM_LABEL}"
        listed = self.core.list_namespaced_pod(self.namespace, label_selector=selector).items
        return [pod for pod in listed if pod.metadata.deletion_timestamp is None]


@pytest.fixture(scope="module")
def pool(cluster: Cluster) -> Pool:
    made = Pool(cluster.core, cluster.deploy(NAME))
    made.fill()
    time.sleep(3)  # so that none is young
    return made


def test_a_task_takes_an_idle_pod(run: Run, pool: Pool) -> None:
    waiting = pool.fill()
    outcome = run(doubles, 21, env=NAME)
    assert outcome.error is None, outcome.log
    number, host, variables = outcome.value
    assert (number, host in waiting, variables) == (42, True, [])
    assert outcome.log[1].startswith(f"Idle pod {pool.namespace}/{host} on node ")
    assert outcome.log[2:-1] == ["doubling"]
    assert outcome.xcoms == {"pod_name": host, "pod_namespace": pool.namespace}
    assert pool.taken() == []


def test_every_line_comes_once_in_order_however_much_it_prints(run: Run, pool: Pool) -> None:
    pool.fill()
    outcome = run(prints, 20_000, 1.0, env=NAME)
    assert outcome.value == 20_000
    lines = [line for line in outcome.log if line.endswith("x") or line == "last"]
    assert lines == [f"{number} {'x' * 80}" for number in range(20_000)] + ["last"]
    assert outcome.log[1].startswith("Idle pod ")


def test_what_fails_fails_as_in_a_new_pod(run: Run, pool: Pool) -> None:
    pool.fill()
    outcome = run(raises, env=NAME)
    assert outcome.message == "FunctionRaised: The function raised ValueError in environment 'waiting': no"
    assert any("raise ValueError" in line for line in outcome.log)
    late = run(sleeps, 60.0, env=NAME, active_deadline_seconds=3)
    assert late.message.startswith("DeadlinePassed: ")
    assert late.seconds < 15
    assert [line[:9] for line in outcome.log[1:2] + late.log[1:2]] == ["Idle pod ", "Idle pod "]


def test_out_of_memory_it_runs_again_in_a_new_pod_with_more(run: Run, pool: Pool) -> None:
    pool.fill()
    outcome = run(hoards, 150, env=NAME, max_memory="512Mi")
    assert outcome.value == 150 * 1024**2
    said = [line for line in outcome.log if line.startswith(("Idle pod", "A new pod"))]
    assert said[0].startswith("Idle pod ")
    assert said[1] == (
        "A new pod is created: containers.base.resources.limits.memory is not what the environment's pods have."
    )


def test_connections_and_a_call_that_would_be_a_secret_come_with_the_call(
    run: Run, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.fill()
    monkeypatch.setenv("AIRFLOW_CONN_BOOKS", "http://user:pass%24%24word@books.example")
    monkeypatch.setenv("AIRFLOW__PODENV__PAYLOAD", "secret")
    outcome = run(connection, "AIRFLOW_CONN_BOOKS", env=NAME, connections=["books"])
    assert outcome.log[1].startswith("Idle pod ")
    assert outcome.value == "http://user:pass%24%24word@books.example"
    assert pool.core.list_namespaced_secret(pool.namespace, field_selector="type=Opaque").items == []


def test_a_kill_ends_the_pod_at_once(start: Start, pool: Pool) -> None:
    pool.fill()
    held = start(sleeps, 60.0, env=NAME)
    deadline = time.monotonic() + 20
    while not pool.taken():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1)
    held.operator.on_kill()
    assert held.outcome(10).message.startswith("Killed: ")
    assert pool.taken() == []


def test_run_in_env_takes_an_idle_pod(pool: Pool) -> None:
    from podenv import run_in_env

    waiting = pool.fill()
    number, host, _ = run_in_env(NAME, doubles, 21)
    assert (number, host in waiting) == (42, True)


def test_deferrable_tasks_and_tasks_that_ask_for_more_get_new_pods(run: Run, pool: Pool) -> None:
    pool.fill()
    deferred = run(doubles, 21, env=NAME, deferrable=True)
    larger = run(doubles, 21, env=NAME, memory="192Mi")
    assert [outcome.value[0] for outcome in (deferred, larger)] == [42, 42]
    assert deferred.log[1] == "A new pod is created: a deferrable task takes no idle one."
    assert larger.log[1].startswith("A new pod is created: containers.base.resources.limits.memory is not")
    assert len(pool.idle()) == IDLE


def test_tasks_at_once_use_no_pod_twice_and_those_without_one_get_new_ones(
    make: Callable[..., Any], execute: Callable[..., Outcome], pool: Pool
) -> None:
    pool.fill()
    operator = make(doubles, 21, env=NAME)
    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(lambda number: execute(operator, map_index=number), range(12)))
    assert [outcome.error for outcome in outcomes] == [None] * 12
    hosts = [outcome.value[1] for outcome in outcomes]
    assert [outcome.value[0] for outcome in outcomes] == [42] * 12
    assert len(set(hosts)) == 12
    assert sum("Idle pod" in outcome.log[1] for outcome in outcomes) >= IDLE


@pytest.mark.parametrize("moment", ["take", "hand"])
def test_a_release_that_is_rolled_back_in_the_middle_of_a_claim_costs_no_task_its_result(
    run: Run, pool: Pool, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    cluster.deploy(NAME, env={"WORD": "new"})
    waiting = pool.fill()
    stock = getattr(IdlePods, moment)
    back: list[object] = []

    def after_a_rollback(*given: Any) -> Any:
        if not back:
            back.append(cluster.rollback(NAME))
        return stock(*given)

    monkeypatch.setattr(IdlePods, moment, after_a_rollback)
    outcome = run(word, env=NAME)
    assert outcome.error is None, outcome.log
    assert outcome.value[0] == "new"  # as the release was when the task began
    if moment == "hand":  # it is the task's own by then, and no part of the release
        assert outcome.value[1] in waiting
    assert run(word, env=NAME).value[0] is None
    pool.fill()
    assert pool.taken() == []


def test_a_task_on_a_node_that_is_drained_runs_again_elsewhere_or_once_there_is_room(
    start: Start, pool: Pool, cluster: Cluster, tmp_path: Path
) -> None:
    pool.fill()
    held = start(sleeps, 4.0, env=NAME, task_id="drained", relaunch=1)
    first = cluster.await_pod("drained", lambda pod: "base" in str(pod.status.container_statuses), pool.namespace)
    time.sleep(1)
    node = first.spec.node_name
    cluster.core.patch_node(node, {"spec": {"unschedulable": True}})
    try:
        cluster.evict(first)
        deadline = time.monotonic() + 30
        while waiting := pool.idle():  # also those that the scheduler placed before it saw that it may not
            assert time.monotonic() < deadline, waiting
            for pod in waiting:
                cluster.evict(pod)
            time.sleep(1)
    finally:
        cluster.core.patch_node(node, {"spec": {"unschedulable": None}})
    outcome = held.outcome(90)
    assert outcome.value == "awake", outcome.log
    assert outcome.log[1].startswith(f"Idle pod {pool.namespace}/{first.metadata.name} on node {node} took the task")
    assert outcome.xcoms["pod_name"] != first.metadata.name
    pool.fill()
    assert pool.taken() == []


def test_behind_a_proxy_without_websockets_tasks_get_new_pods_and_no_idle_one_is_used_up(
    run: Run, pool: Pool, plain_proxy: str
) -> None:
    waiting = set(pool.fill())
    first = run(doubles, 21, env=NAME, kubernetes_conn_id=plain_proxy)
    second = run(doubles, 22, env=NAME, kubernetes_conn_id=plain_proxy)
    assert [outcome.value[0] for outcome in (first, second)] == [42, 44], (first, second)
    (why,) = [line for line in first.log if line.startswith("A new pod is created: ")]
    assert re.fullmatch(r"A new pod is created: one cannot attach to pod \S+ \(the answer was 400\)\.", why)
    assert second.log[1] == "A new pod is created: nobody can attach to pods here."
    assert len(waiting - set(pool.fill())) == 1  # the one that was tried
    assert pool.taken() == []


def test_workers_that_are_killed_at_any_moment_lose_no_result_double_none_and_leave_no_pod(pool: Pool) -> None:
    pool.fill()
    kills = int(os.environ.get("PODENV_TEST_KILLS", "5"))
    argv = [sys.executable, str(Path(__file__).with_name("killing.py")), pool.namespace, NAME, str(kills)]
    ran = subprocess.run(argv, stdout=subprocess.PIPE, text=True, timeout=60 + 15 * kills, check=True)
    *rounds, last = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    assert len(rounds) == kills
    for one in rounds:
        assert one["error"] == "None", one
        assert one["after"] == [], one
        # What has begun is not begun again, where the killed worker had not removed it itself.
        assert [name for name, log in one["left"].items() if "asleep" in log] in ([], [one["value"]]), one
    assert last == {"silent": 2, "left": []}
