"""Airflow in pods of the dev cluster, by its command: the scheduler runs `multi_env_dag` on both executors."""

from __future__ import annotations

import os
import re
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.cluster.releases import swept

from devcluster.airflow import check, install
from devcluster.airflow.api import Api
from devcluster.airflow.install import Airflow
from devcluster.places import Places
from podenv.release.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("_devcluster")]


@pytest.fixture
def prefix() -> str:
    return f"podenv-aip{uuid.uuid4().hex[:6]}-"


@pytest.fixture
def airflow(prefix: str, tmp_path: Path) -> Iterator[Airflow]:
    """An Airflow that is not installed yet, and environments that are deployed, in namespaces of their own."""
    values = yaml.safe_load(install.VALUES.read_text())
    values["config"]["podenv"] |= {"airflow_id": prefix.rstrip("-"), "namespace_prefix": prefix}
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    places = Places.from_environment(os.environ)
    made = Airflow(places, namespace=f"{prefix}airflow", project=tmp_path / "project", values=file)
    check.write_project(made)
    with swept(Cluster(), prefix):
        made.run("podenv", "--catalogue", made.project / "envs", "up", "--namespace-prefix", prefix)
        yield made
        install.remove(made)


def dev_cluster_airflow(airflow: Airflow, *options: str) -> str:
    """What the command says."""
    script = install.ROOT / "scripts" / "dev-cluster"
    ended = subprocess.run(
        [script, "airflow", "--namespace", airflow.namespace, *options], capture_output=True, text=True, timeout=900
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_the_scheduler_runs_the_pipeline_on_both_executors_until_airflow_is_removed(
    airflow: Airflow, prefix: str
) -> None:
    dags = {
        check.write_pipeline(airflow, "LocalExecutor", deferrable=False): "LocalExecutor",
        check.write_pipeline(airflow, "KubernetesExecutor", deferrable=True): "KubernetesExecutor",
    }
    said = dev_cluster_airflow(
        airflow,
        *("--project", str(airflow.project), "--values", str(airflow.values)),
        *("--executor", "LocalExecutor,KubernetesExecutor"),
    )
    (url,) = re.findall(r"Airflow answers at (\S+), for this machine only", said)
    api = Api(url)
    runs = {dag: api.start(dag) for dag in dags}
    for dag, run in runs.items():
        tasks = api.end(run)
        assert api.ask(run)["run_type"] == "scheduled"
        assert [(one["task_id"], one["executor"], one["try_number"]) for one in tasks] == [
            (task, dags[dag], 1) for task in ("ingest", "clean", "train")
        ]
        assert api.value(run, "train")["held_out_rows"] == 86
        for one, environment in zip(tasks, ("data-ingestion", "data-cleaning", "model-training"), strict=True):
            log = check.log_of(airflow, one)
            assert f"Pod {prefix}{environment}/" in log
            assert ("DEFERRED" in log) == (dag == "kubernetes_deferred"), log
    dev_cluster_airflow(airflow, "--remove")
    assert airflow.run("kubectl", "get", "namespace", airflow.namespace, "--ignore-not-found") == ""
    assert not airflow.logs().exists()
