"""What an environment asks of the cluster is named where there is no cluster."""

from __future__ import annotations

from typing import Any

import pytest

from podenv.catalogue.spec import EnvironmentSpec, validate
from podenv.local import clusteronly
from podenv.local.clusteronly import ClusterOnly

# Works here as in a pod.
HERE = {
    "python",
    "description",
    "resources",
    "env",
    "termination_grace_period_seconds",
    "indexes",
    "platforms",
    "source",
    "packages",
}
# Says how images are made, releases deployed and tasks checked, which a task does not notice.
ELSEWHERE = {
    "image", "namespace", "limit_range", "resource_quota", "access", "pre_pull", "extra_labels",
    "extra_annotations", "extra_objects", "lock", "check", "warm", "timeouts", "kueue", "cluster",
}  # fmt: skip


def of(**values: Any) -> ClusterOnly:
    return clusteronly.of_environment(validate({"python": "3.11", **values}))


def test_every_key_of_the_values_works_here_or_is_named_or_is_no_matter_of_a_task() -> None:
    named = {*clusteronly.FIELDS, *clusteronly.VARIABLES}
    assert set(EnvironmentSpec.model_fields) == named | HERE | ELSEWHERE
    assert not named & (HERE | ELSEWHERE)


def test_an_environment_that_asks_nothing_of_the_cluster_is_not_talked_about() -> None:
    plain = of(env={"A": "b"}, resources={"limits": {"cpu": "1", "memory": "1Gi"}})
    assert plain == clusteronly.NOTHING
    assert clusteronly.sentence(plain, clusteronly.NOTHING, ()) is None


def test_keys_are_named_as_they_are_written() -> None:
    asked = of(
        volumes=[{"name": "data", "emptyDir": {}}],
        volumeMounts=[{"name": "data", "mountPath": "/data"}],
        nodeSelector={"disk": "ssd"},
        tmp={"size": "1Gi"},
        resources={"limits": {"nvidia.com/gpu": "1", "memory": "1Gi"}},
    )
    assert clusteronly.sentence(asked, ClusterOnly(("init_containers",)), ()) == (
        "Only pods have volumes, volumeMounts, tmp, nodeSelector, the limit of nvidia.com/gpu (of the environment) and "
        "init_containers (of the task); the local backend does without."
    )


def test_variables_of_the_cluster_take_the_values_that_the_shell_has(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = of(
        secretEnv={"DB_PASSWORD": {"name": "db", "key": "password"}},
        configMapEnv={"REGION": {"name": "settings", "key": "region"}},
        fieldEnv={"NODE": "spec.nodeName"},
    )
    monkeypatch.delenv("NODE", raising=False)
    monkeypatch.delenv("REGION", raising=False)
    monkeypatch.setenv("DB_PASSWORD", "local")
    here = clusteronly.values_here(asked, ClusterOnly(variables={"TOKEN": "env_vars"}))
    assert here == {"DB_PASSWORD": "local"}
    assert clusteronly.sentence(asked, clusteronly.NOTHING, here) == (
        "Only the cluster knows the variables REGION (configMapEnv), NODE (fieldEnv): to give them values here, set "
        "them in your shell."
    )
    assert clusteronly.sentence(asked, clusteronly.NOTHING, {*here, "REGION", "NODE"}) is None
