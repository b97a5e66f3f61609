"""Which idle pod can stand for a task's, and what is handed to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from podenv.call import warm
from podenv.catalogue import names
from podenv.pods import pool
from podenv.pods.manifest import with_base
from podenv.pods.pool import Pool

Json = dict[str, Any]
NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
BASE: Json = {"name": "base", "image": "i", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}


def template(**spec: Any) -> Json:
    return {"metadata": {"annotations": {"team": "a"}}, "spec": {"containers": [dict(BASE)], **spec}}


def task(**base: Any) -> Json:
    metadata = {"name": "t", "annotations": {"team": "a", names.TOKEN_ANNOTATION: "ours"}, "labels": {"x": "y"}}
    return {"metadata": metadata, "spec": {"restartPolicy": "Never", "containers": [{**BASE, **base}]}}


def claimed(ago: timedelta = timedelta(0), **env: str) -> Json:
    notes = {names.TOKEN_ANNOTATION: "ours", names.CLAIMED_ANNOTATION: (NOW - ago).isoformat()}
    base = {**BASE, "env": [{"name": name, "value": value} for name, value in env.items()]}
    return {"metadata": {"annotations": notes}, "spec": {"containers": [base]}, "status": {}}


@pytest.mark.parametrize(
    "same",
    [
        task(command=["python"], args=[], env=[{"name": "A", "value": "a costs $$5 and $HOME"}]),
        task(resources={"limits": {"cpu": "1000m", "memory": "1024Mi"}, "requests": {}}),
        task(securityContext={}, volumeMounts=None),
    ],
    ids=["what is handed over", "the same amounts", "what says nothing"],
)
def test_a_pod_that_is_the_environments_own_is_like_it(same: Json) -> None:
    assert pool.why_unlike(same, Pool("h", template())) == ""


def test_the_labels_of_an_idle_pod_are_not_those_of_the_task() -> None:
    labels = {"name": "D", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['dag_id']"}}}
    own = template(containers=[{**BASE, "env": [labels]}])
    assert pool.why_unlike(task(env=[labels]), Pool("h", own)) == "the variable D has the pod's labels['dag_id']"


def test_a_trace_makes_no_task_unlike_an_idle_pod_not_even_one_that_has_imported_modules() -> None:
    traced = task(env=[{"name": "TRACEPARENT", "value": "00-a-b-01"}])
    assert pool.why_unlike(traced, Pool("h", template())) == ""
    idle = claimed(PODENV_WARM_IMPORTS='["json"]')
    assert pool.handed(traced, {}, idle)["TRACEPARENT"] == "00-a-b-01"
    assert pool.why_unfit({"TRACEPARENT": "00-a-b-01"}, idle) == ""
    assert pool.why_unfit({"TRACEPARENTS": "1"}, idle) == (
        "a module of warm.imports may have read the variable TRACEPARENTS"
    )


def test_variables_are_handed_over_as_kubernetes_would_set_them() -> None:
    given = with_base(env=[{"name": "A", "value": "$$5 $HOME $$(X)"}, {"name": "B", "value": "as there"}])
    handed = pool.handed({**given, "metadata": {}}, {"S": "a$$b"}, claimed(B="as there"))
    assert handed == {"A": "$5 $HOME $(X)", "S": "a$$b", "PODENV_RUN_TOKEN": "ours"}


def test_the_runtime_goes_along_only_where_the_pod_has_another_one() -> None:
    pod = task(env=[{"name": warm.RUNTIME, "value": "ours"}])
    assert warm.RUNTIME not in pool.handed(pod, {}, claimed(timedelta(0), **{warm.RUNTIME: warm.runtime()}))
    assert pool.handed(pod, {}, claimed(timedelta(0), **{warm.RUNTIME: "of an older podenv"}))[warm.RUNTIME] == "ours"


@pytest.mark.parametrize(
    ("log", "has"),
    [
        (b"", False),
        (b"2026-11-26T11:49:00.1Z imported\n", False),
        (b"2026-11-26T11:50:01.1Z @@podenv other taken\n", False),
        (b"2026-11-26T11:50:01.1Z @@podenv ours taken\n", True),
        (b"2026-11-26T11:55:00.123456789Z the first line is gone\n", True),
    ],
)
def test_a_log_tells_whether_the_call_came(log: bytes, has: bool) -> None:
    assert pool.has_call(log, claimed(timedelta(minutes=10))) is has


def test_a_pod_is_silent_after_ten_minutes() -> None:
    assert not pool.is_silent(claimed(timedelta(minutes=9)), NOW)
    assert pool.is_silent(claimed(timedelta(minutes=11)), NOW)


def test_a_claim_replaces_who_holds_the_pod_and_says_whose_it_is() -> None:
    labels = {names.WARM_LABEL: "etl", names.TEMPLATE_LABEL: "h"}
    metadata = {"name": "w", "uid": "1", "labels": labels, "finalizers": ["batch.kubernetes.io/job-tracking"]}
    idle = {"metadata": metadata, "spec": {"containers": [BASE]}, "status": {}}
    assert pool.claim(idle, task(), NOW) == [
        {"op": "test", "path": "/metadata/uid", "value": "1"},
        {"op": "test", "path": "/metadata/labels/podenv.dev~1warm", "value": "etl"},
        {"op": "remove", "path": "/metadata/labels/podenv.dev~1warm"},
        {"op": "remove", "path": "/metadata/finalizers"},
        {"op": "add", "path": "/metadata/labels/x", "value": "y"},
        {"op": "add", "path": "/metadata/annotations", "value": {}},
        {
            "op": "add",
            "path": "/metadata/annotations/cluster-autoscaler.kubernetes.io~1safe-to-evict",
            "value": "false",
        },
        {"op": "add", "path": "/metadata/annotations/team", "value": "a"},
        {"op": "add", "path": "/metadata/annotations/podenv.dev~1token", "value": "ours"},
        {"op": "add", "path": "/metadata/annotations/podenv.dev~1claimed", "value": "2026-11-26T12:00:00+00:00"},
    ]
