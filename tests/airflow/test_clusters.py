"""A task's pod is launched in the cluster of its environment: by the Connection that the values name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.airflow.conftest import NAMESPACE, deploy, kubeconfig
from tests.airflowtask import execute
from tests.pods import functions
from tests.pods.apiserver import ApiServer

Make = Callable[..., Any]


@pytest.fixture
def other(server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    """A second cluster, to which the Connection `k8s_eu` leads, and which the values of `plain` name."""
    folder = tmp_path / "envs" / "plain"
    folder.mkdir(parents=True)
    (folder / "values.yaml").write_text('python: "3.11"\ncluster: {connection: k8s_eu}\n')
    made = ApiServer()
    deploy(made)
    connection = {"conn_type": "kubernetes", "extra": {"kube_config": json.dumps(kubeconfig(made.url))}}
    monkeypatch.setenv("AIRFLOW_CONN_K8S_EU", json.dumps(connection))
    monkeypatch.setenv("PODENV_CATALOGUE", str(tmp_path / "envs"))
    yield made
    made.close()


def launched(server: ApiServer) -> int:
    return len(server.asked(f"POST .*/{NAMESPACE}/pods$"))


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_task_runs_in_the_cluster_of_its_environment(
    server: ApiServer, other: ApiServer, make: Make, deferrable: bool
) -> None:
    assert execute(make(functions.double, 21, deferrable=deferrable)).value == 42
    assert (launched(server), launched(other)) == (0, 1)


def test_a_deferred_task_goes_on_in_the_cluster_where_its_pod_is(
    server: ApiServer, other: ApiServer, make: Make, tmp_path: Path
) -> None:
    def move(event: Any) -> None:
        (tmp_path / "envs" / "plain" / "values.yaml").write_text('python: "3.11"\n')

    assert execute(make(functions.double, 21, deferrable=True), deferred=move).value == 42
    assert (launched(server), launched(other)) == (0, 1)


def test_a_connection_that_the_task_names_goes_before(
    server: ApiServer, other: ApiServer, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    third = {"conn_type": "kubernetes", "extra": {"kube_config": json.dumps(kubeconfig(server.url))}}
    monkeypatch.setenv("AIRFLOW_CONN_MINE", json.dumps(third))
    assert execute(make(functions.double, 21, kubernetes_conn_id="mine")).value == 42
    assert (launched(server), launched(other)) == (1, 0)


def test_a_connection_that_airflow_does_not_have_is_one_error_and_no_retry(
    server: ApiServer, other: ApiServer, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_K8S_EU")
    said = execute(make(functions.double, 21)).message
    assert said.startswith(
        "AirflowFailException: Environment 'plain': its values name the Connection 'k8s_eu' to its cluster "
        "(cluster.connection), which cannot be read: "
    )
    assert said.endswith(". Add it to Airflow, with conn_type kubernetes, or correct the values.")
    assert (launched(server), launched(other)) == (0, 0)
