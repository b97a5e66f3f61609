"""Rendered objects beside live ones, masking, and what a diff shows."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podenv.release import diff, manifest, masking, ownership

RENDERED: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "PodTemplate",
    "metadata": {"name": "etl", "labels": {"a": "b"}},
    "template": {
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [
                {
                    "name": "base",
                    "image": "i@sha256:1",
                    "env": [{"name": "A", "value": "1000m"}],
                    "resources": {"limits": {"cpu": "1000m", "memory": "1Gi"}},
                    "volumeMounts": [{"name": "tmp", "mountPath": "/tmp", "readOnly": False}],
                }
            ],
        }
    },
}


def live(**more: Any) -> dict[str, Any]:
    """As the API server gives it back: quantities in its own form, defaults filled in, empty things left out."""
    made = copy.deepcopy(RENDERED)
    spec = made["template"]["spec"]
    spec |= {"restartPolicy": "Always", "dnsPolicy": "ClusterFirst", **more}
    container = spec["containers"][0]
    container["resources"]["limits"] = {"cpu": "1", "memory": "1Gi"}
    container["terminationMessagePath"] = "/dev/termination-log"
    del container["volumeMounts"][0]["readOnly"]
    made["metadata"] |= {"uid": "1", "annotations": {"meta.helm.sh/release-name": "etl"}}
    return made


def paths(cluster_object: dict[str, Any]) -> list[str]:
    return [manifest.dotted(path) for path, _, _ in manifest.changes(RENDERED, cluster_object)]


def test_what_the_api_server_fills_in_is_no_change() -> None:
    assert paths(live()) == []


def test_a_quantity_is_compared_as_a_number_and_a_text_as_a_text() -> None:
    cluster_object = live()
    cluster_object["template"]["spec"]["containers"][0]["env"][0]["value"] = "1"
    assert paths(cluster_object) == ["template.spec.containers.base.env.A.value"]


def test_a_false_that_means_something_is_missed_when_it_goes() -> None:
    cluster_object = live()
    del cluster_object["template"]["spec"]["automountServiceAccountToken"]
    assert paths(cluster_object) == ["template.spec.automountServiceAccountToken"]


def test_a_path_names_elements_as_people_do() -> None:
    path = ("template", "spec", "containers", 0, "env", 0, "value")
    assert manifest.dotted(path, RENDERED) == "template.spec.containers.base.env.A.value"
    assert manifest.dotted(path) == "template.spec.containers.0.env.0.value"


def test_a_label_goes_from_an_object_and_its_pods_where_it_has_that_value() -> None:
    def pod(value: str) -> dict[str, Any]:
        return {"metadata": {"name": "p", "labels": {"by": value, "a": "b"}}, "spec": {"by": value}}

    daemon = {"kind": "DaemonSet", **pod("Helm"), "spec": {"template": pod("Helm")}}
    shown = manifest.without_label(daemon, "by", "Helm")
    assert shown["metadata"]["labels"] == {"a": "b"}
    assert shown["spec"]["template"] == {"metadata": {"name": "p", "labels": {"a": "b"}}, "spec": {"by": "Helm"}}
    assert daemon["metadata"]["labels"]["by"] == "Helm"
    assert manifest.without_label(pod("me"), "by", "Helm") == pod("me")


def test_an_element_more_or_less_is_a_change() -> None:
    cluster_object = live()
    cluster_object["template"]["spec"]["containers"][0]["env"] = [{"name": "B", "value": "1"}]
    assert sorted(paths(cluster_object)) == [
        "template.spec.containers.base.env.A",
        "template.spec.containers.base.env.B",
    ]


def test_a_removal_takes_the_later_elements_of_a_list_first_and_escapes_keys() -> None:
    wanted: list[manifest.Path] = [("spec", "list", 1), ("spec", "list", 10), ("metadata", "labels", "a/b~c")]
    assert [one["path"] for one in manifest.removal(wanted)] == [
        "/spec/list/10",
        "/spec/list/1",
        "/metadata/labels/a~1b~0c",
    ]


@given(st.dictionaries(st.text("abc/~", min_size=1), st.integers(), max_size=4))
def test_an_object_does_not_differ_from_itself_and_labels_added_by_hand_are_found_again(labels: dict[str, int]) -> None:
    cluster_object = copy.deepcopy(RENDERED)
    added = {f"x{key}": value for key, value in labels.items()}
    cluster_object["metadata"]["labels"] |= added
    fields: dict[str, Any] = {"f:metadata": {"f:labels": {f"f:{key}": {} for key in added}}}
    cluster_object["metadata"]["managedFields"] = [{"manager": "kubectl", "fieldsV1": fields}]
    assert paths(cluster_object) == []
    assert {one.path[-1] for one in ownership.additions(RENDERED, cluster_object)} == set(added)


def test_hooks_and_empty_documents_are_no_objects_of_a_release() -> None:
    hook = "apiVersion: v1\nkind: Pod\nmetadata: {name: t, annotations: {helm.sh/hook: test}}\n"
    text = f"---\n# nothing\n---\n{hook}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\n"
    assert [manifest.title(one) for one in manifest.parse(text)] == ["ConfigMap/c"]


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("DB_PASSWORD", True), ("API_TOKEN", True), ("AWS_SECRET_ACCESS_KEY", True), ("APIKEY", True),
        ("MODE", False), ("TOKEN_FILE", False), ("SECRET_NAME", False), ("MONKEY", False),
    ],
)  # fmt: skip
def test_a_name_tells_whether_a_variable_is_secret(name: str, secret: bool) -> None:
    assert masking.looks_secret(name) is secret


def test_values_are_masked_for_the_screen_and_say_which() -> None:
    given = {"env": {"API_TOKEN": "x", "MODE": "y"}, "python": "3.11"}
    shown, hidden = masking.masked_values(given)
    assert shown == {"env": {"API_TOKEN": "***", "MODE": "y"}, "python": "3.11"}
    assert hidden == ["API_TOKEN"]
    assert masking.secrets(given) == {"x"}


def test_a_diff_shows_that_a_secret_differs_and_not_the_secret() -> None:
    old, new = ({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a": one}} for one in "xy")
    (change,) = diff.between([old], [new])
    assert (change.object, change.action) == ("Secret/s", "change")
    assert [line for line in change.lines if line[0] in "+-"] == ["-  a: '*** (before)'", "+  a: '*** (after)'"]


def test_a_diff_names_what_is_added_changed_and_removed() -> None:
    def item(name: str, value: str) -> dict[str, Any]:
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"v": value}}

    changes = diff.between(
        [item("a", "1"), item("b", "1"), item("d", "1")], [item("b", "2"), item("c", "1"), item("d", "1")]
    )
    assert [(one.object, one.action) for one in changes] == [
        ("ConfigMap/a", "remove"),
        ("ConfigMap/b", "change"),
        ("ConfigMap/c", "add"),
    ]
