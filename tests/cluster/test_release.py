"""Releases on a real cluster: what is rolled out, what is not, what is seen, and the way back."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
from tests.chart.helm import SUPPORTED, fetch
from tests.cluster.releases import Stage

from podenv.errors import ReleaseMissing, ReleaseTestFailed
from podenv.release import Releases, Target, chart
from podenv.release.cluster import JSON_PATCH
from podenv.release.clusters import Clusters
from podenv.release.status import status

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize("version", SUPPORTED)
def test_a_release_is_installed_left_alone_upgraded_rolled_back_and_removed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setenv("PODENV_HELM", str(fetch(version)))
    name = stage.write("etl")
    first = stage.deploy(name)
    assert (first.action, first.revision, first.warnings) == ("installed", 1, ())
    assert stage.deploy(name).action == "unchanged"
    stage.write("etl", env={"A": "1"})
    assert stage.deploy(name).action == "upgraded"
    assert stage.revisions(name) == [(2, "deployed"), (1, "superseded")]
    assert stage.drift(name) == []
    stage.rollback(name)
    assert stage.revisions(name) == [(3, "deployed"), (2, "superseded"), (1, "superseded")]
    stage.releases.uninstall(name, stage.namespace(name))
    assert stage.revisions(name) == []
    assert stage.cluster.get(stage.path("PodTemplate", name, of=name)) is None


def test_the_namespace_is_made_with_pod_security(stage: Stage) -> None:
    name = stage.write("etl")
    stage.deploy(name)
    made = stage.cluster.get(f"/api/v1/namespaces/{stage.namespace(name)}")
    assert made is not None
    assert made["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_a_namespace_without_pod_security_is_warned_of(stage: Stage) -> None:
    name = stage.write("etl")
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": stage.namespace(name)}}
    stage.cluster.create("/api/v1/namespaces", body)
    (warning,) = stage.deploy(name).warnings
    assert "has no Pod Security label" in warning


def test_an_edit_of_a_template_is_deployed(stage: Stage, tmp_path: Path) -> None:
    name = stage.write("etl")
    edited = Releases(Target(prefix=stage.prefix), chart=tmp_path / "chart")
    shutil.copytree(chart.folder(), edited.chart)
    assert stage.deploy(name, edited).action == "installed"
    assert stage.deploy(name, edited).action == "unchanged"
    template = edited.chart / "templates" / "serviceaccount.yaml"
    template.write_text(template.read_text().replace("kind: ServiceAccount\n", "kind: ServiceAccount\nsecrets: []\n"))
    assert stage.deploy(name, edited).action == "upgraded"


def test_what_people_change_in_the_cluster_is_seen_and_undone(stage: Stage) -> None:
    name = stage.write("etl", nodeSelector={"kubernetes.io/os": "linux"})
    stage.deploy(name)
    template = stage.path("PodTemplate", name, of=name)
    # As `kubectl edit` does: under another name than Helm's.
    edit = [
        {"op": "replace", "path": "/template/spec/containers/0/image", "value": "other:1"},
        {"op": "add", "path": "/template/spec/containers/0/env/-", "value": {"name": "EXTRA", "value": "1"}},
        {"op": "add", "path": "/template/spec/nodeSelector/disk", "value": "ssd"},
        {"op": "add", "path": "/template/spec/hostNetwork", "value": True},
        {"op": "remove", "path": "/template/spec/automountServiceAccountToken"},
    ]
    stage.cluster.patch(f"{template}?fieldManager=kubectl-edit", edit, kind=JSON_PATCH)
    stage.cluster.delete(stage.path("ServiceAccount", name, of=name))
    assert sorted(set(stage.drift(name))) == [
        "PodTemplate/etl lacks: template.spec.automountServiceAccountToken",
        "PodTemplate/etl was added to: template.spec.containers.base.env.EXTRA (by kubectl-edit)",
        "PodTemplate/etl was added to: template.spec.hostNetwork (by kubectl-edit)",
        "PodTemplate/etl was added to: template.spec.nodeSelector.disk (by kubectl-edit)",
        "PodTemplate/etl was changed: template.spec.containers.base.image (by kubectl-edit)",
        "ServiceAccount/etl is gone",
    ]
    assert stage.deploy(name, repair=True).action == "repaired"
    assert stage.drift(name) == []
    spec = stage.pod_template(name)["template"]["spec"]
    assert spec["containers"][0]["image"] == str(stage.ref)
    assert spec["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert "hostNetwork" not in spec


def test_a_rollback_is_seen_in_status_history_and_pod_template(stage: Stage) -> None:
    name = stage.write("etl", env={"A": "old"})
    stage.deploy(name)
    before = stage.pod_template(name)["template"]
    stage.write("etl", env={"A": "new"})
    stage.deploy(name)
    assert stage.pod_template(name)["template"] != before
    code, _, stderr = stage.run("rollback", name)
    assert (code, stderr) == (0, "")
    assert stage.pod_template(name)["template"] == before
    rows = json.loads(stage.run("history", name, "--json")[1])
    assert [(row["revision"], row["state"], row["description"]) for row in rows] == [
        (3, "deployed", "Rollback to 1"),
        (2, "superseded", "Upgrade complete"),
        (1, "superseded", "Install complete"),
    ]
    (row,) = json.loads(stage.run("status", name, "--json")[1])
    assert (row["state"], row["revision"], row["digest"], row["health"]) == ("deployed", 3, stage.ref.digest, "ok")
    assert row["drift"] == ["values: not those that are deployed: env"]
    assert stage.deploy(name).action == "upgraded"


def test_a_rollback_to_nothing_says_so(stage: Stage) -> None:
    name = stage.write("etl")
    with pytest.raises(ReleaseMissing, match="has no release in namespace"):
        stage.rollback(name)
    stage.deploy(name)
    with pytest.raises(ReleaseMissing, match="has no earlier revision"):
        stage.rollback(name)
    with pytest.raises(ReleaseMissing, match="has no revision 7; it has 1"):
        stage.rollback(name, 7)


def test_a_pod_of_the_pod_template_is_accepted_and_runs(stage: Stage) -> None:
    name = stage.write("etl", env={"WHO": "podenv ✨"})
    stage.deploy(name)
    template = stage.pod_template(name)["template"]
    container = template["spec"]["containers"][0]
    container["command"] = ["python", "-c", "import os; print('hello from', os.environ['WHO'])"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {**template["metadata"], "name": "task"}}
    stage.cluster.create(stage.path("Pod", "", of=name), {**pod, "spec": template["spec"]})
    path = stage.path("Pod", "task", of=name)
    deadline = time.monotonic() + 60
    while (found := stage.cluster.get(path) or {})["status"]["phase"] not in ("Succeeded", "Failed"):
        assert time.monotonic() < deadline, found["status"]
        time.sleep(0.3)
    assert found["status"]["phase"] == "Succeeded"
    assert stage.cluster.text(f"{path}/log") == "hello from podenv ✨\n"


def test_the_release_waits_for_nodes_where_pre_pull_is_on(stage: Stage) -> None:
    name = stage.write("etl", prePull={"enabled": True})
    stage.deploy(name)
    made = stage.cluster.get(stage.path("DaemonSet", f"{name}-pre-pull", of=name, api="apps/v1"))
    assert made is not None
    assert made["status"]["numberReady"] == made["status"]["desiredNumberScheduled"] >= 1
    ((row,), _) = status(Clusters(stage.releases.target), [stage.catalogue[name]])
    assert (row.health, row.drift) == ("ok", ())


def test_the_test_pod_passes_or_its_log_says_why(stage: Stage) -> None:
    name = stage.write("etl")
    stage.deploy(name)
    log = stage.releases.test(name, stage.namespace(name), timeout=60)
    assert log.startswith("Python 3.11.")
    pod = stage.path("Pod", f"{name}-test", of=name)
    assert stage.cluster.get(pod) is None
    stage.write("etl", python="3.12")
    stage.deploy(name)
    with pytest.raises(ReleaseTestFailed) as caught:
        stage.releases.test(name, stage.namespace(name), timeout=60)
    assert "FAILED the image has Python 3.11, the values say 3.12" in caught.value.log
    assert stage.cluster.get(pod) is not None  # to be looked at
    stage.write("etl")
    stage.deploy(name)
    log = stage.releases.test(name, stage.namespace(name), timeout=60)  # it takes the failed one's place
    assert log.startswith("Python 3.11.")
    assert stage.cluster.get(pod) is None


def test_a_dry_run_changes_nothing(stage: Stage) -> None:
    stage.write("etl")
    code, stdout, _ = stage.run("deploy", "--dry-run", "--json")
    assert (code, json.loads(stdout)[0]["action"]) == (0, "installed")
    assert stage.cluster.get(f"/api/v1/namespaces/{stage.namespace('etl')}") is None
    stage.deploy("etl")
    stage.write("etl", env={"A": "1"})
    code, stdout, _ = stage.run("deploy", "--dry-run", "--json")
    assert (code, json.loads(stdout)[0]["action"]) == (0, "upgraded")
    assert stage.revisions("etl") == [(1, "deployed")]


def test_diff_shows_what_a_deploy_would_change_and_masks_secrets(stage: Stage) -> None:
    stage.write("etl", env={"MODE": "a", "API_TOKEN": "hunter2"})
    stage.deploy("etl")
    assert stage.run("diff") == (0, "etl: nothing changes\n", "")
    stage.write("etl", env={"MODE": "b", "API_TOKEN": "hunter3"})
    code, stdout, stderr = stage.run("diff", "--json")
    assert (code, stderr) == (0, "")
    (change,) = json.loads(stdout)[0]["changes"]
    assert (change["object"], change["action"]) == ("PodTemplate/etl", "change")
    changed = [line.strip() for line in change["lines"] if line[0] in "+-"]
    assert [line.split(":")[0] for line in changed[:2]] == ["-    podenv.dev/inputs", "+    podenv.dev/inputs"]
    assert changed[2:] == ["-        value: a", "+        value: b"]
    assert "hunter" not in stdout


def test_uninstall_says_what_goes_and_asks(stage: Stage) -> None:
    stage.write("etl")
    stage.deploy("etl")
    code, stdout, _ = stage.run("uninstall", "etl")
    assert code != 0
    assert "ServiceAccount/etl, PodTemplate/etl" in stdout
    assert stage.revisions("etl") == [(1, "deployed")]
    code, stdout, _ = stage.run("uninstall", "etl", "--yes")
    assert (code, stdout.splitlines()[-1]) == (0, "etl: removed")
    (row,) = json.loads(stage.run("status", "--json")[1])
    assert row["state"] == "not deployed"
