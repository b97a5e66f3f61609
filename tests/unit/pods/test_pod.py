"""What a task overrides is laid upon the PodTemplate as the API server's strategic merge does it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as some

from podenv.catalogue import names
from podenv.catalogue.request import TaskRequest
from podenv.pods import compose
from podenv.pods.deployed import Deployed
from podenv.pods.launch import Finish, Launch, token_of
from podenv.pods.pod import base_container, complete, merge, with_base, with_memory, with_secret
from podenv.runtime.call import Call

TEMPLATE = {
    "metadata": {"labels": {"a": "1"}, "annotations": {"n": "x"}},
    "spec": {
        "containers": [
            {"name": "side", "image": "s"},
            {
                "name": "base",
                "image": "i@sha256:1",
                "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}],
                "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
                "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
            },
        ],
        "tolerations": [{"key": "gpu"}],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
        "nodeSelector": {"zone": "a"},
        "automountServiceAccountToken": True,
    },
}
leaves = some.none() | some.booleans() | some.integers() | some.text(max_size=3)
keys = some.sampled_from(["a", "b", "env", "containers", "tolerations", "name"])
named = some.fixed_dictionaries({"name": some.sampled_from("xyz")}, optional={"value": leaves, "c": leaves})
trees = some.recursive(
    leaves | some.lists(named, max_size=3, unique_by=lambda item: item["name"]),
    lambda inner: some.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)
maps = some.dictionaries(keys, trees, max_size=4)


@given(maps)
def test_nothing_laid_upon_a_pod_changes_nothing(pod: dict[str, Any]) -> None:
    assert merge(pod, {}) == pod


@given(maps)
def test_a_pod_laid_upon_nothing_is_itself(pod: dict[str, Any]) -> None:
    assert merge({}, pod) == pod


@given(maps)
def test_laid_twice_is_laid_once(pod: dict[str, Any]) -> None:
    assert merge(pod, pod) == merge(merge(pod, pod), pod)


@given(maps, maps)
def test_neither_is_altered(below: dict[str, Any], above: dict[str, Any]) -> None:
    before = repr(below), repr(above)
    merge(below, above)
    assert (repr(below), repr(above)) == before


@given(some.lists(named, max_size=4, unique_by=lambda item: item["name"]), named)
def test_of_a_named_list_only_the_named_one_changes(below: list[dict[str, Any]], above: dict[str, Any]) -> None:
    merged = merge({"env": below}, {"env": [above]})["env"]
    others = [item for item in below if item["name"] != above["name"]]
    assert [item for item in merged if item["name"] != above["name"]] == others
    assert [item["name"] for item in merged].count(above["name"]) == 1


def made(*overrides: dict[str, Any]) -> dict[str, Any]:
    return complete(TEMPLATE, overrides, name="n", namespace="s")


def test_the_base_container_is_found_by_its_name_not_its_place() -> None:
    pod = made(with_base(resources={"limits": {"memory": "2Gi"}}))
    assert [container["name"] for container in pod["spec"]["containers"]] == ["side", "base"]
    assert base_container(pod)["resources"] == {
        "requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"},
    }  # fmt: skip


def test_a_variable_is_replaced_whole_where_it_stands() -> None:
    env = [{"name": "B", "value": "2"}, {"name": "C", "value": "3"}]
    assert base_container(made(with_base(env=env)))["env"] == [{"name": "A", "value": "1"}, *env]


def test_tolerations_are_added_once_and_a_node_selector_merges() -> None:
    over = {"spec": {"tolerations": [{"key": "spot"}, {"key": "gpu"}], "nodeSelector": {"disk": "ssd"}}}
    spec = made(over)["spec"]
    assert spec["tolerations"] == [{"key": "gpu"}, {"key": "spot"}]
    assert spec["nodeSelector"] == {"zone": "a", "disk": "ssd"}


def test_false_overrides_true_and_a_restart_policy_never_does() -> None:
    spec = made({"spec": {"automountServiceAccountToken": False, "restartPolicy": "Always"}})["spec"]
    assert (spec["automountServiceAccountToken"], spec["restartPolicy"]) == (False, "Never")


def test_none_takes_a_label_away_and_an_empty_volume_source_stays() -> None:
    pod = made({"metadata": {"labels": {"a": None, "b": "2"}}})
    assert pod["metadata"]["labels"] == {"b": "2"}
    assert pod["spec"]["volumes"] == [{"name": "tmp", "emptyDir": {}}]


def test_a_pod_whose_value_nobody_wants_is_told_so_and_is_other_work() -> None:
    call = Call("f", "def f(): pass\n", filename="f.py", first_line=1)
    request = TaskRequest(env="e")
    deployed = Deployed("e", "s", TEMPLATE, {})
    wanted, unwanted = (
        compose.pod(deployed, call, [], request=request, name="n", labels={}, where="Task 't'", discard=discard)
        for discard in (False, True)
    )
    told = {"name": "PODENV_RUN_DISCARD", "value": "1"}
    assert told in base_container(unwanted)["env"]
    assert told not in base_container(wanted)["env"]
    assert len({one["metadata"]["annotations"][names.CALL_ANNOTATION] for one in (wanted, unwanted)}) == 2


def launch(**given: Any) -> Launch:
    annotations = {"podenv.dev/token": "t0ken", "podenv.dev/call": "c"}
    return Launch(environment="e", pod=made({"metadata": {"annotations": annotations}}), **given)


def test_memory_grows_twofold_up_to_its_most() -> None:
    steps, now = [], launch(max_memory="5Gi").larger()
    while now is not None:
        steps.append(now.memory)
        assert base_container(now.pod)["resources"]["requests"]["memory"] == now.memory
        now = now.larger()
    assert steps == ["2Gi", "4Gi", "5Gi"]
    assert launch().larger() is None


def test_the_name_of_a_pod_that_is_gone_says_how_often_it_was_started_again() -> None:
    there = launch()
    assert there.named("etl-x").starts == 0
    assert there.named("etl-x-again2").starts == 2
    assert there.named("etl-x-again2").again(counted=True).name == "etl-x-again3"


def test_a_pod_that_starts_again_has_another_name_and_counts() -> None:
    second = launch().again(counted=True)
    third = second.again(counted=False)
    assert [one.name for one in (second, third)] == ["n-again1", "n-again2"]
    assert [one.starts for one in (launch(), second, third)] == [0, 1, 1]


def test_secret_variables_are_references_and_their_values_are_not_shown() -> None:
    one = launch(secret={"TOKEN": "in-clear"})
    assert base_container(one.request())["env"][-1] == {
        "name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "n", "key": "TOKEN"}},
    }  # fmt: skip
    assert "in-clear" not in repr(one)
    assert with_secret(one.pod, "n", []) == one.pod


def test_the_log_names_image_and_resources() -> None:
    assert launch().facts == "image i@sha256:1; requests cpu 1, memory 1Gi; limits memory 1Gi"
    assert with_memory(launch().pod, "3Gi") != launch().pod


def test_what_becomes_of_a_pod_is_decided_as_upstream_documents_it() -> None:
    decided = {
        finish.value: [finish.deletes(succeeded=s, active=a) for s, a in ((True, False), (False, False), (False, True))]
        for finish in Finish
    }
    assert decided == {
        "delete_pod": [True, True, True],
        "delete_succeeded_pod": [True, False, False],
        "delete_active_pod": [False, False, True],
        "keep_pod": [False, False, False],
    }


def test_a_pod_without_our_annotation_has_no_token() -> None:
    from kubernetes.client import V1ObjectMeta, V1Pod

    assert token_of(V1Pod(metadata=V1ObjectMeta(name="x"))) == "none"
    assert not launch().is_own(V1Pod(metadata=V1ObjectMeta(annotations={"podenv.dev/token": "another"})))
