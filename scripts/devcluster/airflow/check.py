"""`scripts/dev-cluster airflow --check`: run DAGs on an Airflow in pods, and look at what became of them."""

import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from devcluster.airflow.api import Api
from devcluster.airflow.install import EXECUTORS, ROOT, Airflow, install, remove
from devcluster.errors import DevClusterError
from devcluster.progress import Progress

PREFIX = "podenv-check-"
ACCESS = """
access:
  serviceAccounts:
    - {{name: {release}-airflow-scheduler, namespace: {namespace}}}
    - {{name: {release}-airflow-worker, namespace: {namespace}}}
    - {{name: {release}-airflow-triggerer, namespace: {namespace}}}
"""
DAG = '@dag(schedule=None, tags=["podenv"])'
LOST = """\
from airflow.sdk import dag, task


@dag(schedule="@once")
def lost_worker():
    @task.env("data-ingestion", executor="KubernetesExecutor", retries=1, retry_delay=0.0)
    def wait() -> str:
        import socket
        import time

        time.sleep(90)
        return socket.gethostname()

    wait()


lost_worker()
"""


def check(airflow: Airflow, progress: Progress) -> None:
    """Run `multi_env_dag` on both executors, plain and deferred; kill a worker; remove what was made.

    Raises DevClusterError where anything is not as it must be; what was made stays then, for a look.
    """
    with tempfile.TemporaryDirectory(prefix="podenv-check-") as folder:
        config = {
            "podenv": {"namespace_prefix": PREFIX, "airflow_id": "check"},
            # Airflow notices a killed worker so late; by default after five minutes.
            "scheduler": {"task_instance_heartbeat_timeout": 40},
        }
        mine = replace(checked(airflow), project=Path(folder), more={"config": config})
        with progress.step("clear away what an earlier check left"):
            clear(airflow)
        write_project(mine)
        dags = [write_pipeline(mine, one, deferrable=deferred) for one in EXECUTORS for deferred in (False, True)]
        (mine.project / "dags" / "lost_worker.py").write_text(LOST)
        install(mine, progress, executor=",".join(EXECUTORS))
        with progress.step("environments, deployed by podenv up"):
            mine.run("podenv", "--catalogue", mine.project / "envs", "up", "--namespace-prefix", PREFIX)
        api = Api(mine.url())
        for dag in dags:
            with progress.step(dag):
                seen = run_pipeline(mine, api, dag)
            progress.say(f"         {seen}")
        with progress.step("a worker is killed; the next try follows its pod to the end"):
            kill_worker(mine, api)
        with progress.step("remove what the check made"):
            clear(airflow)


def checked(airflow: Airflow) -> Airflow:
    """The installation that is checked: another one than a person's."""
    return replace(airflow, release="check", namespace="airflow-check")


def clear(airflow: Airflow) -> None:
    """Remove the Airflow and the environments of a check."""
    names = [f"{PREFIX}{name}" for name in ("data-cleaning", "data-ingestion", "model-training")]
    airflow.run("kubectl", "delete", "namespaces", "--ignore-not-found", *names)
    remove(checked(airflow))


def write_project(airflow: Airflow) -> None:
    """This checkout's environments, for the accounts of ``airflow``, and what its DAGs import."""
    shutil.copytree(ROOT / "envs", airflow.project / "envs")
    shutil.copytree(ROOT / "dags" / "common", airflow.project / "dags" / "common")
    with (airflow.project / "envs" / "defaults.yaml").open("a") as defaults:
        defaults.write(ACCESS.format(release=airflow.release, namespace=airflow.namespace))


def write_pipeline(airflow: Airflow, executor: str, *, deferrable: bool) -> str:
    """`multi_env_dag`, which the scheduler runs once as soon as it is unpaused; returns its name."""
    name = f"{executor.removesuffix('Executor').lower()}_{'deferred' if deferrable else 'plain'}"
    tasks = f'{{"executor": "{executor}", "deferrable": {deferrable}, "retries": 1}}'
    text = (ROOT / "dags" / "multi_env_dag.py").read_text()
    head = f'@dag(schedule="@once", dag_id="{name}", default_args={tasks})'
    (airflow.project / "dags" / f"{name}.py").write_text(text.replace(DAG, head))
    return name


def run_pipeline(airflow: Airflow, api: Api, dag: str) -> str:
    """Run it; what was seen, in a line."""
    run = api.start(dag)
    tasks = api.end(run)
    accuracy = api.value(run, "train")["accuracy"]
    if not accuracy > 0.9:
        raise DevClusterError(f"{dag}: the accuracy is {accuracy}")
    for one in tasks:
        log = log_of(airflow, one)
        if ("DEFERRED" in log) != dag.endswith("deferred"):
            raise DevClusterError(f"{dag}: whether {one['task_id']} is deferred is wrong:\n{log}")
    tries = ", ".join(f"{one['task_id']} in try {one['try_number']}" for one in tasks)
    return f"accuracy {accuracy:.3f}; {tries}; {api.seconds(run):.0f} s from the queue to the end"


def log_of(airflow: Airflow, task: dict[str, Any]) -> str:
    """The log of a task's tries, which lies on the node."""
    folder = f"dag_id={task['dag_id']}/run_id={task['dag_run_id']}/task_id={task['task_id']}"
    return "".join(file.read_text() for file in sorted((airflow.logs() / folder).glob("attempt=*.log*")))


def kill_worker(airflow: Airflow, api: Api) -> None:
    """Kill the processes of a worker while its pod runs; the pod's value must arrive in the next try."""
    run = api.start("lost_worker")
    pod = one_running(airflow, "", f"{PREFIX}data-ingestion")
    worker = one_running(airflow, "component=worker,dag_id=lost_worker", airflow.namespace)
    airflow.kubectl("exec", worker, "--container", "base", "--", "bash", "-c", "kill -9 -1")
    (task,) = api.end(run)
    seen = (task["try_number"], api.value(run, "wait"))
    if seen != (2, pod):
        raise DevClusterError(f"try {seen[0]} returned from {seen[1]}; it should be try 2, from {pod}")


def one_running(airflow: Airflow, selector: str, namespace: str) -> str:
    """The name of the first pod that runs there."""
    until = time.monotonic() + 300
    while time.monotonic() < until:
        for pod in airflow.pods(selector, namespace):
            if pod["status"]["phase"] == "Running":
                return str(pod["metadata"]["name"])
        time.sleep(0.5)
    raise DevClusterError(f"no pod runs in {namespace}")
