"""What a task overrides is laid upon the PodTemplate as the API server's strategic merge does it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from podenv.pods.manifest import base_container, complete, merge, with_base

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


@pytest.mark.parametrize(
    ("below", "above", "merged"),
    [
        ({"emptyDir": {"medium": "Memory"}}, {"persistentVolumeClaim": {"claimName": "c"}},
         {"persistentVolumeClaim": {"claimName": "c"}}),
        ({"configMap": {"name": "m", "optional": True}}, {"secret": {"secretName": "s"}},
         {"secret": {"secretName": "s"}}),
        # A source of the same kind is completed, as Kubernetes' retainKeys does it.
        ({"emptyDir": {"medium": "Memory"}}, {"emptyDir": {"sizeLimit": "1Gi"}},
         {"emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}),
        # Sources inside a projected volume have no names: the list is the task's.
        ({"projected": {"defaultMode": 256, "sources": [{"secret": {"name": "a"}}]}},
         {"projected": {"sources": [{"configMap": {"name": "b"}}]}},
         {"projected": {"defaultMode": 256, "sources": [{"configMap": {"name": "b"}}]}}),
    ],
)  # fmt: skip
def test_a_volume_has_the_source_that_the_task_gives_it(below: Any, above: Any, merged: Any) -> None:
    base = {"volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "v", **below}]}
    assert merge(base, {"volumes": [{"name": "v", **above}]}) == {
        "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "v", **merged}],
    }  # fmt: skip


def test_a_claim_to_a_device_has_the_source_that_the_task_gives_it_and_claims_merge_by_name() -> None:
    base = {"resourceClaims": [{"name": "gpu", "resourceClaimName": "one"}, {"name": "nic", "resourceClaimName": "n"}]}
    over = {"resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "many"}]}
    assert merge(base, over)["resourceClaims"] == [
        {"name": "gpu", "resourceClaimTemplateName": "many"}, {"name": "nic", "resourceClaimName": "n"},
    ]  # fmt: skip
    both = merge({"resources": {"claims": [{"name": "nic"}]}}, {"resources": {"claims": [{"name": "gpu"}]}})
    assert both == {"resources": {"claims": [{"name": "nic"}, {"name": "gpu"}]}}


@pytest.mark.parametrize("probe", ["livenessProbe", "readinessProbe", "startupProbe"])
def test_a_probe_asks_in_one_way_the_tasks(probe: str) -> None:
    base = {probe: {"exec": {"command": ["true"]}, "periodSeconds": 5}}
    assert merge(base, {probe: {"httpGet": {"port": 80}}}) == {probe: {"httpGet": {"port": 80}, "periodSeconds": 5}}
    assert merge(base, {probe: {"periodSeconds": 9}}) == {probe: {"exec": {"command": ["true"]}, "periodSeconds": 9}}


def test_a_hook_and_a_profile_and_a_path_in_a_volume_are_the_tasks() -> None:
    hooks = {"lifecycle": {"preStop": {"exec": {"command": ["a"]}}, "postStart": {"exec": {"command": ["b"]}}}}
    assert merge(hooks, {"lifecycle": {"preStop": {"sleep": {"seconds": 3}}}}) == {
        "lifecycle": {"preStop": {"sleep": {"seconds": 3}}, "postStart": {"exec": {"command": ["b"]}}},
    }  # fmt: skip
    profile = {"securityContext": {"seccompProfile": {"type": "Localhost", "localhostProfile": "p"}, "runAsUser": 1}}
    assert merge(profile, {"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}}) == {
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}, "runAsUser": 1},
    }  # fmt: skip
    mounts = {"volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "x", "readOnly": True}]}
    assert merge(mounts, {"volumeMounts": [{"name": "v", "mountPath": "/v", "subPathExpr": "$(A)"}]}) == {
        "volumeMounts": [{"name": "v", "mountPath": "/v", "subPathExpr": "$(A)", "readOnly": True}],
    }  # fmt: skip
    assert merge(mounts, {"volumeMounts": [{"name": "w", "mountPath": "/v"}]}) == {
        "volumeMounts": [{"name": "w", "mountPath": "/v"}],
    }  # fmt: skip


def test_a_variable_has_a_value_or_a_source_the_tasks() -> None:
    base = {
        "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}, {"name": "B", "value": "1"}]
    }
    over = {"env": [{"name": "A"}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]}
    assert merge(base, over) == over


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
