"""Whose change a difference is: by the managedFields that an API server writes."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from podenv.release import manifest
from podenv.release.ownership import differences

RENDERED: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "PodTemplate",
    "metadata": {"name": "etl", "labels": {"a": "b"}},
    "template": {
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [{"name": "base", "image": "i:1", "command": ["a"], "env": [{"name": "A", "value": "1"}]}],
        }
    },
}
CONTAINER = ("template", "spec", "containers", 0)
OWN: dict[str, Any] = {
    "f:metadata": {"f:annotations": {"f:meta.helm.sh/release-name": {}}, "f:labels": {"f:a": {}}},
    "f:template": {
        "f:spec": {
            "f:automountServiceAccountToken": {},
            "f:containers": {
                'k:{"name":"base"}': {
                    ".": {}, "f:name": {}, "f:image": {}, "f:command": {},
                    "f:env": {'k:{"name":"A"}': {".": {}, "f:name": {}, "f:value": {}}},
                }
            },
        }
    },
}  # fmt: skip


class Live:
    """An object in the cluster, which one manager after the other changes."""

    def __init__(self, release_manager: str = "helm") -> None:
        self.item = copy.deepcopy(RENDERED)
        self.release_manager = release_manager
        self.own = copy.deepcopy(OWN)
        self.others: list[dict[str, Any]] = []

    def set(self, manager: str, path: manifest.Path, value: Any, *, tokens: list[str]) -> Live:
        """What an update does: the field is ``manager``'s, and no longer the release's."""
        place: Any = self.item
        for step in path[:-1]:
            place = place.setdefault(step, {}) if isinstance(place, dict) else place[step]
        if isinstance(place, list):
            place.append(value)
        else:
            place[path[-1]] = value
        fields: dict[str, Any] = {}
        own: Any = self.own
        inner = fields
        for token in tokens[:-1]:
            inner = inner.setdefault(token, {})
            own = own.get(token, {})
        inner[tokens[-1]] = {}
        own.pop(tokens[-1], None)
        self.others.append({"manager": manager, "operation": "Update", "fieldsV1": fields})
        return self

    def found(self) -> list[tuple[str, str, str]]:
        entries = [{"manager": self.release_manager, "operation": "Apply", "fieldsV1": self.own}, *self.others]
        live = {**self.item, "metadata": {**self.item["metadata"], "managedFields": entries}}
        return [
            (one.kind, manifest.dotted(one.path, live), one.manager) for one in differences(RENDERED, live)
        ]  # fmt: skip


IMAGE = ["f:template", "f:spec", "f:containers", 'k:{"name":"base"}', "f:image"]
ENV = ["f:template", "f:spec", "f:containers", 'k:{"name":"base"}', "f:env", 'k:{"name":"B"}']
NOTE = ["f:metadata", "f:annotations", "f:field.cattle.io/projectId"]


def test_a_live_object_as_it_was_sent_does_not_differ() -> None:
    assert Live().found() == []


@pytest.mark.parametrize(
    "manager", ["rancher", "argocd-controller", "Go-http-client", "agent", "kube-controller-manager"]
)
def test_what_programs_add_is_theirs(manager: str) -> None:
    live = Live().set(manager, ("metadata", "annotations", "field.cattle.io/projectId"), "p", tokens=NOTE)
    live.set(manager, (*CONTAINER, "env", 1), {"name": "B", "value": "1"}, tokens=ENV)
    live.set(manager, ("template", "spec", "hostNetwork"), True, tokens=["f:template", "f:spec", "f:hostNetwork"])
    assert live.found() == []


@pytest.mark.parametrize("manager", ["kubectl-edit", "kubectl", "kubectl-annotate", "oc", "k9s"])
def test_what_people_add_by_hand_is_found(manager: str) -> None:
    live = Live().set(manager, ("metadata", "annotations", "field.cattle.io/projectId"), "p", tokens=NOTE)
    live.set(manager, (*CONTAINER, "env", 1), {"name": "B", "value": "1"}, tokens=ENV)
    assert sorted(live.found()) == [
        ("added", "metadata.annotations.field.cattle.io/projectId", manager),
        ("added", "template.spec.containers.base.env.B", manager),
    ]


def test_a_map_that_a_person_added_is_found_as_a_whole_unless_others_keep_something_in_it() -> None:
    config = ("template", "spec", "dnsConfig")
    tokens = ["f:template", "f:spec", "f:dnsConfig"]
    live = Live().set("kubectl-edit", (*config, "a"), "1", tokens=[*tokens, "f:a"])
    assert live.found() == [("added", "template.spec.dnsConfig", "kubectl-edit")]
    live.set("rancher", (*config, "b"), "1", tokens=[*tokens, "f:b"])
    assert live.found() == [("added", "template.spec.dnsConfig.a", "kubectl-edit")]
    live.set("rancher", (*config, "a"), "1", tokens=[*tokens, "f:a"])
    assert live.found() == []


@pytest.mark.parametrize("manager", ["rancher", "kubectl-edit"])
def test_a_field_of_the_release_that_another_manager_changed_is_found_with_its_name(manager: str) -> None:
    live = Live().set(manager, (*CONTAINER, "image"), "i:2", tokens=IMAGE)
    assert live.found() == [("changed", "template.spec.containers.base.image", manager)]


def test_what_an_admission_policy_makes_of_a_field_is_not_a_difference() -> None:
    live = Live()
    live.item["template"]["spec"]["containers"][0]["image"] = "mirror.example/i:1"  # the release still owns it
    live.item["template"]["spec"]["containers"][0]["command"] = ["wrapped", "a"]
    live.item["template"]["spec"]["containers"][0]["env"].append({"name": "INJECTED", "value": "1"})
    del live.item["template"]["spec"]["automountServiceAccountToken"]
    assert live.found() == []


def test_a_field_of_the_release_that_is_gone_is_missing() -> None:
    live = Live()
    del live.item["template"]["spec"]["automountServiceAccountToken"]
    del live.own["f:template"]["f:spec"]["f:automountServiceAccountToken"]
    assert live.found() == [("missing", "template.spec.automountServiceAccountToken", "")]


def test_a_list_that_has_one_owner_is_changed_as_a_whole() -> None:
    command = ["f:template", "f:spec", "f:containers", 'k:{"name":"base"}', "f:command"]
    live = Live().set("kubectl-edit", (*CONTAINER, "command"), ["a", "b"], tokens=command)
    assert live.found() == [("changed", "template.spec.containers.base.command", "kubectl-edit")]


def test_a_subject_that_was_added_to_a_role_binding_is_found() -> None:
    subjects = [{"kind": "User", "name": "airflow"}]
    rendered: dict[str, Any] = {"kind": "RoleBinding", "metadata": {"name": "b"}, "subjects": subjects}
    live = copy.deepcopy(rendered)
    live["subjects"].append({"kind": "User", "name": "eve"})
    live["metadata"]["managedFields"] = [{"manager": "somebody", "fieldsV1": {"f:subjects": {}}}]
    assert [(one.kind, one.path, one.manager) for one in differences(rendered, live)] == [
        ("changed", ("subjects",), "somebody")
    ]


def test_a_release_that_a_gitops_tool_applied_is_known_by_helms_annotation() -> None:
    live = Live("helm-controller")
    live.item["template"]["spec"]["containers"][0]["image"] = "mirror.example/i:1"
    assert live.found() == []


def test_without_managed_fields_every_difference_counts() -> None:
    live = copy.deepcopy(RENDERED)
    live["template"]["spec"]["containers"][0]["image"] = "i:2"
    del live["template"]["spec"]["automountServiceAccountToken"]
    assert sorted(one.kind for one in differences(RENDERED, live)) == ["changed", "missing"]
