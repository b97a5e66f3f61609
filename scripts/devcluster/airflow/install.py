"""Build Airflow's image with podenv, and install it from the chart beside this file."""

import base64
import gzip
import io
import json
import os
import secrets
import shutil
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devcluster import cluster, tools
from devcluster.airflow.api import Api
from devcluster.errors import DevClusterError
from devcluster.places import Places
from devcluster.programs import run
from devcluster.progress import Progress

ROOT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).resolve().parent
VALUES = ROOT / "charts" / "airflow-values.yaml"
EXECUTORS = ("LocalExecutor", "KubernetesExecutor")
PATIENCE = 300  # seconds until a component runs, on a busy machine


@dataclass(frozen=True)
class Airflow:
    """One installation: a release in a namespace of the dev cluster, and the project that it runs."""

    places: Places
    release: str = "af"
    namespace: str = "airflow"
    project: Path = ROOT
    values: Path = VALUES
    more: Mapping[str, Any] = field(default_factory=dict)  # values that are laid over the file's

    def environ(self) -> dict[str, str]:
        """What podenv, helm and kubectl are told of the dev cluster. Raises DevClusterError where there is none."""
        if not self.places.kubeconfig.exists():
            raise DevClusterError("no cluster is up; start one with: scripts/dev-cluster up")
        return {
            **cluster.variables(self.places),
            "PATH": f"{ROOT / '.venv' / 'bin'}:{tools.folder(self.places)}:{os.environ.get('PATH', '')}",
        }

    def run(self, *argv: str | Path, stdin: str = "") -> str:
        """The output of podenv, helm or kubectl."""
        environ = self.environ()
        path = environ["PATH"].split(":")
        found = next((Path(folder, argv[0]) for folder in path if Path(folder, argv[0]).is_file()), argv[0])
        return run([found, *argv[1:]], env=environ, stdin=stdin)

    def kubectl(self, *argv: str, stdin: str = "") -> str:
        return self.run("kubectl", "--namespace", self.namespace, *argv, stdin=stdin)

    def helm(self, values: Mapping[str, Any]) -> None:
        """Install the chart with the file's values, and ``values`` laid over them."""
        options = ["--namespace", self.namespace, "--values", str(self.values), "--values", "-"]
        chart = HERE / "chart"
        self.run("helm", "upgrade", "--install", self.release, chart, *options, stdin=json.dumps(values))

    def pods(self, selector: str, namespace: str | None = None) -> list[dict[str, Any]]:
        """The pods that match, as the API server has them."""
        where = ["--namespace", namespace or self.namespace]
        found = json.loads(self.run("kubectl", *where, "get", "pods", "--selector", selector, "--output", "json"))
        return list(found["items"])

    def address(self, component: str) -> str:
        """The address of a component's pod; empty where it has none."""
        found = self.pods(f"component={component},release={self.release}")
        addresses = [pod["status"].get("podIP", "") for pod in found if "deletionTimestamp" not in pod["metadata"]]
        return addresses[0] if addresses else ""

    def logs(self) -> Path:
        """The folder of the node that holds the logs of all tasks."""
        return self.places.state / "airflow-logs" / self.namespace

    def url(self) -> str:
        """Where the API server and the UI answer, from this machine only."""
        return f"http://{self.address('api-server')}:8080"


def install(airflow: Airflow, progress: Progress, *, executor: str | None = None) -> None:
    """Install Airflow, or bring it to what the arguments say; without ``executor`` the values name it."""
    airflow.environ()
    for folder in ("dags", "envs"):
        if not (airflow.project / folder).is_dir():
            raise DevClusterError(f"{airflow.project} has no folder {folder}; name a project with dags/ and envs/.")
    with progress.step("images of Airflow and PostgreSQL, built by podenv"):
        built = build(airflow)
    with progress.step(f"namespace {airflow.namespace} and its Secrets"):
        make_secrets(airflow)
    airflow.logs().mkdir(parents=True, exist_ok=True)
    airflow.logs().chmod(0o777)  # the pods' user is not root
    values = {
        **({"executor": executor} if executor else {}),
        "images": {"airflow": _image(built["airflow"])},
        "env": [{"name": "PODENV_EXCHANGE", "value": airflow.environ()["PODENV_EXCHANGE"]}],
        "secret": [{"envName": "AIRFLOW_CONN_PODENV_DEV", "secretName": "airflow-exchange", "secretKey": "connection"}],
        **airflow.more,
    }
    dev = {
        "bundle": base64.b64encode(bundle_of(airflow.project)).decode(),
        "logs": str(airflow.logs()),
        "postgresql": built["postgresql"],
    }
    # Each is told the addresses of those before it, which are known once these run.
    for what, components in (
        ("PostgreSQL", ["postgresql"]),
        ("API server", ["api-server"]),
        ("scheduler, DAG processor, triggerer", ["scheduler", "dag-processor", "triggerer"]),
    ):
        with progress.step(what):
            hosts = {"databaseHost": airflow.address("postgresql"), "apiHost": airflow.address("api-server")}
            airflow.helm({**values, "dev": {**dev, **hosts}})
            _wait(airflow, components)
    with progress.step("the DAGs are read"):
        Api(airflow.url()).await_dags()


def build(airflow: Airflow) -> dict[str, str]:
    """The images by environment; built where the registry lacks them."""
    run([sys.executable, ROOT / "scripts" / "setup_venv.py"])
    with tempfile.TemporaryDirectory(prefix="podenv-airflow-image-") as folder:
        catalogue = write_catalogue(Path(folder))
        try:
            airflow.run("podenv", "--catalogue", catalogue, "lock", "--check")
        except DevClusterError:  # podenv's own metadata changed, and versions that still fit are kept
            airflow.run("podenv", "--catalogue", catalogue, "lock")
        built = json.loads(airflow.run("podenv", "--catalogue", catalogue, "build", "--push", "--json"))
    return {one["name"]: one["image"] for one in built}


def write_catalogue(project: Path) -> Path:
    """The environments of the images, beside what podenv's wheel is made of: no edit of a DAG asks for a new image."""
    package = project / "podenv"
    package.mkdir()
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, package)
    for folder in ("src/podenv", "charts/airflow-env"):
        shutil.copytree(ROOT / folder, package / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return shutil.copytree(HERE / "envs", project / "envs")


def make_secrets(airflow: Airflow) -> None:
    """The namespace and the Secrets that the values name; those that are there stay."""
    made = {
        "airflow-fernet-key": ("fernet-key", base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()),
        "airflow-jwt": ("jwt-secret", secrets.token_hex(32)),
        "airflow-api-secret": ("api-secret-key", secrets.token_hex(32)),
        "airflow-exchange": ("connection", airflow.environ()["AIRFLOW_CONN_PODENV_DEV"]),
    }
    there = airflow.run("kubectl", "get", "namespaces", "--output", "name").split()
    if f"namespace/{airflow.namespace}" not in there:
        airflow.kubectl("create", "namespace", airflow.namespace)
    there = airflow.kubectl("get", "secrets", "--output", "name").split()
    for name, (key, value) in made.items():
        if f"secret/{name}" not in there:
            secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {key: value}}
            airflow.kubectl("create", "--filename", "-", stdin=json.dumps(secret))


def bundle_of(project: Path) -> bytes:
    """dags/ and envs/ of a project as a tar.gz, the same bytes for the same files."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = 0, 0, 0, "", ""
        return None if Path(entry.name).name == "__pycache__" else entry

    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as file:
        for folder in ("dags", "envs"):
            file.add(project / folder, folder, filter=plain)
    return gzip.compress(tar.getvalue(), mtime=0)


def remove(airflow: Airflow) -> None:
    """Remove Airflow, with its database, its namespace and its logs."""
    airflow.run("kubectl", "delete", "namespace", airflow.namespace, "--ignore-not-found")
    shutil.rmtree(airflow.logs(), ignore_errors=True)


def _image(reference: str) -> dict[str, str]:
    repository, _, tag = reference.rpartition(":")
    return {"repository": repository, "tag": tag}


def _wait(airflow: Airflow, components: Sequence[str]) -> None:
    """Return when they run. Raises DevClusterError with the last words of one that ends again and again."""
    until, before = time.monotonic() + PATIENCE, _restarts(airflow)
    while True:
        found = json.loads(airflow.kubectl("get", "deployments", "--output", "json"))["items"]
        names = [f"{airflow.release}-{component}" for component in components]
        rolled_out = [one["metadata"]["name"] for one in found if _is_rolled_out(one)]
        lacking = [name for name in names if name not in rolled_out]
        if not lacking:
            return
        for (pod, container), times in _restarts(airflow).items():
            if times > before.get((pod, container), 0) + 1:
                words = airflow.kubectl("logs", pod, "--container", container, "--tail=8")
                raise DevClusterError(f"{pod} does not stay up. The end of its log:\n{words}")
        if time.monotonic() > until:
            pods = airflow.kubectl("get", "pods")
            raise DevClusterError(f"{', '.join(lacking)} did not come up within {PATIENCE} s:\n{pods}")
        time.sleep(1)


def _restarts(airflow: Airflow) -> dict[tuple[str, str], int]:
    """How often each container was started again, by pod and name."""
    found = {}
    for pod in airflow.pods(f"release={airflow.release}"):
        for kind in ("initContainerStatuses", "containerStatuses"):
            for one in pod["status"].get(kind, ()):
                found[pod["metadata"]["name"], one["name"]] = int(one["restartCount"])
    return found


def _is_rolled_out(deployment: dict[str, Any]) -> bool:
    status = deployment["status"]
    replicas = [status.get(key) for key in ("updatedReplicas", "availableReplicas", "replicas")]
    return status.get("observedGeneration") == deployment["metadata"]["generation"] and replicas == [1, 1, 1]
