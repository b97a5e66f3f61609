"""What Kubernetes does not allow to change stays the same from release to release."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.chart.helm import BASE, CHART, Helm, Object, at, parse
from tests.chart.test_policy import EVERYTHING, plain_values

from podenv.catalogue import values

# Fields that the API server refuses to change.
IMMUTABLE = {
    "DaemonSet": ["spec.selector"],
    "Deployment": ["spec.selector"],
    "RoleBinding": ["roleRef"],
    "ConfigMap": ["immutable"],
    "Job": ["spec.template", "spec.selector", "spec.manualSelector"],
    "PersistentVolumeClaim": ["spec"],
}


def changed(before: Iterable[Object], after: Iterable[Object]) -> list[str]:
    """The immutable fields that differ between two renders; hooks are made anew each time."""
    old = {(one["kind"], one["metadata"]["name"]): one for one in before}
    return [
        f"{one['kind']}.{field}"
        for one in after
        for field in IMMUTABLE.get(one["kind"], [])
        if (was := old.get((one["kind"], one["metadata"]["name"]))) and at(was, field) != at(one, field)
    ]


def of(tree: Object) -> Object:
    """``tree`` with all that has immutable fields switched on."""
    on = {
        "prePull": {"enabled": True},
        "access": {"users": ["jane"]},
        "image": BASE["image"],
        "namespace": None,
        "warm": {"idle": 1},
        "initContainers": [],
        "kueue": None,
        "resources": {"limits": {"memory": "2Gi"}},
    }
    return values.merge(tree, on)


def test_another_version_of_the_chart_with_other_values_changes_no_immutable_field(
    any_helm: Helm, tmp_path: Path
) -> None:
    newer = shutil.copytree(CHART, tmp_path / "airflow-env")
    meta = (newer / "Chart.yaml").read_text(encoding="utf-8")
    (newer / "Chart.yaml").write_text(re.sub("(?m)^(version|appVersion): .*", r"\1: 9.9.9", meta), encoding="utf-8")
    argv = ("template", "etl", newer, "--namespace", "podenv-etl", "--values", "-")
    before, after = any_helm.template(of(BASE)), parse(any_helm.run(*argv, given=of(EVERYTHING)))
    assert [one for one in before if one["kind"] == "DaemonSet"] != [one for one in after if one["kind"] == "DaemonSet"]
    assert changed(before, after) == []


@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(tree=plain_values, version=st.sampled_from(["1.34", "1.35"]))
def test_no_values_change_an_immutable_field(helm: Helm, tree: Any, version: str) -> None:
    before, after = (helm.template(of(one), kubernetes=version) for one in (EVERYTHING, tree))
    assert changed(before, after) == []


def test_a_changed_selector_would_be_seen(helm: Helm) -> None:
    before, after = helm.template(of(BASE)), helm.template(of(BASE))
    daemon = next(one for one in after if one["kind"] == "DaemonSet")
    daemon["spec"]["selector"]["matchLabels"]["version"] = "2"
    assert changed(before, after) == ["DaemonSet.spec.selector"]


@pytest.mark.parametrize(
    "kind", ["PodTemplate", "ServiceAccount", "Role", "RoleBinding", "DaemonSet", "Deployment", "Pod"]
)
def test_names_do_not_depend_on_values(helm: Helm, kind: str) -> None:
    names = [
        next(one["metadata"]["name"] for one in helm.template(of(tree)) if one["kind"] == kind)
        for tree in (BASE, EVERYTHING)
    ]
    assert names[0] == names[1]
