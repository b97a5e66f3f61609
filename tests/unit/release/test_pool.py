"""Idle pods counted, and why others do not wait, from what a cluster says of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.registryserver import Answer, Asked, kubeconfig, serving

from podenv.release import pool
from podenv.release.cluster import Cluster
from podenv.release.pool import Pool

JOB: dict[str, Any] = {
    "kind": "Job",
    "metadata": {"name": "etl-warm-1", "labels": {"app.kubernetes.io/component": "warm"}},
    "spec": {"parallelism": 2, "template": {"metadata": {"labels": {"podenv.dev/template": "1"}}}},
}
RUNNING: dict[str, Any] = {"running": {}}


def pod(state: dict[str, Any], *, template: str = "1", phase: str = "Running", **more: Any) -> dict[str, Any]:
    labels = {"podenv.dev/warm": "etl", "podenv.dev/template": template}
    container = {"name": "base", "state": state, "restartCount": 0, **more.pop("container", {})}
    status = {"phase": phase, "containerStatuses": [container], **more.pop("status", {})}
    return {"metadata": {"name": "p", "labels": labels, **more}, "status": status}


def ended(code: int, message: str = "", *, at: str = "2026-01-01T00:00:00Z", reason: str = "Error") -> dict[str, Any]:
    said = {"message": message} if message else {}
    return {"terminated": {"exitCode": code, "reason": reason, "finishedAt": at, **said}}


BROKEN = ended(213, "cannot import pandas:\n  No module named 'pandas'\n")
WHY = "cannot import pandas: No module named 'pandas'"


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        ([], Pool(2, 0)),
        ([pod(RUNNING), pod(RUNNING)], Pool(2, 2)),
        ([pod(RUNNING), pod(RUNNING), pod(BROKEN, phase="Failed")], Pool(2, 2)),  # it was mended since
        ([pod(RUNNING), pod({"waiting": {"reason": "ContainerCreating"}})], Pool(2, 1)),
        ([pod(RUNNING, deletionTimestamp="now"), pod(RUNNING, template="0")], Pool(2, 0)),
        (
            [pod(RUNNING), pod(ended(137, reason="OOMKilled"), phase="Failed")],
            Pool(2, 1, "OOMKilled, exit code 137", failed=1),
        ),
        ([pod(BROKEN, phase="Failed")] * 2, Pool(2, 0, WHY, is_futile=True, failed=2)),
        # A Deployment's pod, which is started again in its place.
        (
            [pod({"waiting": {"reason": "CrashLoopBackOff"}}, container={"restartCount": 1, "lastState": BROKEN})],
            Pool(2, 0, WHY, is_futile=True),
        ),
        ([pod(RUNNING, container={"restartCount": 1, "lastState": BROKEN})], Pool(2, 0, WHY, is_futile=True)),
        (
            [pod(BROKEN), pod(ended(1, "newer", at="2026-01-01T00:00:01Z"), phase="Failed")],
            Pool(2, 0, "newer", is_futile=True, failed=1),
        ),
        # The node took it: the next one may well wait.
        ([pod(ended(137), phase="Failed", status={"reason": "Evicted"})], Pool(2, 0, failed=1)),
        (
            [pod({"waiting": {"reason": "ImagePullBackOff", "message": "no such image."}})],
            Pool(2, 0, "no such image"),
        ),
    ],
)
def test_what_waits_is_counted_and_what_does_not_says_why(pods: list[dict[str, Any]], expected: Pool) -> None:
    assert pool.counted(JOB, pods) == expected


def test_what_ended_long_ago_says_nothing_of_the_pods_that_start_now() -> None:
    assert pool.counted(JOB, [pod(BROKEN, phase="Failed")], since=1.8e9) == Pool(2, 0, WHY, failed=1)


def test_a_number_that_nobody_set_is_one() -> None:
    deployment = {**JOB, "kind": "Deployment", "spec": {"template": JOB["spec"]["template"]}}
    assert pool.counted(deployment, [pod(RUNNING)]) == Pool(1, 1)
    assert pool.is_number_of_others(deployment, ("spec", "replicas"))
    assert not pool.is_number_of_others(JOB, ("spec", "parallelism"))


@pytest.mark.parametrize(
    ("version", "keeps"), [("v1.20.2", False), ("v1.34.5-gke.12", False), ("v1.35.0", True), ("v2.0", True)]
)
def test_the_version_of_kubernetes_says_what_keeps_idle_pods(version: str, keeps: bool) -> None:
    assert pool.keeps_deployment(version) is keeps


@pytest.mark.parametrize(
    ("kind", "name", "minutes", "status", "why"),
    [
        ("Job", "etl-warm-1", 1, 200, "exceeded quota: q"),
        ("Job", "etl-warm-2", 1, 200, ""),
        ("ReplicaSet", "etl-warm-1-5d4f", 1, 200, "exceeded quota: q"),
        ("Job", "etl-warm-1", 20, 200, ""),
        ("Job", "etl-warm-1", 1, 403, ""),  # who may not read events still gets a status
    ],
)
def test_a_pod_that_could_not_be_made_is_told_while_that_is_news(
    tmp_path: Path, kind: str, name: str, minutes: int, status: int, why: str
) -> None:
    at = datetime.now(UTC) - timedelta(minutes=minutes)
    event = {
        "reason": "FailedCreate", "message": "exceeded quota:\n q.", "lastTimestamp": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "involvedObject": {"kind": kind, "name": name},
    }  # fmt: skip

    def respond(asked: Asked) -> Answer:
        if asked.path == "/api/v1":
            kinds = [{"name": "events", "kind": "Event", "namespaced": True}]
            return Answer(200, {}, json.dumps({"resources": kinds}).encode())
        return Answer(status, {}, json.dumps({"items": [event], "message": "no"}).encode())

    with serving(respond) as (host, asked):
        cluster = Cluster(kubeconfig(tmp_path, host))
        assert pool.look(cluster, JOB, "ns", [pod(RUNNING)]) == Pool(2, 1, why)
        # Two that are there, one of them not yet ready: nobody was refused.
        before = len(asked)
        creating = pod({"waiting": {"reason": "ContainerCreating"}}, phase="Pending")
        assert pool.look(cluster, JOB, "ns", [pod(RUNNING), creating]) == Pool(2, 1)
        assert len(asked) == before
