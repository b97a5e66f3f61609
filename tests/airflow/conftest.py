"""The operator against the simulated API server: Airflow's own code, and no cluster."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.airflowhome import prepare
from tests.pods.apiserver import ApiServer

from podenv.pods import follow

PROJECT = Path(__file__).parents[1] / "cluster/pods/project"
NAMESPACE = "podenv-plain"
IMAGE = "registry.example/plain@sha256:0123"

prepare(PROJECT / "dags")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            # Of Airflow's own, on what it imports.
            for said in ("Using `httpx` with `starlette.testclient`", "Could not import graphviz", "'HTTP_422_"):
                item.add_marker(pytest.mark.filterwarnings(f"ignore:{said}"))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    """A cluster with the environment `plain`, which Airflow's connection leads to."""
    made = ApiServer()
    deploy(made)
    connection = {"conn_type": "kubernetes", "extra": {"kube_config": json.dumps(kubeconfig(made.url))}}
    monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", json.dumps(connection))
    settle(monkeypatch)
    yield made
    made.close()


def settle(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of each test: the backend, the catalogue, short waits."""
    monkeypatch.setenv("PODENV_BACKEND", "kubernetes")
    monkeypatch.setenv("PODENV_CATALOGUE", str(PROJECT / "envs"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setattr(follow, "FIRST_EVENT_SECONDS", 1.0)
    monkeypatch.setattr(follow, "SILENCE_SECONDS", (0.5, 2.0))
    monkeypatch.setattr(follow, "PAUSE_SECONDS", (0.02, 0.2))


def deploy(server: ApiServer, **annotations: str) -> None:
    """What a release holds for its tasks; the template's own annotations come with each pod."""
    template = {"metadata": {"annotations": annotations}, "spec": {"containers": [{"name": "base", "image": IMAGE}]}}
    body = {"metadata": {"name": "plain", "annotations": annotations}, "template": template}
    server.objects.create("podtemplates", NAMESPACE, body)


def kubeconfig(url: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "c",
    }


@pytest.fixture
def make() -> Callable[..., Any]:
    """Makes an operator with a function (`make(function, *args, ...)`)."""
    from airflow.sdk import DAG
    from airflow.sdk.bases.operator import ExecutorSafeguard

    from podenv import EnvPodOperator

    ExecutorSafeguard.test_mode = True  # its methods may be called by hand

    def made(function: Callable[..., Any], *args: Any, **given: Any) -> Any:
        task_id = given.pop("task_id", f"t{secrets.token_hex(4)}")
        given = {"poll_interval": 0.1, "dag": DAG("tests", schedule=None), "env": "plain", **given}
        return EnvPodOperator(task_id=task_id, python_callable=function, op_args=list(args), **given)

    return made
