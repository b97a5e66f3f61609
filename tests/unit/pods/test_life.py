"""What a task asks of the API server first: a way to it, and a pod under a name that may still be taken."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.client import ApiException, CoreV1Api
from kubernetes.config import ConfigException

from podenv.catalogue import names
from podenv.errors import Killed, PodNameTaken, PodRefused
from podenv.pods import life
from podenv.pods.client import Json, KubernetesClient
from podenv.pods.decisions import is_own
from podenv.pods.events import PodEvents
from podenv.pods.life import PodLife
from podenv.pods.request import PodRequest

REQUEST = PodRequest(
    environment="e",
    pod={
        "metadata": {"name": "n", "namespace": "s", "annotations": {names.TOKEN_ANNOTATION: "ours"}},
        "spec": {"containers": [{"name": "base"}]},
    },
)


def pod(token: str, *, deleted: bool = False, **labels: str) -> Json:
    metadata: Json = {"name": "n", "uid": "u", "annotations": {names.TOKEN_ANNOTATION: token}, "labels": labels}
    return {"metadata": {**metadata, **({"deletionTimestamp": "2026-01-01T00:00:00Z"} if deleted else {})}}


class Core:
    """An API server that finds, each time a pod is created, the next of ``found`` under its name.

    None: it takes the pod. An int: the name is taken, and reading the pod gets this status.
    """

    def __init__(self, *found: Json | int | None) -> None:
        self.found = list(found)
        self.deleted: list[str] = []

    def create_namespaced_pod(self, *_: Any, **__: Any) -> Any:
        if self.found[0] is not None:
            raise refused(409, "AlreadyExists")
        return answer(pod("ours"))

    def read_namespaced_pod(self, *_: Any, **__: Any) -> Any:
        found = self.found.pop(0) if len(self.found) > 1 else self.found[0]
        if isinstance(found, int):
            raise refused(found, "NotFound" if found == 404 else "Forbidden")
        return answer(found)

    def delete_namespaced_pod(self, name: str, *_: Any, **__: Any) -> Any:
        self.deleted.append(name)
        return SimpleNamespace(read=lambda: b"")


def answer(found: Json | None) -> Any:
    return SimpleNamespace(data=json.dumps(found).encode())


def refused(status: int, reason: str) -> ApiException:
    error = ApiException(status=status, reason=reason)
    error.body = json.dumps({"reason": reason, "message": reason})
    return error


def created(
    core: Core, monkeypatch: pytest.MonkeyPatch, pause: Callable[[KubernetesClient], None] = lambda _: None
) -> Json:
    """The pod that a life creates and hands over."""
    monkeypatch.setattr(KubernetesClient, "pause", lambda client, _: pause(client))
    return PodLife(KubernetesClient("e", lambda: core), PodEvents()).hand_over(REQUEST, lambda pod: pod)


@pytest.mark.parametrize("found", [404, pod("of the try before", deleted=True)], ids=["vanished", "going"])
def test_a_pod_that_goes_makes_room_for_the_next_of_its_name(
    found: Json | int, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = Core(found, found, None)
    assert is_own(created(core, monkeypatch), REQUEST)
    assert core.deleted == []


def test_a_pod_that_was_made_although_no_answer_came_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_own(created(Core(pod("ours")), monkeypatch), REQUEST)


@pytest.mark.parametrize("deleted", [False, True], ids=["stays", "goes too slowly"])
def test_a_pod_that_does_not_go_is_named_and_left_alone_and_a_retry_may_find_it_gone(
    deleted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life, "NAME_SECONDS", 0.01)
    core = Core(pod("another", deleted=deleted, dag_id="nightly", task_id="load", run_id="run_B"))
    said = (
        r"^Environment 'e': another pod n \(dag_id nightly, task_id load, run_id run_B\) is in s; wait for its end or"
    )
    with pytest.raises(PodNameTaken, match=said) as raised:
        created(core, monkeypatch)
    assert raised.value.retry
    assert core.deleted == []


def test_a_task_that_is_ended_while_it_waits_for_a_name_leaves_the_other_pod_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    core = Core(pod("another", deleted=True))
    with pytest.raises(Killed, match=r"^The task in environment 'e' was ended from outside\.$"):
        created(core, monkeypatch, lambda client: setattr(client, "stopped", True))
    assert core.deleted == []


def test_where_no_configuration_says_how_to_reach_a_cluster_the_ways_out_are_named() -> None:
    def make() -> CoreV1Api:
        raise ConfigException("Invalid kube-config file.\nNo configuration found.")

    with pytest.raises(PodRefused) as raised:
        KubernetesClient("e", make).core()
    message = str(raised.value)
    assert message.startswith(
        "Environment 'e': no configuration says how to reach a cluster (Invalid kube-config file. No"
    )
    assert "\n" not in message
    assert all(way in message for way in ("kubernetes_default", "KUBECONFIG", "PODENV_BACKEND=local"))
    assert not raised.value.retry


def test_answers_of_the_server_stay_out_of_a_debug_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        assert logging.getLogger("tests").isEnabledFor(logging.DEBUG)
        assert not logging.getLogger("kubernetes.client.rest").isEnabledFor(logging.DEBUG)
