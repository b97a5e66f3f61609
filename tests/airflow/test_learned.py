"""`memory="auto"` on pods: the figure is in the pod, the end of the task is where the next run begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.airflow.conftest import IMAGE, NAMESPACE
from tests.airflowtask import TaskInstance, execute
from tests.pods import functions
from tests.pods.apiserver import ApiServer
from tests.pods.nodepod import NodePod

from podenv.airflow.compat import AirflowFailException
from podenv.airflow.learned import KEY
from podenv.catalogue import names
from podenv.catalogue.automemory import NEEDS_CAP
from podenv.errors import OutOfMemory

Make = Callable[..., Any]
LOCK = "c" * 64
MIB = 2**20


def deploy(server: ApiServer, memory: str = "128Mi", **annotations: str) -> None:
    """The environment's release with its lock, in the place of the one that is there."""
    server.objects.remove(("podtemplates", NAMESPACE, "plain"))
    lock = {names.LOCK_ANNOTATION: LOCK}
    spec = {"containers": [{"name": "base", "image": IMAGE, "resources": {"limits": {"memory": memory}}}]}
    body = {
        "metadata": {"name": "plain", "annotations": {**lock, **annotations}},
        "template": {"metadata": {"annotations": lock}, "spec": spec},
    }
    server.objects.create("podtemplates", NAMESPACE, body)


def killed(pod: NodePod) -> None:
    pod.schedule()
    pod.start()
    pod.end(137, "OOMKilled")


def sizes(server: ApiServer) -> list[tuple[str, str]]:
    """Request and limit of memory of each pod, in their order."""
    found = [asked.body["spec"]["containers"][0]["resources"] for asked in server.asked("POST .*/pods$")]
    return [(one["requests"]["memory"], one["limits"]["memory"]) for one in found]


def earlier(**figure: int) -> dict[str, Any]:
    return {KEY: [{"lock": LOCK[:16], **figure}]}


def test_without_history_it_begins_with_the_environments_limit(server: ApiServer, make: Make) -> None:
    deploy(server)
    outcome = execute(make(functions.double, 21, memory="auto", max_memory="1Gi"))
    assert (outcome.value, sizes(server)) == (42, [("128Mi", "128Mi")])
    why = "no run of it on this lock is known, so this is what the environment says"
    assert f"Memory is auto: 128Mi of at most 1Gi; {why}." in outcome.log
    (kept,) = outcome.xcoms[KEY]
    assert (kept["lock"], kept["used"]) == (LOCK[:16], outcome.operator.podenv["peak_memory_bytes"])


@pytest.mark.parametrize("deferrable", [False, True])
def test_what_it_grew_to_is_where_the_next_run_begins(server: ApiServer, make: Make, deferrable: bool) -> None:
    deploy(server)
    server.kubelet.plans = [killed]
    task = {"memory": "auto", "max_memory": "1Gi", "deferrable": deferrable}
    first = execute(make(functions.double, 21, **task))
    assert (first.value, sizes(server)) == (42, [("128Mi", "128Mi"), ("256Mi", "256Mi")])
    assert first.xcoms[KEY] == [{"lock": LOCK[:16], "enough": 256 * MIB}]
    execute(make(functions.double, 21, **task), earlier=first.xcoms)
    assert sizes(server)[2:] == [("256Mi", "256Mi")]


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_run_that_failed_for_want_of_memory_is_kept_too(server: ApiServer, make: Make, deferrable: bool) -> None:
    deploy(server)
    server.kubelet.plans = [killed, killed]
    task = {"memory": "auto", "max_memory": "256Mi", "deferrable": deferrable}
    outcome = execute(make(functions.double, 21, **task))
    assert isinstance(outcome.error, OutOfMemory)
    assert outcome.xcoms[KEY] == [{"lock": LOCK[:16], "killed_at": 256 * MIB}]
    execute(make(functions.double, 21, **{**task, "max_memory": "1Gi"}), earlier=outcome.xcoms)
    assert sizes(server)[2:] == [("320Mi", "320Mi")]


def test_what_was_measured_is_kept_and_a_quarter_is_added(server: ApiServer, make: Make) -> None:
    deploy(server)
    first = execute(make(functions.hold, 100 * MIB, memory="auto", max_memory="1Gi"))
    used = first.operator.podenv["peak_memory_bytes"]
    assert 100 * MIB < used < 120 * MIB
    assert first.xcoms[KEY] == [{"lock": LOCK[:16], "used": used}]
    execute(make(functions.hold, 100 * MIB, memory="auto", max_memory="1Gi"), earlier=first.xcoms)
    assert sizes(server) == [("128Mi", "128Mi"), ("144Mi", "144Mi")]


def test_a_history_of_another_lock_does_not_count(server: ApiServer, make: Make) -> None:
    deploy(server)
    execute(
        make(functions.double, 21, memory="auto", max_memory="1Gi"),
        earlier={KEY: [{"lock": "d" * 16, "used": 900 * MIB}]},
    )
    assert sizes(server) == [("128Mi", "128Mi")]


def test_the_environments_own_memory_can_be_auto(server: ApiServer, make: Make) -> None:
    """As the chart deploys it: the limit is the cap, and annotations tell the rest."""
    annotations = {names.FIRST_MEMORY_ANNOTATION: "64Mi", names.MAX_MEMORY_ANNOTATION: "2Gi"}
    deploy(server, "2Gi", **annotations)
    server.kubelet.plans = [killed]
    outcome = execute(make(functions.double, 21))
    assert (outcome.value, sizes(server)) == (42, [("64Mi", "64Mi"), ("128Mi", "128Mi")])
    assert outcome.xcoms[KEY] == [{"lock": LOCK[:16], "enough": 128 * MIB}]
    execute(make(functions.double, 21, memory="1Gi"), earlier=outcome.xcoms)
    assert sizes(server)[2:] == [("1Gi", "1Gi")]  # a figure of the task's own goes before


def test_it_stays_within_what_the_namespace_allows(server: ApiServer, make: Make) -> None:
    deploy(server, **{names.MEMORY_BOUNDS_ANNOTATION: "512Mi,8Gi"})
    task = make(functions.double, 21, memory="auto", max_memory="4Gi")
    outcome = execute(task, earlier=earlier(used=900 * MIB))
    assert sizes(server) == [("512Mi", "512Mi")]
    assert any("but its namespace allows no more" in line for line in outcome.log)


def test_without_a_cap_it_is_refused_before_a_pod_exists(server: ApiServer, make: Make) -> None:
    deploy(server)
    operator = make(functions.double, 21, memory="auto", max_memory="1Gi")
    operator.max_memory = None  # where no catalogue is found at parse, the cap may be the environment's
    outcome = execute(operator)
    assert isinstance(outcome.error, AirflowFailException)
    assert str(outcome.error).endswith(NEEDS_CAP)
    assert sizes(server) == []


def test_a_history_that_cannot_be_read_or_kept_never_fails_the_task(
    server: ApiServer, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(server)
    server.kubelet.plans = [killed]

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the API server is away")

    operator = make(functions.double, 21, memory="auto", max_memory="1Gi")
    monkeypatch.setattr(TaskInstance, "xcom_pull", fail)
    stock = TaskInstance.xcom_push
    monkeypatch.setattr(
        TaskInstance,
        "xcom_push",
        lambda ti, key, value: fail() if key == KEY else stock(ti, key, value),
    )
    outcome = execute(operator)
    assert outcome.value == 42
    assert "What earlier runs of this task used cannot be read: the API server is away." in outcome.log
    assert "What this run tells of the task's memory is not kept: the API server is away." in outcome.log


def test_a_task_whose_memory_is_given_asks_for_no_history(
    server: ApiServer, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(server)
    monkeypatch.delattr(TaskInstance, "xcom_pull")
    outcome = execute(make(functions.double, 21, memory="256Mi", max_memory="1Gi"))
    assert (outcome.value, KEY in outcome.xcoms) == (42, False)
    assert not any("auto" in line or "cannot be read" in line for line in outcome.log)
