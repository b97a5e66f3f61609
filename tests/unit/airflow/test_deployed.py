"""The cluster as the catalogue: what is deployed, read once in a process; a cluster that is away refuses no DAG."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.client import ApiException

from podenv.airflow import compat, deployed, settings
from podenv.catalogue.request import TaskRequest
from podenv.errors import CatalogueNotFound, ResourceError, UnknownEnvironment
from podenv.pods.client import Json


def template(name: str, namespace: str, **container: Any) -> Json:
    return {
        "metadata": {"name": name, "namespace": namespace, "annotations": {"podenv.dev/python": "3.11"}},
        "template": {"spec": {"containers": [{"name": "base", "image": "i", **container}]}},
    }


class Core:
    """An API server with these PodTemplates, or one that answers with an error."""

    def __init__(self, *answers: list[Json] | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def list_pod_template_for_all_namespaces(self, *, label_selector: str, **_: Any) -> Any:
        self.asked.append(label_selector)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(data=json.dumps({"items": answer}).encode())


@pytest.fixture(autouse=True)
def _configured(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AIRFLOW__PODENV__CATALOGUE", "cluster")
    monkeypatch.delenv("PODENV_CATALOGUE", raising=False)
    monkeypatch.setattr(deployed._Failure, "until", 0.0)
    deployed._read.cache_clear()
    yield
    deployed._read.cache_clear()


def serve(monkeypatch: pytest.MonkeyPatch, *answers: list[Json] | Exception) -> Core:
    core = Core(*answers)
    monkeypatch.setattr(compat, "kubernetes_client", lambda: core)
    return core


def test_names_namespaces_pythons_and_limits_are_those_that_are_deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"limits": {"memory": "1Gi"}, "requests": {"memory": "1Gi"}}
    core = serve(monkeypatch, [template("etl", "team-etl", resources=limits), template("train", "gpu")])
    for _ in range(3):
        assert settings.namespace("etl", "dags/x.py") == "team-etl"
    catalogue = settings.catalogue("dags/x.py")
    assert (catalogue.names(), catalogue["etl"].python) == (["etl", "train"], "3.11")
    with pytest.raises(ResourceError, match=r"max_memory \(512Mi\) is below memory \(1Gi\)"):
        TaskRequest(env="etl", max_memory="512Mi").check("Task 't'", lambda: settings.catalogue_or_none("dags/x.py"))
    assert core.asked == ["podenv.dev/environment"]


def test_memory_that_is_auto_is_read_from_what_is_deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    learned = template("etl", "team-etl", resources={"limits": {"memory": "2Gi"}})
    learned["metadata"]["annotations"] |= {"podenv.dev/first-memory": "64Mi", "podenv.dev/max-memory": "2Gi"}
    serve(monkeypatch, [learned])
    found = TaskRequest(env="etl").resources(settings.catalogue("dags/x.py")["etl"], "Task 't'")
    assert (found.is_auto, found.limits["memory"], found.max_memory) == (True, "64Mi", "2Gi")


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_environments_of_one_name_the_one_in_the_namespace_by_the_prefix_counts(
    monkeypatch: pytest.MonkeyPatch, order: int
) -> None:
    serve(monkeypatch, [template("etl", "another-team-etl"), template("etl", "podenv-etl")][::order])
    assert settings.namespace("etl", "dags/x.py") == "podenv-etl"


def test_a_wrong_name_names_the_nearest_one_and_how_to_deploy_it(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, [template("model-training", "x")])
    with pytest.raises(UnknownEnvironment) as raised:
        TaskRequest(env="model-trainin").check("Task 't'", lambda: settings.catalogue_or_none("dags/x.py"))
    assert str(raised.value) == (
        "There is no environment 'model-trainin' in the cluster. Did you mean 'model-training'? "
        "`podenv deploy model-trainin` deploys it. Airflow knows only what is in the cluster of the Connection "
        "kubernetes_default; for another cluster it needs a copy of envs/."
    )


def test_a_cluster_that_cannot_be_read_is_told_once_and_names_are_checked_by_their_form(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    core = serve(monkeypatch, ApiException(status=403, reason="Forbidden"), [])
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            TaskRequest(env="etl").check("Task 't'", lambda: settings.catalogue_or_none("dags/x.py"))
            assert settings.namespace("etl", "dags/x.py") == "podenv-etl"
    assert len(core.asked) == 1
    assert [message.partition(";")[0] for message in caplog.messages] == [
        "[podenv] catalogue = cluster, and the cluster cannot be read (Forbidden)"
    ]


def test_a_process_that_lives_long_asks_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, OSError("no route"), [template("etl", "s")])
    assert settings.catalogue_or_none("dags/x.py") is None
    monkeypatch.setattr(deployed._Failure, "until", 0.0)
    assert settings.namespace("etl", "dags/x.py") == "s"


def test_the_local_backend_says_that_it_needs_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, [template("etl", "s")])
    with pytest.raises(CatalogueNotFound, match="need the locks in an envs/ folder; name one in PODENV_CATALOGUE"):
        settings.folder_catalogue("dags/x.py")


def test_a_podtemplate_that_podenv_has_not_made_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = template("other", "x")
    foreign["template"]["spec"]["containers"][0]["name"] = "main"
    serve(monkeypatch, [foreign])
    assert settings.catalogue("dags/x.py").names() == []
