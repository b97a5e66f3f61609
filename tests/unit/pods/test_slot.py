"""What a task asks of the API server first: a way to it, and a pod under a name that may still be taken."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from kubernetes.client import ApiException, CoreV1Api, V1ObjectMeta, V1Pod
from kubernetes.config import ConfigException

from podenv.catalogue import names
from podenv.errors import Killed, PodRefused
from podenv.pods import slot
from podenv.pods.api import Api
from podenv.pods.launch import Launch
from podenv.pods.slot import PodSlot

LAUNCH = Launch(
    environment="e",
    pod={
        "metadata": {"name": "n", "namespace": "s", "annotations": {names.TOKEN_ANNOTATION: "ours"}},
        "spec": {"containers": [{"name": "base"}]},
    },
)


def pod(token: str, *, deleted: bool = False) -> V1Pod:
    metadata = V1ObjectMeta(name="n", uid="u", annotations={names.TOKEN_ANNOTATION: token})
    metadata.deletion_timestamp = "now" if deleted else None
    return V1Pod(metadata=metadata)


class Core:
    """An API server that finds, each time a pod is created, the next of ``there`` under its name.

    None: it takes the pod. An int: the name is taken, and reading the pod gets this status.
    """

    def __init__(self, *there: V1Pod | int | None) -> None:
        self.there = list(there)
        self.deleted: list[str] = []

    def create_namespaced_pod(self, *_: Any, **__: Any) -> V1Pod:
        if self.there[0] is not None:
            raise refused(409, "AlreadyExists")
        return pod("ours")

    def read_namespaced_pod(self, *_: Any, **__: Any) -> V1Pod:
        there = self.there.pop(0) if len(self.there) > 1 else self.there[0]
        if isinstance(there, int):
            raise refused(there, "NotFound" if there == 404 else "Forbidden")
        return there

    def delete_namespaced_pod(self, name: str, *_: Any, **__: Any) -> None:
        self.deleted.append(name)


def refused(status: int, reason: str) -> ApiException:
    error = ApiException(status=status, reason=reason)
    error.body = json.dumps({"reason": reason, "message": reason})
    return error


def fill(core: Core, monkeypatch: pytest.MonkeyPatch, pause: Callable[[Api], None] = lambda _: None) -> V1Pod:
    monkeypatch.setattr(Api, "pause", lambda api, _: pause(api))
    return PodSlot(Api("e", lambda: core), note=print).fill(LAUNCH)


@pytest.mark.parametrize("there", [404, pod("of the try before", deleted=True)], ids=["vanished", "going"])
def test_a_pod_that_goes_makes_room_for_the_next_of_its_name(
    there: V1Pod | int, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = Core(there, there, None)
    assert LAUNCH.is_own(fill(core, monkeypatch))
    assert core.deleted == []


def test_a_pod_that_was_made_although_no_answer_came_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LAUNCH.is_own(fill(Core(pod("ours")), monkeypatch))


@pytest.mark.parametrize("deleted", [False, True], ids=["stays", "goes too slowly"])
def test_a_pod_that_does_not_go_is_refused_and_left_alone(deleted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot, "GOING", 0.01)
    core = Core(pod("another", deleted=deleted))
    with pytest.raises(PodRefused, match=r"^Environment 'e': there is another pod n in s; delete it, or leave"):
        fill(core, monkeypatch)
    assert core.deleted == []


def test_a_task_that_is_ended_while_it_waits_for_a_name_leaves_the_other_pod_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    core = Core(pod("another", deleted=True))
    with pytest.raises(Killed, match=r"^The task in environment 'e' was ended from outside\.$"):
        fill(core, monkeypatch, lambda api: setattr(api, "stopped", True))
    assert core.deleted == []


def test_where_nothing_says_how_to_reach_a_cluster_the_ways_out_are_named() -> None:
    def make() -> CoreV1Api:
        raise ConfigException("Invalid kube-config file.\nNo configuration found.")

    with pytest.raises(PodRefused) as raised:
        Api("e", make).core()
    message = str(raised.value)
    assert message.startswith("Environment 'e': nothing here says how to reach a cluster (Invalid kube-config file. No")
    assert "\n" not in message
    assert all(way in message for way in ("kubernetes_default", "KUBECONFIG", "PODENV_BACKEND=local"))
    assert not raised.value.retry


def test_answers_of_the_server_stay_out_of_a_debug_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        assert logging.getLogger("tests").isEnabledFor(logging.DEBUG)
        assert not logging.getLogger("kubernetes.client.rest").isEnabledFor(logging.DEBUG)
