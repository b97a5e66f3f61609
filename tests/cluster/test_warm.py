"""Idle pods on a real cluster: that they are there, what is said of them, and what goes with them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.cluster.releases import Stage

from podenv.catalogue import names
from podenv.release import pool
from podenv.release.cluster import JSON_PATCH, selector

pytestmark = pytest.mark.cluster


def idle_pods(stage: Stage, name: str) -> list[dict[str, Any]]:
    labels = selector({names.WARM_LABEL: name})
    return stage.cluster.list("v1", "Pod", namespace=stage.namespace(name), labels=labels)


def until(what: Callable[[], bool], *, seconds: float = 120) -> None:
    # After an error of its own the controller of Jobs waits for 10 s, then for twice as long (Kubernetes 1.20).
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.1)


def row(stage: Stage, name: str) -> dict[str, Any]:
    (found,) = json.loads(stage.run("status", name, "--json")[1])
    return dict(found)


def test_idle_pods_wait_are_counted_changed_for_now_replaced_and_removed(stage: Stage) -> None:
    name = stage.write("etl", warm={"idle": 2}, access={"users": ["jane"]})
    result = stage.deploy(name)
    assert (result.action, result.warnings) == ("installed", ())
    pods = idle_pods(stage, name)
    template = stage.pod_template(name)
    hash_of = {pod["metadata"]["labels"][names.TEMPLATE_LABEL] for pod in pods}
    assert (len(pods), hash_of) == (2, {template["metadata"]["annotations"][names.WARM_ANNOTATION]})
    found = row(stage, name)
    assert (found["warm"], found["health"], found["drift"]) == ("2 of 2", "ok", [])
    assert stage.deploy(name).action == "unchanged"

    # As a task takes one: it leaves the pool, and another takes its place.
    taken = pods[0]["metadata"]["name"]
    patch = [
        {"op": "remove", "path": "/metadata/labels/podenv.dev~1warm"},
        {"op": "remove", "path": "/metadata/ownerReferences"},
    ]
    patch += [{"op": "remove", "path": "/metadata/finalizers"}] if pods[0]["metadata"].get("finalizers") else []
    stage.cluster.patch(stage.path("Pod", taken, of=name), patch, kind=JSON_PATCH)
    until(lambda: row(stage, name)["warm"] == "2 of 2")
    assert taken not in {pod["metadata"]["name"] for pod in idle_pods(stage, name)}

    code, stdout, _ = stage.run("warm", name, "--idle", "3")
    assert (code, stdout) == (0, "etl: warm 3 of 3\netl: the next deploy takes that back to 2\n")
    (drift,) = stage.drift(name)
    assert drift.endswith("(by podenv-warm)")
    result = stage.deploy(name)
    assert (result.action, result.taken_back) == ("repaired", (drift,))
    until(lambda: row(stage, name)["warm"] == "2 of 2")
    assert stage.run("warm", name) == (0, "etl: warm 2 of 2\n", "")

    # Another template: the pods of the old one go, and a taken one stays.
    stage.write("etl", warm={"idle": None}, env={"A": "1"})
    assert stage.deploy(name).action == "upgraded"
    assert stage.run("warm", name, "--idle", "2") == (
        0, "etl: warm 2 of 2\netl: `warm.idle` is null: no deploy changes the number\n", "",
    )  # fmt: skip
    assert stage.drift(name) == []
    assert stage.deploy(name).action == "unchanged"
    until(lambda: len({pod["metadata"]["labels"][names.TEMPLATE_LABEL] for pod in idle_pods(stage, name)}) == 1)
    stage.rollback(name)
    assert stage.pod_template(name)["metadata"]["annotations"] == template["metadata"]["annotations"]
    until(lambda: row(stage, name)["warm"] == "2 of 2")

    stage.releases.uninstall(name, stage.namespace(name))
    until(lambda: not idle_pods(stage, name))
    kept = stage.cluster.get(stage.path("Pod", taken, of=name))
    assert kept is not None
    assert kept["status"]["phase"] == "Running"


def test_what_keeps_idle_pods_away_is_said_and_no_deploy_fails_for_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = stage.write("etl", warm={"idle": 1, "imports": ["json", "nowhere"]})
    why = "nowhere of warm.imports cannot be imported: ModuleNotFoundError: No module named 'nowhere'"
    (warning,) = stage.deploy(name).warnings
    # Kubernetes itself starts a container of a Deployment again, ever more rarely; a Job would make ever more pods.
    stays = pool.keeps_deployment(stage.cluster.version())
    then = "; until that is mended," if stays else ", so there are none until the next deploy;"
    assert warning == f"idle pods end at once ({why}){then} tasks start cold"
    found, count = row(stage, name), "0 of 1" if stays else "0 of 0"
    assert (found["warm"], found["health"]) == (count, f"warm {count}: {why}")

    monkeypatch.setattr(pool, "FILL_SECONDS", 3)
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small"},
        "spec": {"hard": {"pods": "1"}},
    }
    # First the quota alone: until the server knows it, pods pass it.
    stage.write("etl", extraObjects=[quota])
    stage.deploy(name)
    where = stage.path("ResourceQuota", "small", of=name)
    until(lambda: "hard" in ((stage.cluster.get(where) or {}).get("status") or {}))
    stage.write("etl", warm={"idle": 2}, extraObjects=[quota])
    (warning,) = stage.deploy(name).warnings
    assert re.match(r"warm [01] of 2 after 3 s \(Error creating: pods", warning)
    assert "exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1" in warning
    assert "of 2: Error creating: pods" in row(stage, name)["health"]

    stage.write("etl")
    assert stage.deploy(name).warnings == ()
    code, _, stderr = stage.run("warm", name, "--idle", "1")
    assert code == 1
    assert stderr == (
        "error: Environment 'etl' has no idle pods; set `warm: {idle: N}` in its values.yaml, then "
        "`podenv deploy etl`.\n"
    )
