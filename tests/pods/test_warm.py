"""A task takes an idle pod, hands it the Call, and throws it away; whatever is unusual gets a new pod at once."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.pods import functions, statuses
from tests.pods.apiserver import ApiServer
from tests.pods.engine import IMAGE, SELECTOR, Engine, until
from tests.pods.objects import Json

from podenv.call import warm
from podenv.catalogue import names
from podenv.errors import Exited, FunctionRaised, Killed, PodLost
from podenv.pods import attach, claim
from podenv.pods.claim import IdlePods
from podenv.pods.manifest import with_base
from podenv.pods.pool import Pool
from podenv.pods.request import Relaunches

HASH = "0123456789abcdef0123456789abcdef"


class Warm:
    """An environment's pool, its pods made by hand."""

    def __init__(self, server: ApiServer, folder: Path) -> None:
        self.server = server
        base: Json = {"name": "base", "image": IMAGE, "terminationMessagePath": str(folder / "log")}
        self.pool = Pool(HASH, {"metadata": {"labels": {"component": "task"}}, "spec": {"containers": [base]}})
        self._numbers = iter(range(1000))

    def fill(self, number: int = 1, **variables: str) -> None:
        """Start idle pods, and wait until they run."""
        before = len(self.server.pods())
        for _ in range(number):
            self.server.core().create_namespaced_pod("s", self.idle(**variables))
        until(lambda: len(self._waiting()) == before + number)
        self.server.requests.clear()

    def idle(self, **variables: str) -> Json:
        """A pod as the chart's pool makes it."""
        env = {warm.RUNTIME: warm.runtime(), **variables}
        base = {
            **self.pool.template["spec"]["containers"][0],
            "command": ["python", "-c", warm.loader()],
            "stdin": True,
            "stdinOnce": True,
            "env": [{"name": name, "value": value} for name, value in env.items()],
        }
        labels = {names.WARM_LABEL: "etl", names.TEMPLATE_LABEL: HASH, names.ENVIRONMENT_LABEL: "etl"}
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "etl-warm", "uid": "1", "controller": True}
        metadata = {"name": f"etl-warm-{next(self._numbers)}", "labels": labels, "ownerReferences": [owner]}
        return {"metadata": metadata, "spec": {"restartPolicy": "Never", "containers": [base]}}

    def _waiting(self) -> list[Json]:
        return [pod for pod in self.server.pods() if pod["status"]["phase"] == "Running"]


@pytest.fixture
def pool(server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Warm]:
    """A pool without pods."""
    monkeypatch.setattr(claim, "SWEEPS", 10**9)
    monkeypatch.setattr(claim, "ACK_SECONDS", 1.0)
    monkeypatch.setattr(attach, "ACK_SECONDS", 1.0)
    yield Warm(server, tmp_path)
    IdlePods.refusing.clear()


def methods(server: ApiServer) -> list[str]:
    return [re.sub(r" .*/(attach|log)\b.*| .*watch=.*|[ ?].*", r" \1", asked.line).strip() for asked in server.requests]


def creations(server: ApiServer) -> int:
    return len(server.asked("POST .*/pods$"))


def test_an_idle_pod_takes_the_task_by_four_requests_and_is_gone(engine: Engine, server: ApiServer, pool: Warm) -> None:
    pool.fill()
    assert engine.call(functions.double, 21, pool=pool.pool) == 42
    assert methods(server) == ["GET", "PATCH", "GET attach", "DELETE"]
    assert engine.told.lines == ["doubling"]
    assert engine.told.steps == [f"{step} etl-warm-0" for step in ("created", "started", "succeeded", "cleaned")]
    assert engine.told.notes[0].startswith("Idle pod s/etl-warm-0 on node node-1 took the task after 0.")
    tally = engine.life.tally
    assert (dict(tally.launches), tally.requests) == ({"idle": 1}, 4)
    assert [0 < seconds < 1 for seconds in tally.starts] == [True]
    until(lambda: server.pods() == [])


def test_a_pod_that_was_taken_is_the_tasks_own(engine: Engine, server: ApiServer, pool: Warm) -> None:
    pool.fill()
    held = engine.start(functions.sleeps, 3.0, pool=pool.pool)
    until(lambda: engine.told.lines)
    (pod,) = server.pods()
    assert "ownerReferences" not in pod["metadata"]
    own = {"component": "task", names.OWNER_LABEL: "this-task-in-this-run"}
    assert pod["metadata"]["labels"] == {names.TEMPLATE_LABEL: HASH, names.ENVIRONMENT_LABEL: "etl", **own}
    assert pod["metadata"]["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"
    assert held.value() == "awake"
    assert (methods(server)[3], methods(server)[-1]) == ("GET log", "DELETE")


def test_a_value_that_comes_late_comes_with_every_line_once(engine: Engine, pool: Warm) -> None:
    pool.fill()
    assert engine.call(functions.prints, 30, 0.05, pool=pool.pool) == 30
    assert engine.told.lines == [str(number) for number in range(30)]


def test_what_the_function_raises_is_raised(engine: Engine, server: ApiServer, pool: Warm) -> None:
    pool.fill()
    with pytest.raises(FunctionRaised, match="too bad"):
        engine.call(functions.raises, "too bad", pool=pool.pool)
    until(lambda: server.pods() == [])
    pool.fill()
    with pytest.raises(Exited):
        engine.call(functions.dies, 7, pool=pool.pool)


def test_a_large_call_and_variables_of_a_secret_go_the_same_way(engine: Engine, server: ApiServer, pool: Warm) -> None:
    pool.fill()
    words = functions.noise(700_000)
    asked = engine.request(functions.length, words, pool=pool.pool, payload="secret")
    assert asked.secret
    assert engine.run(asked) == 700_000
    assert server.asked("POST") == []


@pytest.mark.parametrize(
    ("override", "why"),
    [
        (with_base(resources={"limits": {"memory": "1Gi"}}), "containers.base.resources.limits.memory is not"),
        (with_base(image="other"), "containers.base.image is not what the environment's pods have"),
        ({"metadata": {"annotations": {"team": "x"}}}, "annotations.team is not"),
        ({"spec": {"nodeSelector": {"gpu": "a"}}}, "nodeSelector.gpu is not"),
        (with_base(env=[{"name": "LD_PRELOAD", "value": "x.so"}]), "the variable LD_PRELOAD is read when a program"),
        (with_base(env=[{"name": "A", "value": "$(HOME)/x"}]), "the variable A refers to another one"),
        (
            with_base(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]),
            "containers.base.env is not",
        ),
    ],
)
def test_a_task_that_is_unlike_its_environment_gets_a_new_pod_without_a_look_at_the_idle_ones(
    engine: Engine, server: ApiServer, pool: Warm, override: Json, why: str
) -> None:
    pool.fill()
    assert engine.call(functions.double, 21, pool=pool.pool, overrides=[override]) == 42
    assert methods(server)[0] == "POST"
    assert engine.told.notes[0].startswith(f"A new pod is created: {why}")
    assert [pod["metadata"]["name"] for pod in server.pods()][-1] == "etl-warm-0"


def test_a_deadline_counts_from_the_moment_at_which_the_pod_was_taken(
    engine: Engine, server: ApiServer, pool: Warm
) -> None:
    pool.fill()
    an_hour_ago = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    server.kubelet.pod("etl-warm-0").edit(lambda item: item["status"].update(startTime=an_hour_ago))
    engine.call(functions.double, 21, pool=pool.pool, overrides=[{"spec": {"activeDeadlineSeconds": 60}}])
    (patch,) = server.asked("PATCH")
    (seconds,) = [one["value"] for one in patch.body if one["path"] == "/spec/activeDeadlineSeconds"]
    assert 3660 <= seconds <= 3665


def test_variables_that_an_imported_module_may_have_read_need_a_new_pod(engine: Engine, pool: Warm) -> None:
    pool.fill(PODENV_WARM_IMPORTS='["json"]')
    threads = with_base(env=[{"name": "OMP_NUM_THREADS", "value": "1"}])
    assert engine.call(functions.double, 21, pool=pool.pool, overrides=[threads]) == 42
    why = "a module of warm.imports may have read the variable OMP_NUM_THREADS"
    assert engine.told.notes[0] == f"A new pod is created: {why}."
    assert engine.call(functions.double, 21, pool=pool.pool) == 42
    assert "Idle pod" in engine.told.notes[-1]


def traceparent() -> Any:
    import os

    return os.environ.get("TRACEPARENT")


def test_an_idle_pod_with_imported_modules_gets_the_trace_with_the_call(engine: Engine, pool: Warm) -> None:
    pool.fill(PODENV_WARM_IMPORTS='["json"]')
    trace = with_base(env=[{"name": "TRACEPARENT", "value": "00-a-b-01"}])
    assert engine.call(traceparent, pool=pool.pool, overrides=[trace]) == "00-a-b-01"
    assert "Idle pod" in engine.told.notes[0]


def test_without_an_idle_pod_a_new_one_is_created_at_once(engine: Engine, server: ApiServer, pool: Warm) -> None:
    assert engine.call(functions.double, 21, pool=pool.pool) == 42
    assert engine.told.notes[0] == "A new pod is created: no pod is idle."
    assert creations(server) == 1


def test_a_pod_that_another_task_took_is_left_to_it(engine: Engine, server: ApiServer, pool: Warm) -> None:
    pool.fill(2)
    refused = statuses.refusal(422, "Invalid", "the server rejected our request due to an error in our request")
    server.trouble("PATCH", refuse=refused)
    assert engine.call(functions.double, 21, pool=pool.pool) == 42
    assert methods(server) == ["GET", "PATCH", "PATCH", "GET attach", "DELETE"]
    assert len(server.pods()) == 1 or until(lambda: len(server.pods()) == 1)


def test_pods_of_an_older_release_and_pods_that_are_going_are_not_taken(
    engine: Engine, server: ApiServer, pool: Warm
) -> None:
    pool.fill(2)
    server.kubelet.pod("etl-warm-0").edit(lambda item: item["metadata"]["labels"].update({names.TEMPLATE_LABEL: "old"}))
    server.kubelet.pod("etl-warm-1").mark_deleted(30)
    assert engine.call(functions.double, 21, pool=pool.pool) == 42
    assert engine.told.notes[0] == "A new pod is created: no pod is idle."


@pytest.mark.parametrize("arrived", [True, False])
def test_a_claim_whose_answer_is_lost_is_looked_up(
    engine: Engine, server: ApiServer, pool: Warm, arrived: bool
) -> None:
    pool.fill()
    server.trouble("PATCH", lose_answer=arrived, drop=not arrived)
    assert engine.call(functions.double, 21, pool=pool.pool) == 42
    assert creations(server) == (0 if arrived else 1)


@pytest.mark.parametrize(
    ("refusal", "remembered"),
    [
        (statuses.forbidden("create", "pods/attach"), True),
        (statuses.bad_request("you must specify at least 1 of stdin, stdout, stderr"), True),
        (statuses.refusal(500, "InternalError", "container base not found"), False),
    ],
    ids=["forbidden", "no upgrade", "the kubelet"],
)
def test_where_one_cannot_attach_the_pod_is_deleted_and_tasks_get_new_ones(
    engines: Callable[[], Engine], server: ApiServer, pool: Warm, refusal: statuses.Refusal, remembered: bool
) -> None:
    pool.fill(2)
    server.trouble("/attach", refuse=refusal)
    first, second = engines(), engines()
    assert first.call(functions.double, 21, pool=pool.pool) == 42
    (note,) = [note for note in first.told.notes if "new pod" in note]
    assert re.fullmatch(
        rf"A new pod is created: one cannot attach to pod etl-warm-\d \(the answer was {refusal.status}\)\.", note
    )
    until(lambda: len(server.pods()) == 1)
    assert second.call(functions.double, 21, pool=pool.pool) == 42
    assert ("A new pod is created: nobody can attach to pods here." in second.told.notes) is remembered
    assert creations(server) == (2 if remembered else 1)


def test_half_a_call_ends_the_pod_and_a_new_one_is_created(engine: Engine, server: ApiServer, pool: Warm) -> None:
    pool.fill()
    server.trouble("/attach", cut=100)
    assert engine.call(functions.double, 21, pool=pool.pool) == 42
    assert engine.told.lines == ["doubling"]
    until(lambda: server.pods() == [])


def test_a_pod_that_took_the_call_unheard_is_followed(engine: Engine, server: ApiServer, pool: Warm) -> None:
    pool.fill()
    server.trouble("/attach", silence=0)
    assert engine.call(functions.double, 21, pool=pool.pool) == 42
    assert engine.told.lines == ["doubling"]
    assert creations(server) == 0


def test_a_pod_that_does_not_answer_is_deleted_and_a_new_one_is_created(
    engine: Engine, server: ApiServer, pool: Warm
) -> None:
    pool.fill()
    server.kubelet.pod("etl-warm-0").feed = lambda data: None  # type: ignore[method-assign]
    assert engine.call(functions.double, 21, pool=pool.pool) == 42
    assert "A new pod is created: pod etl-warm-0 has not taken the Call." in engine.told.notes
    until(lambda: server.pods() == [])


def test_a_pod_that_vanishes_with_the_call_is_lost(engine: Engine, server: ApiServer, pool: Warm) -> None:
    pool.fill()
    server.trouble("/attach", silence=0, before=lambda: setattr(server.kubelet.pod("etl-warm-0"), "going", 0.0))
    held = engine.start(functions.sleeps, 30.0, pool=pool.pool, relaunches=Relaunches(unstarted=0, started=0))
    pod = server.kubelet.pod("etl-warm-0")
    until(lambda: list(pod.log.read()))
    pod.vanish()
    with pytest.raises(PodLost):
        held.value()


def test_the_pod_of_a_dead_worker_is_adopted_with_its_call(
    engines: Callable[[], Engine], server: ApiServer, pool: Warm
) -> None:
    pool.fill()
    first, second = engines(), engines()
    request = first.request(functions.sleeps, 2.0, pool=pool.pool)
    background = threading.Thread(target=lambda: _quietly(first, request), daemon=True)
    background.start()
    until(lambda: first.told.lines)
    again = second.request(functions.sleeps, 2.0, pool=pool.pool)
    adopted = second.life.find(again, SELECTOR)
    assert adopted is not None
    assert second.run(again, adopted=adopted) == "awake"
    assert second.told.lines == ["asleep"]
    assert creations(server) == 0
    background.join()


def test_a_pod_whose_worker_died_before_the_hand_over_gets_the_call_from_the_next_try(
    engine: Engine, server: ApiServer, pool: Warm
) -> None:
    pool.fill()
    request = engine.request(functions.double, 21, pool=pool.pool)
    _claimed(engine, request)
    again = engine.request(functions.double, 21, pool=pool.pool)  # with a token of its own
    adopted = engine.life.find(again, SELECTOR)
    assert adopted is not None
    assert engine.run(again, adopted=adopted) == 42
    assert creations(server) == 0


def test_a_pod_whose_worker_died_while_it_sent_is_over_and_not_adopted(
    engine: Engine, server: ApiServer, pool: Warm
) -> None:
    pool.fill()
    _claimed(engine, engine.request(functions.double, 21, pool=pool.pool))
    server.kubelet.pod("etl-warm-0").feed(b"podenv1 0000")
    server.kubelet.pod("etl-warm-0").feed(None)
    until(lambda: server.pods()[0]["status"]["phase"] == "Failed")
    again = engine.request(functions.double, 21, pool=pool.pool)
    assert engine.life.find(again, SELECTOR) is None
    until(lambda: server.pods() == [])


def test_pods_that_were_taken_long_ago_without_a_call_are_swept_and_others_are_not(
    engines: Callable[[], Engine], server: ApiServer, pool: Warm
) -> None:
    pool.fill(3)
    long_ago = (datetime.now(UTC) - timedelta(minutes=11)).isoformat(timespec="seconds")
    busy, silent, fresh = engines(), engines(), engines()
    held = busy.start(functions.sleeps, 4.0, pool=pool.pool)
    until(lambda: busy.told.lines)
    names_of = {"busy": _only(server, claimed=True)}
    _claimed(silent, silent.request(functions.double, 1, pool=pool.pool))
    names_of["silent"] = _only(server, claimed=True, but=names_of.values())
    _claimed(fresh, fresh.request(functions.double, 2, pool=pool.pool))
    for name in names_of.values():
        server.kubelet.pod(name).edit(
            lambda item: item["metadata"]["annotations"].update({names.CLAIMED_ANNOTATION: long_ago})
        )
    engine = engines()
    claim.SWEEPS = 1
    assert engine.call(functions.double, 21, pool=pool.pool) == 42
    until(lambda: len(server.pods()) == 2)
    assert names_of["silent"] not in [pod["metadata"]["name"] for pod in server.pods()]
    assert held.value() == "awake"


def test_a_kill_while_the_function_runs_ends_the_pod(engine: Engine, server: ApiServer, pool: Warm) -> None:
    pool.fill()
    held = engine.start(functions.sleeps, 60.0, pool=pool.pool)
    until(lambda: engine.told.lines)
    engine.life.kill()
    with pytest.raises(Killed):
        held.value()
    until(lambda: server.pods() == [])


@pytest.mark.parametrize("arrived", [True, False])
def test_a_kill_with_the_claim_under_way_leaves_no_pod_that_is_taken_for_nobody(
    engine: Engine, server: ApiServer, pool: Warm, arrived: bool
) -> None:
    pool.fill()
    server.trouble("PATCH", before=engine.life.kill, lose_answer=arrived, drop=not arrived)
    with pytest.raises(Killed):
        engine.call(functions.double, 21, pool=pool.pool)
    until(lambda: server.pods() == [])


def test_a_kill_leaves_the_pod_that_another_task_took_meanwhile(
    engines: Callable[[], Engine], server: ApiServer, pool: Warm
) -> None:
    pool.fill()
    killed, other = engines(), engines()

    def overtaken() -> None:
        _claimed(other, other.request(functions.double, 1, pool=pool.pool))
        killed.life.kill()

    server.trouble("PATCH", before=overtaken, drop=True)
    with pytest.raises(Killed):
        killed.call(functions.double, 21, pool=pool.pool)
    assert [pod["metadata"]["name"] for pod in server.pods()] == ["etl-warm-0"]


def test_a_pod_that_is_drained_while_it_runs_is_launched_again(engine: Engine, server: ApiServer, pool: Warm) -> None:
    pool.fill()
    held = engine.start(functions.sleeps, 2.0, pool=pool.pool, relaunches=Relaunches(started=1))
    until(lambda: engine.told.lines)
    server.kubelet.delete(("pods", "s", "etl-warm-0"), 0)
    assert held.value() == "awake"
    assert [asked.body["metadata"]["name"] for asked in server.asked("POST .*/pods$")] == ["etl-task-again1"]


def test_out_of_memory_the_repeat_is_a_new_pod_with_more(engine: Engine, server: ApiServer, pool: Warm) -> None:
    base = pool.pool.template["spec"]["containers"][0]
    base["resources"] = {"limits": {"memory": "64Mi"}, "requests": {"memory": "64Mi"}}
    pool.fill()
    held = engine.start(functions.sleeps, 60.0, pool=pool.pool, max_memory="128Mi")
    until(lambda: engine.told.lines)
    pod = server.kubelet.pod("etl-warm-0")
    pod.log.end()
    pod.edit(lambda item: item["status"].update(phase="Failed"))
    pod.end(137, "OOMKilled")
    until(lambda: creations(server) == 1)
    (made,) = server.asked("POST .*/pods$")
    assert made.body["spec"]["containers"][0]["resources"]["limits"] == {"memory": "128Mi"}
    assert "A new pod is created: containers.base.resources.limits.memory is not" in " ".join(engine.told.notes)
    engine.life.kill()
    with pytest.raises(Killed):
        held.value()


def test_a_hundred_workers_on_one_pool_use_no_pod_twice(
    engines: Callable[[], Engine], server: ApiServer, pool: Warm
) -> None:
    pool.fill(8)
    made = [engines() for _ in range(100)]

    def run(engine: Engine) -> str | None:
        """The idle pod that it took, without a Call."""
        request = engine.request(functions.double, 21, pool=pool.pool, name="etl-task")
        idle = IdlePods(engine.client, engine.told, request)
        for candidate in idle.candidates():
            if idle.take(candidate) is not None:
                return str(candidate["metadata"]["name"])
        return None

    with ThreadPoolExecutor(100) as executor:
        taken = Counter(executor.map(run, made))
    others = taken.pop(None)
    assert set(taken.values()) == {1}
    assert (sum(taken.values()), others) == (8, 92)


def _claimed(engine: Engine, request: Any) -> None:
    """An idle pod is the task's, and nothing was handed over."""
    idle = IdlePods(engine.client, engine.told, request)
    assert any(idle.take(candidate) for candidate in idle.candidates())


def _only(server: ApiServer, *, claimed: bool, but: Any = ()) -> str:
    found = [
        pod["metadata"]["name"]
        for pod in server.pods()
        if (names.WARM_LABEL not in pod["metadata"]["labels"]) is claimed and pod["metadata"]["name"] not in but
    ]
    assert len(found) == 1
    return str(found[0])


def _quietly(engine: Engine, request: Any) -> None:
    with suppress(Exception):
        engine.run(request)
