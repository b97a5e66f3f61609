"""What going back changes, from two records."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from podenv.errors import ReleaseMissing
from podenv.release import diff, rollback
from podenv.release.records import Record

SUBJECT = {"kind": "ServiceAccount", "namespace": "airflow", "name": "af-airflow-scheduler"}


def template(digest: str, **env: str) -> dict[str, Any]:
    base = {
        "name": "base", "image": f"r.example/etl@{digest}",
        "env": [{"name": name, "value": value} for name, value in env.items()],
    }  # fmt: skip
    annotations = {"podenv.dev/digest": digest, "podenv.dev/lock": f"lock of {digest}"}
    labels = {"podenv.dev/environment": "etl", "podenv.dev/digest": digest[7:39]}
    meta = {"name": "etl", "labels": labels, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "PodTemplate", "metadata": meta, "template": {"spec": {"containers": [base]}}}


def role(*resources: str) -> dict[str, Any]:
    rules = [{"apiGroups": [""], "resources": [one], "verbs": ["create"]} for one in resources]
    return {"apiVersion": "rbac/v1", "kind": "Role", "metadata": {"name": "etl-launcher"}, "rules": rules}


def keeper(digest: str, number: str) -> dict[str, Any]:
    labels = {"podenv.dev/warm": "etl", "podenv.dev/template": number}
    base = {
        "name": "base", "image": f"r.example/etl@{digest}", "env": [{"name": "PODENV_RUN_CODE", "value": "x" * 9999}],
    }  # fmt: skip
    own = {"podenv.dev/environment": "etl", "app.kubernetes.io/component": "warm"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": f"etl-warm-{number[:8]}", "labels": own},
        "spec": {
            "selector": {"matchLabels": dict(labels)},
            "parallelism": 2,
            "template": {
                "metadata": {"labels": labels, "annotations": {"podenv.dev/digest": digest}},
                "spec": {"containers": [base]},
            },
        },
    }


def binding(*subjects: dict[str, str]) -> dict[str, Any]:
    meta = {"name": "etl-launcher"}
    return {"apiVersion": "rbac/v1", "kind": "RoleBinding", "metadata": meta, "subjects": list(subjects)}


def record(
    revision: int, status: str, digest: str, *objects: dict[str, Any], description: str = "", **more: Any
) -> Record:
    content = {
        "chart": {"metadata": {"name": "airflow-env", "version": "0.1.0"}, **more},
        "config": {"image": {"digest": digest}},
        "info": {"description": description},
        "manifest": yaml.safe_dump_all(objects),
    }
    return Record("etl", "ns", revision, status, revision, content)


OLD, NEW = "sha256:" + "1" * 64, "sha256:" + "2" * 64


def test_of_another_image_nothing_more_is_said() -> None:
    past = [record(2, "deployed", NEW, template(NEW)), record(1, "superseded", OLD, template(OLD))]
    plan = rollback.plan(past)
    assert (plan.newest, plan.current.revision, plan.goal.revision) == (2, 2, 1)
    assert (plan.changes, plan.lost_access) == ((), ())


def test_of_idle_pods_only_what_a_person_wrote_is_told_and_no_task_needs_the_right_to_attach() -> None:
    access = binding(SUBJECT)
    past = [
        record(3, "deployed", NEW, template(NEW), keeper(NEW, "3" * 32), access, role("pods", "pods/attach")),
        record(2, "superseded", OLD, template(OLD), keeper(OLD, "2" * 32), access, role("pods", "pods/attach")),
        record(1, "superseded", OLD, template(OLD), access, role("pods")),
    ]
    back = rollback.plan(past)
    assert (back.changes, back.lost_access) == ((), ())
    further = rollback.plan(past, 1)
    assert further.changes == ("Job/etl-warm is removed", "Role/etl-launcher changes: rules")
    assert further.lost_access == ()
    fewer = keeper(OLD, "4" * 32)
    fewer["spec"]["parallelism"] = 1
    (change,) = diff.between([keeper(OLD, "2" * 32)], [fewer])
    assert (change.object, change.action) == ("Job/etl-warm", "change")
    assert [line for line in change.lines if line[0] in "+-"] == ["-  parallelism: 2", "+  parallelism: 1"]
    assert len("".join(change.lines)) < 500


def test_what_differs_beside_the_image_is_named() -> None:
    limits = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "etl"}}
    policy = {"apiVersion": "net/v1", "kind": "NetworkPolicy", "metadata": {"name": "etl"}}
    past = [
        record(2, "deployed", NEW, template(NEW, A="1", B="1"), limits),
        record(1, "superseded", OLD, template(OLD, A="2", C="1"), policy),
    ]
    assert rollback.plan(past).changes == (
        "LimitRange/etl is removed",
        "PodTemplate/etl changes: template.spec.containers.base.env.A.value, template.spec.containers.base.env.B, "
        "template.spec.containers.base.env.C",
        "NetworkPolicy/etl is added",
    )


@pytest.mark.parametrize(
    ("before", "after", "lost"),
    [
        (
            [binding(SUBJECT), role("pods")],
            [],
            ["ServiceAccount airflow/af-airflow-scheduler may no longer launch pods"],
        ),
        (
            [binding(SUBJECT, {"kind": "User", "name": "jane"}), role("pods")],
            [binding(SUBJECT), role("pods")],
            ["User jane may no longer launch pods"],
        ),
        (
            [binding(SUBJECT), role("pods", "secrets")],
            [binding(SUBJECT), role("pods")],
            ["Airflow may no longer create secrets"],
        ),
        ([], [binding(SUBJECT), role("pods")], []),
        ([binding(SUBJECT), role("pods")], [binding(SUBJECT), role("pods", "secrets")], []),
    ],
)
def test_who_loses_access_is_named(before: list[Any], after: list[Any], lost: list[str]) -> None:
    past = [record(2, "deployed", NEW, template(NEW), *before), record(1, "superseded", OLD, template(OLD), *after)]
    assert list(rollback.plan(past).lost_access) == lost


def test_the_goal_is_the_last_good_revision_and_never_one_of_another_chart() -> None:
    def deployed(revision: int, status: str, **more: Any) -> Record:
        return record(revision, status, OLD, template(OLD), **more)

    foreign = {"metadata": {"name": "airflow", "version": "1.22.0"}}
    past = [
        deployed(6, "deployed", description="Rollback to 4"),
        deployed(5, "superseded"),
        deployed(4, "superseded"),
        deployed(3, "failed"),
        deployed(2, "superseded", **foreign),
        deployed(1, "superseded"),
    ]
    assert rollback.plan(past).goal.revision == 1
    assert rollback.plan(past, 5).goal.revision == 5
    with pytest.raises(ReleaseMissing, match=r"'etl' has no revision 2; it has 6, 5, 4, 3, 1\."):
        rollback.plan(past, 2)
    with pytest.raises(ReleaseMissing, match="no earlier revision that was deployed"):
        rollback.plan(past[5:])
