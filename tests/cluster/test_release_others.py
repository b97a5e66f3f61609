"""What belongs to others stays theirs: releases of other charts, fields of other managers, objects without Helm."""

from __future__ import annotations

import base64
import copy
import gzip
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.chart.helm import SUPPORTED, fetch
from tests.cluster.releases import Stage

from podenv.catalogue.values import read
from podenv.errors import ReleaseBusy, ReleaseForeign
from podenv.release import chart, lease
from podenv.release.cluster import JSON_PATCH, MERGE_PATCH
from podenv.release.rollout import Rollout
from podenv.release.spec import lock_of

pytestmark = pytest.mark.cluster

RESTRICTED = "pod-security.kubernetes.io/enforce"


def run(program: str | Path, *arguments: str, given: str = "") -> str:
    done = subprocess.run([program, *arguments], input=given, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def helm(*arguments: str, given: str = "") -> str:
    return run(os.environ["PODENV_HELM"], *arguments, given=given)


def foreign_chart(folder: Path, name: str = "airflow") -> str:
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text(f"apiVersion: v2\nname: {name}\nversion: 1.22.0\n")
    (folder / "templates" / "all.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: theirs}\ndata: {a: b}\n"
    )
    return str(folder)


def annotate(stage: Stage, kind: str, name: str, manager: str, **annotations: str | None) -> None:
    path = stage.path(kind, name, of=name)
    stage.cluster.patch(f"{path}?fieldManager={manager}", {"metadata": {"annotations": annotations}}, kind=MERGE_PATCH)


def annotations_of(stage: Stage, kind: str, name: str) -> dict[str, str]:
    found = stage.cluster.get(stage.path(kind, name, of=name)) or {}
    return dict(found["metadata"].get("annotations") or {})


@pytest.mark.parametrize("chart_name", ["airflow", chart.NAME])
def test_a_release_of_another_chart_is_never_touched(stage: Stage, tmp_path: Path, chart_name: str) -> None:
    stage.write("etl")
    namespace = stage.namespace("etl")
    theirs = foreign_chart(tmp_path / "theirs", chart_name)
    for _ in range(2):
        helm("upgrade", "--install", "etl", theirs, "--namespace", namespace, "--create-namespace")
    before = helm("history", "etl", "--namespace", namespace, "--output", "json")
    for command in (
        ("deploy",), ("deploy", "--dry-run"), ("deploy", "--repair", "--yes"), ("up",), ("diff",),
        ("rollback", "etl", "--yes"), ("rollback", "etl", "1", "--yes"),
        ("uninstall", "etl", "--yes"), ("test", "etl"), ("history", "etl"),
    ):  # fmt: skip
        code, _, stderr = stage.run(*command)
        errors = [line for line in stderr.splitlines() if line.startswith("error: ")]
        assert (code, errors) == (
            1,
            [
                f"error: Release 'etl' in namespace '{namespace}' is of chart {chart_name}-1.22.0, not of podenv's "
                "airflow-env, and stays as it is. Give the environment another name (`git mv envs/etl envs/NAME`) or "
                "set another `namespace` in its values."
            ],
        ), command
    (row,) = json.loads(stage.run("status", "--json")[1])
    assert (row["state"], row["drift"]) == ("foreign", [])
    assert row["health"] == f"the release is of chart {chart_name}-1.22.0; podenv does not touch it"
    assert helm("history", "etl", "--namespace", namespace, "--output", "json") == before
    assert (stage.cluster.get(stage.path("ConfigMap", "theirs", of="etl")) or {})["data"] == {"a": "b"}
    assert stage.cluster.get(stage.path("PodTemplate", "etl", of="etl")) is None


def test_a_release_of_another_chart_that_appears_in_mid_deploy_is_not_touched(stage: Stage, tmp_path: Path) -> None:
    name = stage.write("etl")
    environment = stage.catalogue[name]
    known = stage.releases.survey(stage.releases.places([environment]))[name]
    helm("install", "etl", foreign_chart(tmp_path / "theirs"), "-n", stage.namespace(name), "--create-namespace")
    with pytest.raises(ReleaseForeign):
        stage.releases.deploy(stage.releases.spec_of(environment), known)
    assert stage.revisions(name) == [(1, "deployed")]


@pytest.mark.parametrize("version", SUPPORTED)
def test_what_a_controller_added_is_no_drift_and_stays(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setenv("PODENV_HELM", str(fetch(version)))
    name = stage.write("etl")
    stage.deploy(name)
    for kind in ("ServiceAccount", "PodTemplate"):
        annotate(stage, kind, name, "rancher", **{"field.cattle.io/projectId": "c:p", "lifecycle.cattle.io/x": "true"})
    env = {"op": "add", "path": "/template/spec/containers/0/env/-", "value": {"name": "INJECTED", "value": "1"}}
    template = stage.path("PodTemplate", name, of=name)
    stage.cluster.patch(f"{template}?fieldManager=injector", [env], kind=JSON_PATCH)
    assert stage.drift(name) == []
    assert stage.deploy(name).action == "unchanged"
    assert stage.deploy(name, repair=True).action == "unchanged"
    stage.write("etl", env={"A": "1"})
    assert stage.deploy(name).action == "upgraded"
    assert stage.drift(name) == []
    for kind in ("ServiceAccount", "PodTemplate"):
        assert annotations_of(stage, kind, name)["field.cattle.io/projectId"] == "c:p"
    assert "INJECTED" in str(stage.pod_template(name)["template"]["spec"]["containers"][0]["env"])
    code, stdout, stderr = stage.run("deploy", "--json")
    assert (code, stderr) == (0, "")
    (row,) = json.loads(stdout)
    assert (row["action"], row["left"], row["taken_back"]) == ("unchanged", [], [])


def test_a_repair_says_first_what_it_takes_back(stage: Stage) -> None:
    name = stage.write("etl", env={"A": "1"})
    stage.deploy(name)
    annotate(stage, "ServiceAccount", name, "rancher", theirs="1")
    annotate(stage, "ServiceAccount", name, "kubectl-annotate", by_hand="1")
    template = stage.path("PodTemplate", name, of=name)
    change = [{"op": "replace", "path": "/template/spec/containers/0/env/0/value", "value": "2"}]
    stage.cluster.patch(f"{template}?fieldManager=kubectl-edit", change, kind=JSON_PATCH)
    changed = "PodTemplate/etl was changed: template.spec.containers.base.env.A.value (by kubectl-edit)"
    added = "ServiceAccount/etl was added to: metadata.annotations.by_hand (by kubectl-annotate)"
    assert set(stage.drift(name)) == {changed, added}
    hint = "; `podenv deploy etl --repair` takes that back"
    code, stdout, stderr = stage.run("deploy")
    assert (code, set(stderr.splitlines())) == (0, {f"warning: etl: {one}{hint}" for one in (changed, added)})
    assert stdout.splitlines()[1].split()[:3] == ["etl", "unchanged", "1"]
    for options in ((), ("--json",)):
        code, stdout, stderr = stage.run("deploy", "--repair", *options)
        assert code == 1
        said = stderr.splitlines() if options else stdout.splitlines()
        assert said[0] == "Takes back:"
        assert set(said[1:3]) == {f"etl: {changed}", f"etl: {added}"}
        assert "There is no terminal to ask on" in stderr
    code, stdout, stderr = stage.run("deploy", "--repair", "--dry-run")
    assert (code, "would be repaired" in stdout) == (0, True)
    assert f"warning: etl: would be taken back: {changed}" in stderr
    assert stage.revisions(name) == [(1, "deployed")]
    code, stdout, stderr = stage.run("deploy", "--repair", "--yes")
    assert (code, stdout.splitlines()[0]) == (0, "Takes back:")
    assert f"warning: etl: taken back: {changed}" in stderr
    assert stage.drift(name) == []
    assert annotations_of(stage, "ServiceAccount", name)["theirs"] == "1"
    assert "by_hand" not in annotations_of(stage, "ServiceAccount", name)
    assert stage.pod_template(name)["template"]["spec"]["containers"][0]["env"][0]["value"] == "1"
    assert stage.run("deploy", "--repair")[0] == 0


def test_a_deploy_that_sets_a_field_again_says_what_it_took_back_and_keeps_what_was_added(stage: Stage) -> None:
    name = stage.write("etl")
    stage.deploy(name)
    template = stage.path("PodTemplate", name, of=name)
    change = [
        {"op": "replace", "path": "/template/spec/containers/0/image", "value": "other:1"},
        {"op": "add", "path": "/template/spec/hostNetwork", "value": True},
    ]
    stage.cluster.patch(f"{template}?fieldManager=kubectl-edit", change, kind=JSON_PATCH)
    stage.cluster.delete(stage.path("ServiceAccount", name, of=name))
    made = stage.deploy(name)
    assert made.action == "repaired"
    assert "PodTemplate/etl was changed: template.spec.containers.base.image (by kubectl-edit)" in made.taken_back
    assert made.left == ("PodTemplate/etl was added to: template.spec.hostNetwork (by kubectl-edit)",)
    spec = stage.pod_template(name)["template"]["spec"]
    assert (spec["containers"][0]["image"], spec["hostNetwork"]) == (str(stage.ref), True)


@pytest.mark.parametrize("version", SUPPORTED)
def test_a_release_of_plain_helm_shows_no_false_drift(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    program = str(fetch(version))
    monkeypatch.setenv("PODENV_HELM", program)
    name = stage.write("etl", env={"A": "1e3", "B": "yes", "C": "01", "D": "é ✨"}, terminationGracePeriodSeconds=45.0)
    values = stage.run("values", name)[1]
    run(
        program, "upgrade", "--install", name, str(chart.folder()), "--namespace", stage.namespace(name),
        "--create-namespace", "--values", "-", given=values,
    )  # fmt: skip
    (row,) = json.loads(stage.run("status", "--json")[1])
    assert (row["state"], row["drift"], row["health"]) == ("deployed", [], "ok")
    assert stage.deploy(name).action == "unchanged"
    assert stage.revisions(name) == [(1, "deployed")]
    stage.write("etl", env={"A": "2"})
    (row,) = json.loads(stage.run("status", "--json")[1])
    assert row["drift"] == ["values: not those that are deployed: env, terminationGracePeriodSeconds"]
    assert stage.deploy(name).action == "upgraded"
    # Helm hands labels on: what plain helm makes of podenv's release must not pass for podenv's.
    other = yaml.safe_dump({**yaml.safe_load(values), "env": {"A": "3"}})
    run(program, "upgrade", name, str(chart.folder()), "-n", stage.namespace(name), "--values", "-", given=other)
    assert json.loads(stage.run("status", "--json")[1])[0]["drift"] != []
    assert stage.deploy(name).action == "upgraded"


def test_a_release_of_the_plain_line_in_the_readme_has_an_unknown_lock(stage: Stage) -> None:
    ref = stage.ref
    name = stage.write("etl", image={})
    (stage.root / name / "requirements.in").write_text("")
    lock_file = Path(__file__).parents[2] / "envs" / "data-ingestion"
    for file in ("requirements.in", "requirements.txt"):
        (stage.root / name / file).write_text((lock_file / file).read_text())
    helm(
        "upgrade", "--install", name, str(chart.folder()), "--namespace", stage.namespace(name), "--create-namespace",
        "--values", str(stage.root / "defaults.yaml"), "--values", str(stage.root / name / "values.yaml"),
        "--set", f"image.registry={ref.registry},image.repository={ref.repository},image.digest={ref.digest}",
    )  # fmt: skip
    environment = stage.catalogue[name]
    spec = stage.releases.spec_with_image(environment, ref, lock_hash=lock_of(environment))
    (record,) = stage.releases.history(name, stage.namespace(name))
    assert spec.differences(record) == ["lock"]
    (row,) = json.loads(stage.run("status", "--json")[1])
    assert row["lock"] == "unknown"
    assert [one for one in row["drift"] if not one.startswith(("image: ", "lock: envs"))] == []


def begin_plain_upgrade(stage: Stage, name: str) -> None:
    """A pending second revision as plain helm writes it, with the label that it took over from the first one."""
    (secret,) = stage.cluster.list("v1", "Secret", namespace=stage.namespace(name), labels="owner=helm,version=1")
    packed = base64.b64decode(base64.b64decode(secret["data"]["release"]))
    content = json.loads(gzip.decompress(packed))
    content["version"], content["info"]["status"] = 2, "pending-upgrade"
    packed = gzip.compress(json.dumps(content).encode())
    secret["data"]["release"] = base64.b64encode(base64.b64encode(packed)).decode()
    meta = {
        "name": "sh.helm.release.v1.etl.v2", "namespace": stage.namespace(name),
        "labels": {**secret["metadata"]["labels"], "version": "2", "status": "pending-upgrade"},
    }  # fmt: skip
    stage.cluster.create(stage.path("Secret", "", of=name), {**secret, "metadata": meta})


def test_a_plain_helm_upgrade_that_begins_in_mid_deploy_is_not_rolled_back(stage: Stage) -> None:
    name = stage.write("etl")
    stage.deploy(name)
    known = stage.releases.survey({name: stage.namespace(name)})[name]
    spec = stage.releases.spec_of(stage.catalogue[stage.write("etl", env={"A": "1"})])
    begin_plain_upgrade(stage, name)
    with pytest.raises(ReleaseBusy, match="another operation"):
        Rollout(stage.cluster, spec, stage.releases.program, print).run(known, timeout=60, repair=())
    assert stage.revisions(name)[0] == (2, "pending-upgrade")


def test_a_plain_helm_upgrade_that_runs_is_waited_for_and_not_rolled_back(stage: Stage) -> None:
    name = stage.write("etl")
    stage.deploy(name)
    begin_plain_upgrade(stage, name)
    stage.write("etl", env={"A": "1"})
    code, _, stderr = stage.run("deploy")
    assert code == 1
    assert "is pending-upgrade since " in stderr
    assert "by something other than podenv; wait until it is done" in stderr
    assert stage.revisions(name)[0] == (2, "pending-upgrade")


def test_templates_can_be_applied_twice_and_their_status_is_told(stage: Stage) -> None:
    name = stage.write("etl", prePull={"enabled": False}, access={"users": ["jane"]}, env={"A": "1e3", "B": "null"})
    namespace = stage.namespace(name)
    code, manifests, stderr = stage.run("template", name)
    assert (code, stderr) == (0, "")
    items = list(yaml.safe_load_all(manifests))
    assert [item["kind"] for item in items] == ["Namespace", "ServiceAccount", "Role", "RoleBinding", "PodTemplate"]
    assert items[0]["metadata"]["labels"][RESTRICTED] == "restricted"
    assert "managed-by" not in manifests
    assert "helm.sh/hook" not in manifests
    run("kubectl", "apply", "-f", "-", given=manifests)
    stage.write("etl", access={"users": ["jane"]}, env={"A": "1e3", "B": "other"})
    run("kubectl", "apply", "-f", "-", given=stage.run("template", name)[1])
    env = stage.pod_template(name)["template"]["spec"]["containers"][0]["env"]
    assert {one["name"]: one["value"] for one in env} == {"A": "1e3", "B": "other", "HOME": "/tmp"}
    (row,) = json.loads(stage.run("status", "--json")[1])
    assert (row["state"], row["owner"], row["digest"], row["health"], row["drift"]) == (
        "applied", "kubectl", stage.ref.digest, "ok", [],
    )  # fmt: skip
    assert row["inputs"] == stage.pod_template(name)["metadata"]["annotations"]["podenv.dev/inputs"]
    assert stage.run("diff", name)[1] == "etl: nothing changes\n"
    change = [{"op": "replace", "path": "/template/spec/containers/0/env/1/value", "value": "9"}]
    stage.cluster.patch(
        f"{stage.path('PodTemplate', name, of=name)}?fieldManager=kubectl-edit", change, kind=JSON_PATCH
    )
    stage.cluster.delete(stage.path("Role", "etl-launcher", of=name, api="rbac.authorization.k8s.io/v1"))
    (row,) = json.loads(stage.run("status", "--json")[1])
    assert row["health"] == "objects are gone"
    assert row["drift"] == [
        "objects: not as this repository renders them: Role/etl-launcher",
        "PodTemplate/etl was changed: template.spec.containers.base.env.B.value (by kubectl-edit)",
        "Role/etl-launcher is gone",
    ]
    stage.write("etl", access={"users": ["jane"]}, env={"A": "1e3", "B": "third"})
    changed = stage.run("diff", name)[1]
    assert [line for line in changed.splitlines() if line.startswith("etl: ")] == [
        "etl: change PodTemplate/etl", "etl: add Role/etl-launcher",
    ]  # fmt: skip
    assert {"-        value: other", "+        value: third"} <= set(changed.splitlines())
    apply = ("apply", "--server-side", "--force-conflicts", "--field-manager", "argocd-controller", "-f", "-")
    run("kubectl", *apply, given=stage.run("template", name)[1])
    (row,) = json.loads(stage.run("status", "--json")[1])
    assert (row["owner"], row["health"], row["drift"]) == ("Argo CD", "ok", [])
    for command in (("history", name), ("rollback", name), ("test", name), ("uninstall", name, "--yes")):
        code, _, stderr = stage.run(*command)
        assert (code, stderr) == (
            1,
            f"error: Environment 'etl' has no Helm release in namespace '{namespace}': it is applied by Argo CD. Its "
            "revisions are there. `argocd app history` shows them. To go back, revert that commit in Git.\n",
        )
    for options in ((), ("--dry-run",)):
        code, _, stderr = stage.run("deploy", *options)
        assert code == 1
        assert f"Environment 'etl' in namespace '{namespace}' is applied by Argo CD, without a Helm release" in stderr
        assert "To have podenv deploy it, first remove those objects where they come from." in stderr
    assert stage.revisions(name) == []


@pytest.mark.parametrize("version", SUPPORTED)
def test_a_release_with_every_value_is_unchanged_when_it_is_deployed_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setenv("PODENV_HELM", str(fetch(version)))
    everything = copy.deepcopy(read(Path(__file__).parents[1] / "chart" / "everything.yaml"))
    given = {key: value for key, value in everything.items() if key not in ("image", "lock", "prePull", "python")}
    given["networkPolicy"]["egress"][0]["ports"] = [{"port": 443}]  # endPort is stable from Kubernetes 1.25 on
    name = stage.write("etl", **given)
    assert stage.deploy(name).action == "installed"
    assert stage.drift(name) == []
    assert stage.deploy(name).action == "unchanged"


def test_a_namespace_that_environments_share_is_not_among_the_manifests(stage: Stage) -> None:
    name = stage.write("etl", namespace=f"{stage.prefix}team")
    code, manifests, _ = stage.run("template", name)
    assert code == 0
    assert [item["kind"] for item in yaml.safe_load_all(manifests)] == ["ServiceAccount", "PodTemplate"]


def test_a_pod_and_a_lease_of_others_are_not_removed(stage: Stage) -> None:
    name = stage.write("etl")
    stage.deploy(name)
    pod = {
        "metadata": {"name": "etl-test"},
        "spec": {"containers": [{"name": "a", "image": str(stage.ref)}], "schedulerName": "none"},
    }
    secure = {"runAsNonRoot": True, "runAsUser": 1, "seccompProfile": {"type": "RuntimeDefault"}}
    pod["spec"] |= {"securityContext": secure}  # type: ignore[operator]
    stage.cluster.create(stage.path("Pod", "", of=name), {"apiVersion": "v1", "kind": "Pod", **pod})
    code, _, stderr = stage.run("test", name)
    assert (code, "is not the test of environment 'etl'" in stderr) == (1, True)
    assert stage.run("uninstall", name, "--yes")[0] == 0
    assert stage.cluster.get(stage.path("Pod", "etl-test", of=name)) is not None

    other: dict[str, Any] = lease._lease(stage.cluster, name, stage.namespace(name))
    other["metadata"]["labels"] = {}
    other["spec"]["renewTime"] = "2020-01-01T00:00:00.000000Z"
    stage.cluster.create(stage.path("Lease", "", of=name, api=lease.API), other)
    code, _, stderr = stage.run("deploy")
    assert (code, "Lease 'etl-deploy' in namespace" in stderr) == (1, True)
    assert stage.revisions(name) == []


def test_a_rollback_says_first_what_goes_back_and_asks_where_access_is_lost(stage: Stage) -> None:
    account = {"serviceAccounts": [{"name": "worker", "namespace": "airflow"}]}
    name = stage.write("etl", env={"A": "1"}, limitRange={"max": {"memory": "2Gi"}})
    stage.deploy(name)
    stage.write("etl", env={"A": "2"}, access=account)
    stage.deploy(name)
    said = [
        "etl: from revision 2 back to 1: the same image",
        "etl: LimitRange/etl is added",
        "etl: PodTemplate/etl changes: metadata.annotations.podenv.dev/memory-bounds, "
        "template.spec.containers.base.env.A.value",
        "etl: Role/etl-launcher is removed",
        "etl: RoleBinding/etl-launcher is removed",
        "etl: ServiceAccount airflow/worker may no longer launch pods",
    ]
    code, stdout, stderr = stage.run("rollback", name)
    assert (code, stdout.splitlines()) == (1, said)
    assert stderr == (
        "error: Tasks that they launch would fail. Go back all the same? There is no terminal to ask on; "
        "--yes says so beforehand.\n"
    )
    assert stage.revisions(name)[0] == (2, "deployed")
    code, stdout, _ = stage.run("rollback", name, "--yes")
    assert (code, stdout.splitlines()[:-1]) == (0, said)
    assert stage.revisions(name)[0] == (3, "deployed")
    code, stdout, stderr = stage.run("rollback", name, "2", "--json")  # no rights are lost: it does not ask
    assert code == 0
    assert json.loads(stdout)["lost_access"] == []
    assert "etl: RoleBinding/etl-launcher is added" in stderr.splitlines()
