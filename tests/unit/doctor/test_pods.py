"""What `podenv doctor` says of a cluster, asked of a server that speaks its API over real HTTP."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.registryserver import Answer, Asked, kubeconfig, serving

from podenv.doctor import checkup, finding, pods, queues
from podenv.doctor.finding import CheckFailed, NotHere, State
from podenv.doctor.subject import NO_PODS, Subject
from podenv.errors import NoCluster
from podenv.release import Target, rights

ROOT = Path(__file__).parents[3]
ACCESS = "access: {serviceAccounts: [{name: af-worker, namespace: airflow}]}\n"
Json = dict[str, Any]


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("PODENV_", "AIRFLOW", "KUBE")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
    monkeypatch.chdir(tmp_path)


def make(root: Path, name: str = "etl", values: str = "") -> None:
    folder = root / "envs" / name
    folder.mkdir(parents=True)
    (folder / "values.yaml").write_text(f'python: "3.11"\n{values}')
    (folder / "requirements.in").write_text("")


class Api:
    """A small API server: ``may`` decides each access review, ``objects`` are what lists and gets hold."""

    def __init__(self) -> None:
        self.may: Callable[[Json], bool] = lambda spec: True
        self.objects: dict[str, Json] = {"/version": {"gitVersion": "v1.36.0"}}
        self.refused: set[str] = set()
        self.asked: list[Json] = []

    def respond(self, asked: Asked) -> Answer:
        path = asked.path.partition("?")[0]
        if path in self.refused:
            return Answer(403, {}, json.dumps({"message": f"you may not {asked.method} {path}"}).encode())
        if path.endswith("accessreviews"):
            spec = json.loads(asked.body)["spec"]
            self.asked.append(spec)
            return Answer(201, {}, json.dumps({"status": {"allowed": self.may(spec)}}).encode())
        if path == "/api/v1":
            kinds = [
                {"name": "pods", "kind": "Pod", "namespaced": True},
                {"name": "secrets", "kind": "Secret", "namespaced": True},
            ]
            return Answer(200, {}, json.dumps({"resources": kinds}).encode())
        if path.endswith(("/pods", "/secrets")):
            return Answer(200, {}, json.dumps(self.objects.get(path, {"items": []})).encode())
        found = self.objects.get(path)
        return Answer(404) if found is None else Answer(200, {}, json.dumps(found).encode())


@contextmanager
def cluster(tmp_path: Path) -> Iterator[tuple[Api, Subject]]:
    api = Api()
    with serving(api.respond) as (host, _):
        yield api, Subject(Target(kubeconfig=kubeconfig(tmp_path, host)))


def test_a_cluster_that_answers_is_named_with_its_version(tmp_path: Path) -> None:
    with cluster(tmp_path) as (_, subject):
        state, text = pods.cluster(subject)
    assert state is State.OK
    assert re.fullmatch(r"Kubernetes 1\.36\.0 at http://127\.0\.0\.1:\d+", text)


def test_of_a_cluster_that_is_down_one_check_tells_and_the_others_say_nothing(tmp_path: Path) -> None:
    with cluster(tmp_path) as (_, subject):
        pass
    with pytest.raises(NoCluster, match="does not answer"):
        pods.cluster(subject)
    for check in (pods.own_rights, pods.releases, pods.airflow_rights, pods.airflow_pods):
        with pytest.raises(NotHere, match="the cluster cannot be asked"):
            check(subject)


def test_a_project_without_cluster_and_registry_is_not_asked_for_them(tmp_path: Path) -> None:
    make(tmp_path)
    chosen = [one for one in checkup.checks(Subject()) if one.name in ("registry", "helm", "cluster")]
    assert [(one.state, one.text) for one in finding.run(chosen)] == [(State.SKIPPED, NO_PODS)] * 3


def test_local_looks_at_nothing_of_pods(tmp_path: Path) -> None:
    with cluster(tmp_path) as (_, subject), pytest.raises(NotHere, match="--local"):
        pods.cluster(Subject(subject.target, local=True))


def test_a_missing_registry_is_a_failure_once_a_cluster_is_set_up(tmp_path: Path) -> None:
    make(tmp_path)
    with cluster(tmp_path) as (_, subject), pytest.raises(CheckFailed, match="There is no registry to push to"):
        pods.registry(subject)


def test_a_registry_that_takes_a_push_is_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path)
    with serving(lambda asked: Answer(202)) as (host, requests):
        monkeypatch.setenv("PODENV_REGISTRY", host)
        assert pods.registry(Subject()) == (State.OK, f"{host} takes a push")
    assert [(one.method, one.path) for one in requests] == [("POST", "/v2/podenv-etl/blobs/uploads/")]


def test_rights_for_everything_are_asked_once_and_not_for_each_namespace(tmp_path: Path) -> None:
    make(tmp_path)
    make(tmp_path, "more")
    with cluster(tmp_path) as (api, subject):
        assert pods.own_rights(subject) == (State.OK, "you may deploy")
    assert {spec["resourceAttributes"]["namespace"] for spec in api.asked} == {""}


def test_missing_rights_are_named_by_verb_object_and_namespace(tmp_path: Path) -> None:
    make(tmp_path)
    make(tmp_path, "more")

    def may(spec: Json) -> bool:
        one = spec["resourceAttributes"]
        return bool(one["namespace"]) and (one["namespace"], one["resource"]) not in {
            ("podenv-more", "roles"),
            ("podenv-more", "pods") if one["subresource"] == "log" else ("", ""),
        }

    with cluster(tmp_path) as (api, subject):
        api.may = may
        api.objects |= {f"/api/v1/namespaces/podenv-{name}": {} for name in ("etl", "more")}
        with pytest.raises(CheckFailed) as caught:
            pods.own_rights(subject)
        assert str(caught.value) == (
            "you may not create, get, list, patch, delete roles in podenv-more; get pods/log in podenv-more; ask the "
            "cluster's administrator (`podenv rights` prints what a deploy needs), or choose another --context."
        )
        api.objects.pop("/api/v1/namespaces/podenv-etl")
        with pytest.raises(CheckFailed, match="; create namespaces; ask"):
            pods.own_rights(subject)


def test_what_airflow_may_is_asked_for_its_service_accounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, values=f"{ACCESS[:-2]}, secrets: true}}\n")
    with cluster(tmp_path) as (api, subject):
        monkeypatch.setattr(pods, "_states", lambda subject: {"etl": type("State", (), {"deployed": object()})})
        assert pods.airflow_rights(subject) == (State.OK, "airflow/af-worker may launch pods")
        assert {spec["user"] for spec in api.asked} == {"system:serviceaccount:airflow:af-worker"}
        assert api.asked[0]["groups"] == [
            "system:serviceaccounts",
            "system:serviceaccounts:airflow",
            "system:authenticated",
        ]
        assert {"verb": "create", "group": "", "resource": "secrets", "subresource": "", "namespace": "podenv-etl"} in [
            spec["resourceAttributes"] for spec in api.asked
        ]
        api.may = lambda spec: spec["resourceAttributes"]["verb"] != "delete"
        with pytest.raises(CheckFailed) as caught:
            pods.airflow_rights(subject)
        assert str(caught.value) == (
            "refused: delete pods in podenv-etl by airflow/af-worker; run `podenv deploy`, and check the names in "
            "`access`."
        )
        api.refused = {"/apis/authorization.k8s.io/v1/subjectaccessreviews"}
        with pytest.raises(NotHere, match=r"you may not ask for others; try `kubectl auth can-i get podtemplates --as"):
            pods.airflow_rights(subject)


def test_an_access_that_names_nobody_is_a_warning(tmp_path: Path) -> None:
    make(tmp_path)
    with cluster(tmp_path) as (_, subject):
        state, text = pods.airflow_rights(subject)
    assert state is State.WARNING
    assert text.startswith("`access` names no service account. ")


def test_releases_that_are_missing_are_a_warning(tmp_path: Path) -> None:
    make(tmp_path)
    with cluster(tmp_path) as (api, subject):
        state, text = pods.releases(subject)
        assert state is State.WARNING
        assert text.endswith("; not deployed: etl: run `podenv up`")
    with cluster(tmp_path) as (api, subject):
        api.refused = {"/api/v1/secrets", "/api/v1/namespaces/podenv-etl/secrets"}
        with pytest.raises(NotHere, match="you may not read the releases"):
            pods.releases(subject)


def pod(**variables: str) -> Json:
    env = [{"name": name, "value": value} for name, value in variables.items()]
    return {
        "metadata": {"namespace": "airflow", "name": "af-0"},
        "spec": {"serviceAccountName": "af-worker", "containers": [{"env": env}]},
    }


@pytest.mark.parametrize(
    ("variables", "state", "text"),
    [
        (
            {"AIRFLOW__PODENV__CATALOGUE": "/opt/envs"},
            State.OK,
            "1 pods of Airflow; catalogue: /opt/envs",
        ),
        ({}, State.OK, "1 pods of Airflow; catalogue: envs/ beside the DAGs, if any"),
        (
            {"PODENV_BACKEND": "local"},
            State.WARNING,
            "airflow/af-0 runs tasks in itself: unset PODENV_BACKEND and [podenv] backend there",
        ),
        (
            {"AIRFLOW__PODENV__NAMESPACE_PREFIX": "b-"},
            State.WARNING,
            "airflow/af-0 looks for environments in b-..., the command line in podenv-...: set [podenv] "
            "namespace_prefix and --namespace-prefix alike",
        ),
    ],
)
def test_airflows_pods_are_looked_at(tmp_path: Path, variables: dict[str, str], state: State, text: str) -> None:
    make(tmp_path, values=ACCESS)
    with cluster(tmp_path) as (api, subject):
        api.objects["/api/v1/namespaces/airflow/pods"] = {"items": [pod(**variables)]}
        assert pods.airflow_pods(subject) == (state, text)


def test_the_rights_that_are_asked_for_are_those_that_the_chart_gives() -> None:
    text = (ROOT / "charts" / "airflow-env" / "templates" / "role.yaml").read_text()
    rules = yaml.safe_load("\n".join(line for line in text.splitlines() if "{{" not in line))["rules"]
    given = {
        (group, resource): tuple(rule["verbs"])
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert given == rights.LAUNCH | rights.SECRETS | rights.ATTACH


@pytest.mark.parametrize(
    ("version", "group", "kind"), [("v1.34.2", "batch", "jobs"), ("v1.35.0", "apps", "deployments")]
)
def test_idle_pods_need_rights_of_their_own(tmp_path: Path, version: str, group: str, kind: str) -> None:
    make(tmp_path, values=f"{ACCESS}warm: {{idle: 1}}\n")
    with cluster(tmp_path) as (api, subject):
        api.objects["/version"] = {"gitVersion": version}
        pods.own_rights(subject)
    asked = {(one["group"], one["resource"]) for one in (spec["resourceAttributes"] for spec in api.asked)}
    assert {(group, kind), ("", "pods")} <= asked
    assert not {("batch", "jobs"), ("apps", "deployments")} - {(group, kind)} & asked


def test_a_queue_that_is_not_there_is_named(tmp_path: Path) -> None:
    make(tmp_path, values="kueue: {queue: team-a}\n")
    with cluster(tmp_path) as (api, subject):
        with pytest.raises(CheckFailed, match=r"^a queue is named by etl, and Kueue is not in the cluster: tasks do"):
            queues.queues(subject)
        api.objects["/apis/kueue.x-k8s.io"] = {"preferredVersion": {"groupVersion": "kueue.x-k8s.io/v1beta2"}}
        with pytest.raises(CheckFailed, match=r"^there is no LocalQueue team-a in podenv-etl: Kueue would hold"):
            queues.queues(subject)
        api.objects["/apis/kueue.x-k8s.io/v1beta2/namespaces/podenv-etl/localqueues/team-a"] = {}
        assert queues.queues(subject) == (State.OK, "team-a of Kueue")
        api.refused.add("/apis/kueue.x-k8s.io")
        with pytest.raises(NotHere, match="may not look"):
            queues.queues(subject)


def test_each_cluster_that_environments_name_is_looked_at(tmp_path: Path) -> None:
    make(tmp_path, "etl", "cluster: {context: b}\n")
    make(tmp_path, "report", "cluster: {context: c}\n")
    with cluster(tmp_path) as (_, subject):
        named = [one.name for one in checkup.checks(subject) if one.name.startswith("cluster")]
        assert named == ["cluster (b)", "cluster (c)"]
        make(tmp_path, "train")
        every = Subject(subject.target).clusters()
        assert [(one.here, list(one.places)) for one in every] == [
            (None, ["train"]), ("b", ["etl"]), ("c", ["report"]),
        ]  # fmt: skip
        (chosen,) = Subject(replace(subject.target, context="a")).clusters()
        assert list(chosen.places) == ["etl", "report", "train"]
