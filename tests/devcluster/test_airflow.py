import gzip
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.chart.helm import SUPPORTED, fetch

from devcluster.airflow import check, install
from devcluster.errors import DevClusterError
from devcluster.places import Places
from devcluster.programs import run
from podenv.catalogue.environment import Catalogue
from podenv.lock import lockfile as locking
from podenv.lock import packages

PLACES = Places(cache=Path("/absent"), state=Path("/absent"))
KNOWN = {"databaseHost": "10.0.0.1", "apiHost": "10.0.0.2"}


def rendered(**hosts: str) -> dict[tuple[str, str], dict[str, Any]]:
    """The chart's objects for a release `af`, by kind and name, with the values file of the guide."""
    dev = {"logs": "/logs", "postgresql": "postgresql:1", "bundle": "", **hosts}
    values = json.dumps({"dev": dev, "images": {"airflow": {"repository": "airflow", "tag": "1"}}})
    files: list[str | Path] = ["--values", install.VALUES, "--values", "-"]
    helm: list[str | Path] = [fetch(SUPPORTED[0]), "template", "af", install.HERE / "chart", "--namespace", "airflow"]
    documents = yaml.safe_load_all(run([*helm, *files], stdin=values))
    return {(one["kind"], one["metadata"]["name"]): one for one in documents}


def test_the_service_accounts_that_the_official_chart_makes_may_launch_workers_in_airflows_namespace() -> None:
    objects = rendered()
    accounts = {name for kind, name in objects if kind == "ServiceAccount"}
    assert accounts == {
        f"af-airflow-{name}" for name in ("api-server", "dag-processor", "scheduler", "triggerer", "worker")
    }
    subjects = objects["RoleBinding", "af-pod-launcher-rolebinding"]["subjects"]
    assert {one["name"] for one in subjects} == {f"af-airflow-{name}" for name in ("scheduler", "triggerer", "worker")}
    assert not any(kind.startswith("Cluster") for kind, _ in objects)


@pytest.mark.parametrize(
    ("hosts", "started"),
    [
        ({}, {"postgresql"}),
        ({"databaseHost": "10.0.0.1"}, {"postgresql", "api-server"}),
        (KNOWN, {"postgresql", "api-server", "dag-processor", "scheduler", "triggerer"}),
    ],
)
def test_a_component_starts_once_the_addresses_that_it_needs_are_known(
    hosts: dict[str, str], started: set[str]
) -> None:
    assert {name for kind, name in rendered(**hosts) if kind == "Deployment"} == {f"af-{name}" for name in started}


def test_only_what_parses_dags_has_them_and_their_catalogue() -> None:
    objects = rendered(**KNOWN)
    pods = {name: one["spec"]["template"]["spec"] for (kind, name), one in objects.items() if kind == "Deployment"}
    pods["worker"] = yaml.safe_load(objects["ConfigMap", "af-config"]["data"]["pod_template_file.yaml"])["spec"]
    assert {name for name, pod in pods.items() if "dags" in {volume["name"] for volume in pod["volumes"]}} == {
        "af-dag-processor",
        "af-scheduler",
        "worker",
    }


def test_a_bundle_is_the_same_bytes_whenever_it_is_made(tmp_path: Path) -> None:
    for file in ("dags/pipeline.py", "dags/__pycache__/pipeline.pyc", "envs/defaults.yaml"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("x")
    bundle = install.bundle_of(tmp_path)
    os.utime(tmp_path / "dags/pipeline.py", (0, 0))
    assert install.bundle_of(tmp_path) == bundle
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(bundle))) as tar:
        assert tar.getnames() == ["dags", "dags/pipeline.py", "envs", "envs/defaults.yaml"]


def test_without_a_cluster_the_command_says_how_to_get_one() -> None:
    airflow = install.Airflow(PLACES)
    with pytest.raises(DevClusterError, match=r"^no cluster is up; start one with: scripts/dev-cluster up$"):
        airflow.environ()


def test_a_checked_pipeline_differs_in_schedule_executor_and_deferral_only(tmp_path: Path) -> None:
    airflow = install.Airflow(PLACES, project=tmp_path)
    check.write_project(airflow)
    assert check.write_pipeline(airflow, "KubernetesExecutor", deferrable=True) == "kubernetes_deferred"
    text = (tmp_path / "dags" / "kubernetes_deferred.py").read_text()
    head = (
        '@dag(schedule="@once", dag_id="kubernetes_deferred", '
        'default_args={"executor": "KubernetesExecutor", "deferrable": True, "retries": 1})'
    )
    assert text.replace(head, check.DAG) == (install.ROOT / "dags" / "multi_env_dag.py").read_text()


def test_the_image_of_airflow_is_made_of_podenvs_own_files_and_of_a_fresh_lock(tmp_path: Path) -> None:
    catalogue = Catalogue(install.write_catalogue(tmp_path))
    for environment in catalogue:
        locking.check(environment)
    (package,) = packages.of(catalogue["airflow"])
    files = {file.split("/")[0] for file, _ in packages.files(catalogue["airflow"], package)}
    assert files == {"LICENSE", "README.md", "charts", "pyproject.toml", "src"}
