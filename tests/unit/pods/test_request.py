"""A request for a pod: how it changes when it is launched again, and what it says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from podenv.catalogue import names
from podenv.catalogue.request import TaskRequest
from podenv.errors import CallError, ResourceError
from podenv.pods import compose
from podenv.pods.compose import Identity
from podenv.pods.manifest import base_container, merge, with_base, with_memory, with_secret
from podenv.pods.request import PodRequest, Relaunches, Timeouts
from podenv.pods.template import EnvironmentTemplate
from podenv.runtime.call import Call, Code, pack
from podenv.runtime.reference import Reference

POD = {
    "metadata": {
        "name": "n",
        "namespace": "s",
        "annotations": {names.TOKEN_ANNOTATION: "t0kent0ken", names.CALL_ANNOTATION: "c"},
    },
    "spec": {
        "containers": [
            {
                "name": "base",
                "image": "i@sha256:1",
                "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
            },
        ],
    },
}
CALL = Call(Code("f", "f.py", 1, [("f.py", 1, "def f(): pass\n")]))
TEMPLATE = EnvironmentTemplate("e", "s", {"metadata": {}, "spec": POD["spec"]}, {})


def request(**given: Any) -> PodRequest:
    return PodRequest(environment="e", pod=POD, **given)


def composed(*, key: bytes = b"key", discard: bool = False, overrides: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    identity = Identity("n", {}, key)
    return compose.pod(
        TEMPLATE, CALL, overrides, request=TaskRequest(env="e"), identity=identity, where="Task 't'", discard=discard
    )


def test_a_pod_that_drops_its_value_is_told_so_and_is_other_work() -> None:
    keeping, dropping = composed(), composed(discard=True)
    told = {"name": "PODENV_RUN_DISCARD", "value": "1"}
    assert told in base_container(dropping)["env"]
    assert told not in base_container(keeping)["env"]
    assert len({one["metadata"]["annotations"][names.CALL_ANNOTATION] for one in (keeping, dropping)}) == 2


@pytest.mark.parametrize("in_secret", [False, True])
def test_a_pod_that_is_launched_again_has_no_address_of_the_one_before(in_secret: bool) -> None:
    old = {"PODENV_RUN_CALL_EXCHANGE_0": "old", "PODENV_RUN_CALL_EXCHANGE_1": "rest"}
    own = {"name": "OWN", "value": "kept"}
    env = [own] if in_secret else [own, *({"name": name, "value": value} for name, value in old.items())]
    first = PodRequest(
        environment="e",
        pod=merge(POD, with_base(env=env)),
        secret={"PODENV_RUN_CALL_0": "call", **old} if in_secret else {},
        renewed=lambda: {"PODENV_RUN_CALL_EXCHANGE_0": "new"},
    )
    again = first.again(first, counted=True)
    new = {"name": "PODENV_RUN_CALL_EXCHANGE_0", "value": "new"}
    assert base_container(again.pod)["env"] == ([own] if in_secret else [own, new])
    assert again.secret == ({"PODENV_RUN_CALL_0": "call", new["name"]: "new"} if in_secret else {})


def test_a_folder_whose_size_makes_no_sense_is_refused_before_there_is_a_pod() -> None:
    volumes = {"spec": {"volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "512m"}}]}}
    with pytest.raises(ResourceError, match=r"^Task 't': sizeLimit of the volume 'scratch': 512m is half a byte; did"):
        composed(overrides=[volumes])


def test_the_hash_of_a_call_depends_on_a_key_and_is_left_out_without_one() -> None:
    hashes = {composed(key=key)["metadata"]["annotations"][names.CALL_ANNOTATION] for key in (b"one", b"two", b"one")}
    assert len(hashes) == 2
    assert names.CALL_ANNOTATION not in composed(key=b"")["metadata"]["annotations"]


def test_memory_grows_twofold_up_to_its_most() -> None:
    steps = []
    one: PodRequest | None = request(max_memory="5Gi")
    while one is not None:
        steps.append(one.memory)
        assert base_container(one.pod)["resources"]["requests"]["memory"] == one.memory
        one = one.larger(one.memory)
    assert steps == ["1Gi", "2Gi", "4Gi", "5Gi"]
    assert request().larger("1Gi") is None
    assert request(max_memory="5Gi").larger("no limit") is None


def test_the_name_of_a_pod_that_is_gone_says_how_often_it_was_started_again() -> None:
    assert request().with_name("etl-x").starts == 0
    assert request().with_name("etl-x-again2").starts == 2
    assert request().again(request().with_name("etl-x-again2"), counted=True).name == "etl-x-again3"


def test_a_pod_that_starts_again_has_another_name_and_counts() -> None:
    first = request()
    second = first.again(first, counted=True)
    third = first.again(second, counted=False)
    assert [one.name for one in (second, third)] == ["n-again1", "n-again2"]
    assert [one.starts for one in (first, second, third)] == [0, 1, 1]


def test_secret_variables_are_references_and_their_values_are_not_shown() -> None:
    one = request(secret={"TOKEN": "in-clear"})
    assert base_container(one.body())["env"][-1] == {
        "name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "n-t0kent0k", "key": "TOKEN"}},
    }  # fmt: skip
    assert "in-clear" not in repr(one)
    assert with_secret(one.pod, "n", []) == one.pod


def test_the_secret_belongs_to_the_pod_and_has_a_name_of_its_own_for_each_pod() -> None:
    one = request(secret={"TOKEN": "in-clear"})
    secret = one.secret_of({"metadata": {"name": "n", "uid": "u"}})
    assert secret is not None
    assert secret["metadata"] == {
        "name": "n-t0kent0k",
        "labels": {"podenv.dev/environment": "e"},
        "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "n", "uid": "u"}],
    }
    assert request().secret_of({"metadata": {"name": "n", "uid": "u"}}) is None


def test_the_log_names_image_and_resources() -> None:
    assert request().facts == "image i@sha256:1; requests cpu 1, memory 1Gi; limits memory 1Gi"
    assert with_memory(request().pod, "3Gi") != request().pod


@pytest.mark.parametrize(
    ("retries", "task", "environment", "unstarted", "started"),
    [
        (0, None, None, 3, 0),
        (2, None, None, 3, 3),
        (2, 0, None, 0, 0),
        (0, 1, 5, 1, 1),
        (0, None, 5, 5, 5),
        (2, None, 0, 0, 0),
    ],
)
def test_a_task_says_how_often_it_runs_again_else_its_environment_else_its_retries(
    retries: int, task: int | None, environment: int | None, unstarted: int, started: int
) -> None:
    assert Relaunches.of(retries=retries, task=task, environment=environment) == Relaunches(unstarted, started)


def test_a_secret_brings_the_whole_call_with_the_modules_that_travel() -> None:
    call = Call(CALL.code, modules=pack({"common": ("common.py", False, "X = 1\n")}, {}), names=["common"])
    pod = compose.pod(
        TEMPLATE, call, [], request=TaskRequest(env="e"), identity=Identity("n", {}, b"key"), where="Task 't'"
    )
    plain, secret = compose.split_secret(pod)
    assert sorted(secret) == ["PODENV_RUN_CALL_0", "PODENV_RUN_CALL_MODULES_0"]
    left = {item["name"] for item in plain["spec"]["containers"][0]["env"]}
    assert left == {f"PODENV_RUN_{name}" for name in ("CODE", "LINGER", "PARENT", "TERMINATION_LOG", "TOKEN")}


def test_addresses_of_the_exchange_are_secret_and_no_part_of_what_a_pod_is_called_with() -> None:
    ticket = {"put": [{"url": "https://b/?sig=1", "headers": {}, "key": "0"}], "get": {}, "all": False}

    def composed_with(ticket: dict[str, Any] | None) -> dict[str, Any]:
        one = Identity("n", {}, b"key")
        return compose.pod(
            TEMPLATE, CALL, [], request=TaskRequest(env="e"), identity=one, where="Task 't'", ticket=ticket
        )

    _, secret = compose.split_secret(composed_with(ticket))
    assert sorted(secret) == ["PODENV_RUN_CALL_0", "PODENV_RUN_CALL_EXCHANGE_0"]
    hashes = {composed_with(one)["metadata"]["annotations"][names.CALL_ANNOTATION] for one in (ticket, None)}
    assert len(hashes) == 1


def test_a_pod_that_refers_to_storage_needs_its_addresses() -> None:
    call = Call(CALL.code, args=[Reference("k", "bytes", bytes=1, sha256="00")])
    identity = Identity("n", {}, b"key")
    with pytest.raises(CallError, match=r"^Task 't': the call to f refers to a value in storage, .* exchange\.$"):
        compose.pod(TEMPLATE, call, [], request=TaskRequest(env="e"), identity=identity, where="Task 't'")


@pytest.mark.parametrize(
    ("task", "annotation", "found"),
    [
        ({}, "", Timeouts(120, 120, 3600)),
        ({}, '{"room":60,"start":600}', Timeouts(120, 600, 60)),
        ({"room": 5, "schedule": None, "start": 7}, '{"room":60,"start":600}', Timeouts(120, 7, 5)),
        ({}, "not JSON", Timeouts()),
        ({}, '{"of a later podenv": 1}', Timeouts()),
    ],
)
def test_what_a_task_says_of_its_timeouts_goes_before_its_environment(
    task: dict[str, float | None], annotation: str, found: Timeouts
) -> None:
    assert Timeouts.of(task, annotation) == found
