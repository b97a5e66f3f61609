"""The pipelines that come with the project, on pods of what `podenv up` deployed and in local virtual environments."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests import bucket
from tests.chart.helm import SUPPORTED, fetch
from tests.cluster.releases import swept

from podenv.release.cluster import Cluster

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
NAMES = ["data-cleaning", "data-ingestion", "model-training"]
# What the lines on stderr begin with that are podenv's own, not the function's.
OURS = re.compile(
    r"Environment '|Pod |Idle pod |Peak |Event |Making the virtual |Made the virtual |success\b|"
    r".* (to|from) storage in "
)


@dataclass(frozen=True)
class Run:
    """A run of a DAG from the command line: its JSON, and the lines of its tasks on stderr."""

    state: str
    tasks: list[dict[str, Any]]
    lines: list[str]

    def outcomes(self) -> list[dict[str, Any]]:
        """All that is said of each task but its time."""
        return [{**task, "value": alike(task["value"]), "seconds": None, "usage": None} for task in self.tasks]

    def printed(self) -> list[str]:
        """What the functions printed, in order."""
        return [line for line in self.lines if not OURS.match(line.partition(" | ")[2])]

    def images(self) -> list[tuple[str, str]]:
        """Environment and image of each pod, in order."""
        return re.findall(r"Environment '([^']+)' .*?, image ([^;]+);", "\n".join(self.lines))

    def peaks(self) -> dict[str, int]:
        """The MiB that each task held at most, as its log says it."""
        found = re.findall(r"^(\w+) \| .*\bPeak (\d+) MiB", "\n".join(self.lines), re.MULTILINE)
        return {task: int(size) for task, size in found}

    def namespaces(self) -> list[str]:
        """The namespace in which each pod ran, in order."""
        return re.findall(r"Pod ([^/ ]+)/\S+ runs on node", "\n".join(self.lines))


def alike(value: Any) -> Any:
    """``value`` without what differs from run to run.

    That is the key of a value in storage, and the patch release of Python: a base image's is not the laptop's.
    """
    if isinstance(value, list):
        return [alike(one) for one in value]
    if isinstance(value, dict):
        return {name: ".".join(one.split(".")[:2]) if name == "python" else alike(one) for name, one in value.items()}
    return re.sub(r"(?<= in storage: )[^,>]+", "...", value) if isinstance(value, str) else value


@dataclass(frozen=True)
class Project:
    """The project's own environments, deployed into namespaces that begin with ``prefix``."""

    prefix: str
    environ: Mapping[str, str]

    def podenv(self, *arguments: str) -> tuple[Any, str]:
        """The JSON of a command and its stderr; in a process of its own, as a person starts it."""
        ended = subprocess.run(
            [sys.executable, "-c", "from podenv.cli import main; main()", *arguments, "--json"],
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout), ended.stderr

    def run(self, dag: str, backend: str, *options: str) -> Run:
        result, said = self.podenv("run", dag, "--backend", backend, *options)
        return Run(result["state"], result["tasks"], said.splitlines())

    def image(self, name: str) -> str:
        """The image that the cluster has been told to run ``name`` in."""
        path = Cluster().path("v1", "PodTemplate", f"{self.prefix}{name}", name)
        found = Cluster().get(path)
        assert found is not None, path
        return str(found["template"]["spec"]["containers"][0]["image"])


@pytest.fixture(scope="module")
def project(_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    if not bucket.VARIABLES:
        stop = pytest.fail if os.environ.get("PODENV_REQUIRE_CLUSTER") == "1" else pytest.skip
        stop("needs a bucket that pods reach, and PODENV_EXCHANGE is not set (scripts/dev-cluster env)")
    prefix = f"podenv-pl{uuid.uuid4().hex[:6]}-"
    environ = {
        # Without what other tests of the session settle for Airflow.
        **{name: value for name, value in os.environ.items() if "AIRFLOW" not in name},
        **bucket.VARIABLES,
        "PODENV_CATALOGUE": str(ROOT / "envs"),
        "PODENV_NAMESPACE_PREFIX": prefix,
        "AIRFLOW__PODENV__NAMESPACE_PREFIX": prefix,
        "PODENV_HELM": os.environ.get("PODENV_HELM") or str(fetch(SUPPORTED[0])),
        # Airflow's home and the virtual environments are this test's own.
        "PODENV_CACHE": str(tmp_path_factory.mktemp("cache")),
    }
    with swept(Cluster(), prefix):
        made = Project(prefix, environ)
        rows, _ = made.podenv("up")
        assert [(row["environment"], row["action"]) for row in rows] == [(name, "installed") for name in NAMES]
        yield made


HOLDING = """
from airflow.sdk import dag, task

MIB = 2**20


@dag(schedule=None)
def holding():
    @task.env("data-cleaning")
    def python():
        return len(b"x" * (300 * MIB))

    @task.env("data-cleaning")
    def array():
        import numpy

        return int(numpy.ones(300 * MIB // 8).sum())

    @task.env("data-cleaning")
    def child():
        import subprocess
        import sys

        return subprocess.run([sys.executable, "-c", f"b'x' * {300 * MIB}"], check=True).returncode

    @task.env("data-cleaning")
    def reader():
        import os
        import tempfile

        handle, path = tempfile.mkstemp()
        with os.fdopen(handle, "wb") as file:
            for _ in range(200):
                file.write(os.urandom(MIB))
        with open(path, "rb") as file:
            while file.read(MIB):
                pass

    python(), array(), child(), reader()


holding()
"""


def test_a_function_has_the_same_peak_on_both_backends_and_files_that_it_reads_are_none_of_it(
    project: Project, tmp_path: Path
) -> None:
    (tmp_path / "holding.py").write_text(HOLDING)
    pods, local = (project.run("holding", backend, "--dags", str(tmp_path)) for backend in ("kubernetes", "local"))
    ours, peer = pods.peaks(), local.peaks()
    assert ours.keys() == peer.keys() == {"python", "array", "child", "reader"}
    assert {task: ours[task] / peer[task] for task in ("python", "array", "child")} == pytest.approx(
        {"python": 1, "array": 1, "child": 1}, rel=0.05
    )
    assert all(300 <= peer[task] < 345 for task in ("python", "array", "child"))
    assert max(ours["reader"], peer["reader"]) < 40


PIPELINES = pytest.mark.parametrize(
    ("dag", "tasks", "environments"),
    [
        ("data_ingestion_dag", ["ingest"], ["data-ingestion"]),
        ("multi_env_dag", ["ingest", "clean", "train"], ["data-ingestion", "data-cleaning", "model-training"]),
        ("helper_func_dag", ["explore"], ["data-ingestion", "data-cleaning", "model-training"]),
    ],
    ids=["one-task", "three-tasks", "calls-in-a-task"],
)


@PIPELINES
def test_a_pipeline_runs_unchanged_on_both_backends_and_returns_the_same(
    project: Project, dag: str, tasks: list[str], environments: list[str]
) -> None:
    pods, local = project.run(dag, "kubernetes"), project.run(dag, "local")

    for run in (pods, local):
        assert run.state == "success"
        assert [(task["task_id"], task["state"], task["tries"]) for task in run.tasks] == [
            (name, "success", 1) for name in tasks
        ]
        assert all(task["value"] for task in run.tasks)
    assert pods.outcomes() == local.outcomes()
    assert pods.printed() == local.printed() != []

    assert pods.images() == [(name, project.image(name)) for name in environments]
    assert pods.namespaces() == [f"{project.prefix}{name}" for name in environments]
    assert (local.images(), local.namespaces()) == ([], [])


# What the pipelines' tasks ask for: an idle pod of another size is none of theirs.
OF_TASKS = {
    "data-cleaning": {"cpu": "250m", "memory": "512Mi"},
    "data-ingestion": {"cpu": "250m", "memory": "512Mi"},
    "model-training": {"cpu": "1", "memory": "1Gi"},
}


@pytest.fixture(scope="module")
def warm(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The same, each with an idle pod; it comes last, since it changes what is deployed."""
    envs = tmp_path_factory.mktemp("warm") / "envs"
    shutil.copytree(ROOT / "envs", envs)
    for name, requests in OF_TASKS.items():
        file = envs / name / "values.yaml"
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
        values |= {"warm": {"idle": 1}, "resources": {"requests": requests, "limits": {**requests, "cpu": "1"}}}
        file.write_text(yaml.safe_dump(values), encoding="utf-8")
    made = Project(project.prefix, {**project.environ, "PODENV_CATALOGUE": str(envs)})
    rows, _ = made.podenv("up")
    assert [(row["environment"], row["action"]) for row in rows] == [(name, "upgraded") for name in NAMES]
    return made


@PIPELINES
def test_a_pipeline_returns_the_same_from_idle_pods(
    warm: Project, dag: str, tasks: list[str], environments: list[str]
) -> None:
    for name in environments:
        warm.podenv("warm", name)  # waits until the pods of an earlier run are replaced
    idle, local = (warm.run(dag, backend, "--dags", str(ROOT / "dags")) for backend in ("kubernetes", "local"))
    assert [task["task_id"] for task in idle.tasks] == tasks
    assert idle.outcomes() == local.outcomes()
    assert idle.printed() == [line for line in local.printed() if "An interpreter that waited" not in line] != []
    took = re.findall(r"Idle pod ([^/ ]+)/\S+ on node \S+ took the task", "\n".join(idle.lines))
    assert took == [f"{warm.prefix}{name}" for name in environments]
