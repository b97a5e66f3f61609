"""Releases without a cluster: values, helm's words and warnings, one program started well."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from podenv import errors
from podenv.catalogue.environment import Catalogue
from podenv.catalogue.reference import ImageRef
from podenv.errors import AccessRefused, NoCluster, ProgramNotFound, ReleaseError
from podenv.release import Releases, chart, helm, lease
from podenv.release.cluster import Cluster, selector
from podenv.release.helmfailures import failure
from podenv.release.spec import release_values

REF = ImageRef("registry.example", "etl", digest=f"sha256:{'1' * 64}")

# In the words of helm 4 and of Kubernetes.
STDERR = {
    "NoCluster": 'Error: kubernetes cluster unreachable: Get "https://127.0.0.1:6443/version": dial tcp [::1]: '
    "connect: connection refused\n",
    "ValuesRefused": "Error: UPGRADE FAILED: values don't meet the specifications of the schema(s) in the following "
    "chart(s):\nairflow-env:\n- at '/env/A': got number, want null or string\n\n",
    "AccessRefused": 'Error: query: failed to query with labels: secrets is forbidden: User "viewer" cannot list '
    'resource "secrets" in API group "" in the namespace "x"\n',
    "QuotaRefused": 'Error: failed to create resource: podtemplates "etl" is forbidden: exceeded quota: none, '
    "requested: count/podtemplates=1, used: count/podtemplates=0, limited: count/podtemplates=0\n",
    "AdmissionRefused": 'Error: UPGRADE FAILED: failed to create resource: admission webhook "policy.example" denied '
    "the request: no\n",
    "ReleaseBusy": "Error: UPGRADE FAILED: another operation (install/upgrade/rollback) is in progress\n",
    "ReleaseMissing": "Error: release: not found\n",
    "ReleaseTestFailed": "Error: resource Pod/ns/etl-test not ready. status: Failed, message: pod etl-test failed\n",
    "ReleaseTimedOut": "Error: UPGRADE FAILED: resource Pod/ns/hook not ready. status: InProgress\n"
    "context deadline exceeded\n",
    "Conflict": 'Error: unable to continue with install: ServiceAccount "etl" in namespace "x" exists and cannot be '
    "imported into the current release: invalid ownership metadata\n",
}


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    folder = tmp_path / "envs" / "etl"
    folder.mkdir(parents=True)
    values = {"python": "3.11", "image": {"registry": "old.example", "pullPolicy": "Always"}, "env": {"A": "✨"}}
    (folder / "values.yaml").write_text(yaml.safe_dump(values))
    return Catalogue(tmp_path / "envs")


def test_the_values_of_a_release_are_the_environments_with_the_image_by_digest(catalogue: Catalogue) -> None:
    environment = catalogue["etl"]
    before = json.dumps(environment.values)
    assert release_values(environment, REF, lock_hash="a" * 64) == {
        "python": "3.11",
        "image": {
            "registry": "registry.example", "repository": "etl", "digest": REF.digest, "pullPolicy": "Always",
        },
        "env": {"A": "✨"},
        "lock": {"hash": "a" * 64, "packages": []},
    }  # fmt: skip
    assert json.dumps(environment.values) == before


def test_the_chart_is_found() -> None:
    assert (chart.folder() / "Chart.yaml").is_file()


@pytest.mark.parametrize("kind", STDERR)
def test_helms_words_become_an_error_of_their_kind_in_one_line(kind: str) -> None:
    error = failure("etl", "ns", STDERR[kind])
    assert type(error) is getattr(errors, kind)
    assert "\n" not in str(error)
    assert str(error).startswith("Release 'etl' in namespace 'ns': ")
    assert "Error:" not in str(error)


def test_a_webhook_that_does_not_answer_is_no_cluster_that_does_not_answer() -> None:
    said = (
        'failed calling webhook "x": Post "https://x.x.svc:443": dial tcp 10.96.24.5:443: connect: connection refused'
    )
    error = failure("etl", "ns", f"Error: UPGRADE FAILED: {said}\n")
    assert type(error) is errors.AdmissionRefused
    assert str(error).endswith("Run the command again. If that repeats, look for the pods behind that webhook.")


def test_words_that_nobody_knows_are_passed_on() -> None:
    error = failure("etl", "ns", "Error: something new\n")
    assert type(error) is ReleaseError
    assert str(error) == "Release 'etl' in namespace 'ns': something new."


def test_without_helm_it_is_said_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PODENV_HELM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProgramNotFound, match=r"helm is not on PATH\. Get helm 4\.1 or newer from https://helm\.sh"):
        helm.find()


def test_without_a_cluster_it_is_said_what_to_check(tmp_path: Path) -> None:
    with pytest.raises(NoCluster, match=r"cannot be used: .*--kubeconfig and --context"):
        Cluster(tmp_path / "none")
    config = tmp_path / "config"
    cluster = {"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    users = [{"name": "u", "user": {}}]
    config.write_text(
        yaml.safe_dump({"clusters": [cluster], "contexts": [context], "users": users, "current-context": "c"})
    )
    with pytest.raises(NoCluster, match=r"http://127\.0\.0\.1:1 does not answer \(.*refused"):
        Cluster(config).get("/version")


def test_a_selector_takes_one_value_or_one_of_several() -> None:
    assert selector({"a": "b", "c": ["d", "e"]}) == "a=b,c in (d,e)"


def test_two_processes_are_two_holders() -> None:
    assert lease.identity() != lease.identity()


def test_a_test_that_passed_stays_passed_where_its_pod_may_not_be_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Program:
        async def test(self, seconds: float) -> None:
            """It passes."""

    class Passed(Cluster):
        def __init__(self) -> None:
            """No server is asked."""

        def path(self, *names: str) -> str:
            return "/".join(names)

        def get(self, path: str) -> None:
            return None

        def text(self, path: str) -> str:
            return "all packages can be imported"

        def delete(self, path: str, *, version: str = "") -> None:
            raise AccessRefused("The cluster refuses it: no.")

    releases = Releases()
    releases.cluster = Passed()
    monkeypatch.setattr(Releases, "own_history", lambda *_: [])
    monkeypatch.setattr(Releases, "program", lambda *_: Program())
    said: list[str] = []
    assert releases.test("etl", "podenv-etl", say=said.append) == "all packages can be imported"
    assert said == ["pod 'etl-test' in namespace 'podenv-etl' stays. The cluster refuses it: no."]
