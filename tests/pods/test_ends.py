"""Whatever ends a task, its pod is deleted or left as the task says, and no other pod is touched."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import pytest
from tests.pods import functions, statuses
from tests.pods.apiserver import ApiServer
from tests.pods.engine import Engine, until
from tests.pods.nodepod import NodePod

from podenv.errors import Exited, FunctionRaised, Killed, OutOfMemory, PodFailure, PodLost, PodRefused
from podenv.pods.decisions import CHECKED_LABEL
from podenv.pods.request import FinishAction

Engines = Callable[[], Engine]


class TimedOut(BaseException):
    """What Airflow raises in the main thread when a task's execution_timeout passes."""


@contextmanager
def killing(engine: Engine) -> Iterator[Callable[[], None]]:
    """A function that has a signal interrupt the main thread, where the handler ends the task, as Airflow's does."""
    over = threading.Event()

    def kill() -> None:
        if not over.is_set():
            os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, lambda *_: engine.life.kill())
    try:
        yield kill
    finally:
        over.set()
        time.sleep(0.05)  # one that is on its way finds the handler
        signal.signal(signal.SIGUSR1, before)


def held(server: ApiServer) -> list[str]:
    """The pods and Secrets that exist."""
    items = [*server.pods(), *server.objects.chosen("secrets", "s")]
    return [f"{item['kind']} {item['metadata']['name']}" for item in items]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("number", range(5))
def test_a_kill_at_any_request_leaves_no_pod_and_no_secret(
    engine: Engine, server: ApiServer, number: int, moment: str
) -> None:
    """Requests: create pod, create Secret, watch, log, delete."""
    with killing(engine) as kill:
        happens: dict[str, Any] = {moment: kill}
        server.trouble(".", skip=number, **happens)
        with suppress(Killed):  # once it is deleted, its value has come
            assert engine.call(functions.sleeps, 0.3, payload="secret") == "awake"
            assert number == 4
    until(lambda: held(server) == [])


@pytest.mark.parametrize(
    "step", ["before a node takes it", "while its image is pulled", "while it runs", "while it ends"]
)
def test_a_kill_at_any_stage_of_the_pod_leaves_none(engine: Engine, server: ApiServer, step: str) -> None:
    def plan(pod: NodePod) -> None:
        if step == "before a node takes it":
            return kill()
        pod.schedule()
        if step == "while its image is pulled":
            return kill()
        pod.start()
        pod.write("running\n")
        if step == "while it runs":
            return kill()
        pod.log.end()
        return kill()

    server.kubelet.plans = [plan]
    with killing(engine) as kill, pytest.raises(Killed, match=r"in environment 'etl' was ended from outside\.$"):
        engine.call(functions.double, 1)
    until(lambda: held(server) == [])


def test_a_kill_while_the_server_is_away_deletes_the_pod_once_it_is_back(engine: Engine, server: ApiServer) -> None:
    def on_line(line: str) -> None:
        server.trouble(".", times=8, refuse=statuses.unavailable())
        kill()

    engine.told.on_line = on_line
    with killing(engine) as kill, pytest.raises(Killed):
        engine.call(functions.sleeps, 60)
    until(lambda: held(server) == [])


def test_a_kill_can_leave_the_pod(engine: Engine, server: ApiServer) -> None:
    engine.told.on_line = lambda line: kill()
    with killing(engine) as kill, pytest.raises(Killed):
        engine.call(functions.sleeps, 60, keep_when_killed=True, on_finish=FinishAction.DELETE)
    assert [pod["metadata"]["name"] for pod in server.pods()] == ["etl-task"]


@pytest.mark.parametrize("lost", ["drop", "lose_answer"])
@pytest.mark.parametrize("number", range(5))
def test_an_answer_that_gets_lost_costs_nothing(engine: Engine, server: ApiServer, number: int, lost: str) -> None:
    server.trouble(".", skip=number, **{lost: True})
    assert engine.call(functions.double, 21, payload="secret") == 42
    assert engine.told.lines == ["doubling"]
    assert len([line for line in engine.told.steps if line.startswith("created")]) == 1
    until(lambda: held(server) == [])


@pytest.mark.parametrize("step", ["created", "started", "succeeded", "cleaned"])
def test_an_error_in_what_is_told_of_the_pod_leaves_none(engine: Engine, server: ApiServer, step: str) -> None:
    engine.told.fail = step
    with pytest.raises(RuntimeError, match=f"an error in {step}"):
        engine.call(functions.double, 1, payload="secret")
    until(lambda: held(server) == [])


def test_an_error_in_what_is_told_of_a_failure_leaves_no_pod(engine: Engine, server: ApiServer) -> None:
    engine.told.fail = "failed"
    with pytest.raises(RuntimeError, match="an error in failed"):
        engine.call(functions.dies, 3)
    until(lambda: held(server) == [])


def test_an_error_in_the_reader_of_the_log_leaves_no_pod(engine: Engine, server: ApiServer) -> None:
    def on_line(line: str) -> None:
        raise RuntimeError(f"cannot take {line}")

    engine.told.on_line = on_line
    with pytest.raises(RuntimeError, match="cannot take asleep"):
        engine.call(functions.sleeps, 60)
    until(lambda: held(server) == [])


WAYS: dict[str, tuple[Callable[..., Any], Any, type[BaseException] | None]] = {
    "succeeded": (functions.double, 1, None),
    "raised": (functions.raises, "no", FunctionRaised),
    "ended without a result": (functions.dies, 3, Exited),
    "timed out": (functions.sleeps, 60, TimedOut),
    "lost": (functions.sleeps, 60, PodLost),
}


@pytest.mark.parametrize("action", list(FinishAction), ids=lambda action: action.value)
@pytest.mark.parametrize("way", list(WAYS))
def test_a_pod_is_kept_or_deleted_as_the_task_says(
    engine: Engine, server: ApiServer, way: str, action: FinishAction
) -> None:
    function, argument, error = WAYS[way]

    def on_line(line: str) -> None:
        if way == "timed out":
            raise TimedOut
        if way == "lost":
            server.kubelet.pod("etl-task").fail("Evicted", "The node was low on resource: memory.")

    engine.told.on_line = on_line
    with pytest.raises(error) if error else nullcontext():
        engine.call(function, argument, on_finish=action)
    kept = {
        FinishAction.DELETE: (),
        FinishAction.DELETE_SUCCEEDED: ("raised", "ended without a result", "timed out", "lost"),
        FinishAction.DELETE_ACTIVE: ("succeeded", "raised", "ended without a result", "lost"),
        FinishAction.KEEP: tuple(WAYS),
    }[action]
    if way in kept:
        (pod,) = server.pods()
        assert pod["metadata"]["labels"][CHECKED_LABEL] == "True"
        assert "deletionTimestamp" not in pod["metadata"]
    else:
        until(lambda: server.pods() == [])


def test_a_pod_that_failed_before_its_start_is_deleted_or_kept(engine: Engine, server: ApiServer) -> None:
    def never_starts(pod: NodePod) -> None:
        pod.schedule()
        pod.waiting("InvalidImageName", "couldn't parse image reference")

    server.kubelet.plans = [never_starts, never_starts]
    with pytest.raises(PodFailure, match="cannot be used") as raised:
        engine.call(functions.double, 1)
    assert not raised.value.retry
    until(lambda: server.pods() == [])
    with pytest.raises(PodFailure):
        engine.call(functions.double, 1, on_finish=FinishAction.KEEP)
    assert len(server.pods()) == 1


def test_a_pod_that_cannot_be_deleted_is_named(
    engine: Engine, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from podenv.pods import client, life

    monkeypatch.setattr(life, "DELETION_SECONDS", 0.2)
    monkeypatch.setattr(client, "RIGHTS_SECONDS", 0.2)
    server.trouble("DELETE", times=100, refuse=statuses.forbidden("delete", "pods"))
    assert engine.call(functions.double, 21) == 42
    assert engine.told.notes[-1].startswith("Pod s/etl-task could not be deleted (pods is forbidden: ")
    assert engine.told.notes[-1].endswith("delete it with kubectl if it still exists.")


def test_a_deletion_outlives_a_short_outage(engine: Engine, server: ApiServer) -> None:
    server.trouble("DELETE", times=3, refuse=statuses.unavailable())
    assert engine.call(functions.double, 21) == 42
    until(lambda: server.pods() == [])


def test_the_deletion_names_the_pod_by_its_uid_and_gives_the_grace_that_the_task_asks_for(
    engine: Engine, server: ApiServer
) -> None:
    engine.call(functions.double, 21, grace=7)
    (asked,) = server.asked("DELETE")
    assert asked.body["gracePeriodSeconds"] == 7
    uid = server.objects.changes[0].after["metadata"]["uid"]  # type: ignore[index]
    assert asked.body["preconditions"] == {"uid": uid}


def test_another_pod_that_got_the_name_meanwhile_is_left_alone(engine: Engine, server: ApiServer) -> None:
    """The pod vanishes, and somebody creates another of its name before the deletion."""

    def replace() -> None:
        server.kubelet.pod("etl-task").vanish()
        server.objects.create(
            "pods", "s", {"metadata": {"name": "etl-task"}, "spec": {}, "status": {"phase": "Running"}}
        )

    server.trouble("DELETE", before=replace)
    assert engine.call(functions.double, 21) == 42
    (pod,) = server.pods()
    assert pod["spec"] == {}


@pytest.mark.parametrize(
    ("refusal", "kind", "words"),
    [
        (statuses.forbidden("create", "pods"), "PodRefused", "Airflow may not create pods"),
        (statuses.invalid("Pod", "etl-task", "spec.nodeName", "Invalid value"), "PodRefused", "spec.nodeName: Invalid"),
        (statuses.bad_request('admission webhook "p" denied the request: no'), "PodRefused", "denied the request: no"),
    ],
    ids=str,
)
def test_a_refused_pod_is_told_in_the_servers_words_and_leaves_nothing(
    engine: Engine, server: ApiServer, refusal: statuses.Refusal, kind: str, words: str
) -> None:
    server.trouble("POST", refuse=refusal)
    with pytest.raises(PodFailure) as raised:
        engine.call(functions.double, 1)
    assert type(raised.value).__name__ == kind
    assert words in str(raised.value)
    assert held(server) == []
    assert engine.told.steps == []


def test_a_refused_secret_takes_its_pod_with_it(engine: Engine, server: ApiServer) -> None:
    server.trouble("POST .*/secrets", refuse=statuses.forbidden("create", "secrets"))
    with pytest.raises(PodRefused, match=r"may not create secrets .* with secrets: true"):
        engine.call(functions.double, 1, payload="secret")
    until(lambda: held(server) == [])


def test_a_secret_goes_with_its_pod_and_holds_the_call_alone(engine: Engine, server: ApiServer) -> None:
    found: list[Any] = []
    engine.told.on_line = lambda line: found.extend([*server.pods(), *server.objects.chosen("secrets", "s")])
    assert engine.call(functions.double, 21, payload="secret") == 42
    pod, secret = found
    assert secret["metadata"]["ownerReferences"][0]["uid"] == pod["metadata"]["uid"]
    names = [item["name"] for item in pod["spec"]["containers"][0]["env"] if "valueFrom" in item]
    assert sorted(names) == sorted(secret["data"])
    until(lambda: held(server) == [])


def test_a_secret_of_an_earlier_pod_of_the_name_is_not_taken(engines: Engines, server: ApiServer) -> None:
    """The garbage collector is late: the Secret of the try before still exists when the next begins."""
    server.kubelet.collects = False
    assert engines().call(functions.double, 21, payload="secret") == 42
    until(lambda: server.pods() == [])
    assert len(server.objects.chosen("secrets", "s")) == 1
    assert engines().call(functions.double, 4, payload="secret") == 8
    assert len(server.objects.chosen("secrets", "s")) == 2


def test_a_pod_out_of_memory_grows_until_its_last_resort(engine: Engine, server: ApiServer) -> None:
    def killed(pod: NodePod) -> None:
        pod.schedule()
        pod.start()
        pod.end(137, "OOMKilled")

    server.kubelet.plans = [killed] * 3
    with pytest.raises(OutOfMemory, match="needed more than its limit of 3Gi"):
        engine.call(functions.double, 1, memory="1Gi", max_memory="3Gi")
    limits = [asked.body["spec"]["containers"][0]["resources"]["limits"]["memory"] for asked in server.asked("POST")]
    assert limits == ["1Gi", "2Gi", "3Gi"]
    names = [asked.body["metadata"]["name"] for asked in server.asked("POST")]
    assert names == ["etl-task", "etl-task-again1", "etl-task-again2"]
    until(lambda: server.pods() == [])


def test_the_result_of_the_larger_try_counts(engine: Engine, server: ApiServer) -> None:
    def killed(pod: NodePod) -> None:
        pod.schedule()
        pod.start()
        pod.end(137, "OOMKilled")

    server.kubelet.plans = [killed]
    assert engine.call(functions.double, 21, memory="1Gi", max_memory="3Gi", payload="secret") == 42
    assert any("It is started again with 2Gi (max_memory 3Gi)." in note for note in engine.told.notes)
    until(lambda: held(server) == [])


def test_a_function_whose_child_ran_out_of_memory_is_told_as_out_of_memory(engine: Engine, server: ApiServer) -> None:
    def child_killed(pod: NodePod) -> None:
        pod.schedule()
        real = pod.end
        pod.end = lambda code=0, reason=None, message="", **more: real(code or 1, "OOMKilled", message)  # type: ignore[method-assign]
        pod.run()

    server.kubelet.plans = [child_killed]
    with pytest.raises(OutOfMemory):
        engine.call(functions.raises, "a child process died")
