"""Pods beside what Airflow ships, and beside the floor: a bare pod, created and watched to its end.

Needs a cluster and a registry; all three run the same image, which `podenv up` deploys. The peers have a namespace of
their own: that of an environment enforces Pod Security "restricted", which refuses the sidecar of `@task.kubernetes`.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import local, peers
from benchmarks.report import RESULTS, Comparison, show

ROOT = Path(__file__).parents[2]
ENVIRONMENT = "data-ingestion"
DAG_ID = "podenv-bench"
ROUNDS = 10
TASKS, WIDTH = 40, 8
CROWDS = 5  # of which the median counts: one takes a tenth more or less than another
CONTAINER = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}}


def one_value() -> int:
    """The task of all."""
    return 42


class _TaskInstance:
    """As much of Airflow's as both operators ask for."""

    dag_id, run_id, try_number, map_index = DAG_ID, "run", 1, -1

    def __init__(self, task_id: str) -> None:
        self.task_id = task_id

    def xcom_push(self, key: str, value: Any) -> None:
        """Do nothing: the benchmark does not read the value."""


class Runner:
    """Runs one task each way."""

    def __init__(self) -> None:
        from kubernetes import client, config

        from podenv.catalogue import names
        from podenv.pods.manifest import base_container

        config.load_kube_config()
        self.core = client.CoreV1Api()
        self.namespace = names.namespace(ENVIRONMENT)
        answer = self.core.read_namespaced_pod_template(ENVIRONMENT, self.namespace, _preload_content=False)
        self.template = json.loads(answer.data)["template"]
        self.image = str(base_container(self.template)["image"])
        self._numbers = iter(range(10**9))
        self._lock = threading.Lock()

    def ours(self) -> object:
        """Through podenv."""
        from podenv import EnvPodOperator

        return self._execute(
            EnvPodOperator(
                task_id=self._name("ours"), env=ENVIRONMENT, python_callable=one_value, container_resources=CONTAINER
            )
        )

    def stock(self) -> object:
        """Through ``@task.kubernetes`` with XCom."""
        from airflow.sdk import task
        from kubernetes.client import V1ResourceRequirements

        made: Any = task.kubernetes(
            image=self.image,
            namespace=peers.NAMESPACE,
            task_id=self._name("stock"),
            do_xcom_push=True,
            container_resources=V1ResourceRequirements(**CONTAINER),
        )(one_value)()
        return self._execute(made.operator)

    def bare(self) -> object:
        """A pod of the same template that prints the value, created through the API and watched to Succeeded."""
        from kubernetes.watch import Watch

        from podenv.pods.manifest import complete, with_base

        name = self._name("bare")
        prints = with_base(command=["python", "-c", "print(42)"], resources=CONTAINER)
        labels = {"metadata": {"labels": {"dag_id": DAG_ID}}}
        self.core.create_namespaced_pod(
            peers.NAMESPACE,
            complete(peers.template(self.template), [prints, labels], name=name, namespace=peers.NAMESPACE),
        )
        watch = Watch()
        for event in watch.stream(
            self.core.list_namespaced_pod,
            peers.NAMESPACE,
            field_selector=f"metadata.name={name}",
            resource_version="0",
            timeout_seconds=120,
        ):
            if event["object"].status.phase == "Succeeded":
                watch.stop()
        self.core.delete_namespaced_pod(name, peers.NAMESPACE)
        return 42

    def settle(self) -> None:
        """Wait until the pods of the run before are gone; those that an ended run left are deleted."""
        from kubernetes.client import ApiException

        while left := self.core.list_pod_for_all_namespaces(label_selector=f"dag_id={DAG_ID}").items:
            for pod in left:
                if pod.metadata.deletion_timestamp is None:
                    with suppress(ApiException):  # it went meanwhile
                        self.core.delete_namespaced_pod(
                            pod.metadata.name, pod.metadata.namespace, grace_period_seconds=0
                        )
            time.sleep(0.5)

    def _name(self, kind: str) -> str:
        with self._lock:
            return f"bench-{kind}-{os.getpid()}-{next(self._numbers)}"

    def _execute(self, operator: Any) -> object:
        value = operator.execute(context(operator))
        assert value == 42, value
        return value


def context(operator: Any) -> Any:
    """As much of Airflow's context as an operator asks for."""
    return {"ti": _TaskInstance(operator.task_id), "run_id": "run", "dag": _dag(), "task_state_store": None}


def _dag() -> Any:
    from airflow.sdk import DAG

    return DAG(DAG_ID, schedule=None)


def timed(run: Callable[[], object]) -> float:
    """Wall seconds."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


@contextmanager
def counted() -> Iterator[list[str]]:
    """The requests to the API server meanwhile."""
    from kubernetes.client import ApiClient
    from kubernetes.stream import ws_client

    seen: list[str] = []
    request, websocket = ApiClient.request, ws_client.websocket_call

    def counting(self: Any, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        seen.append(f"{method} {url}")
        return request(self, method, url, *args, **kwargs)

    def counting_websocket(*args: Any, **kwargs: Any) -> Any:
        seen.append("exec")
        return websocket(*args, **kwargs)

    ApiClient.request, ws_client.websocket_call = counting, counting_websocket
    try:
        yield seen
    finally:
        ApiClient.request, ws_client.websocket_call = request, websocket


def at_once(run: Callable[[], object]) -> float:
    """Wall seconds of many tasks over some threads of this warm process."""

    def many() -> None:
        with ThreadPoolExecutor(WIDTH) as pool:
            for future in [pool.submit(run) for _ in range(TASKS)]:
                future.result()

    return timed(many)


def memory(kind: str) -> float:
    """The most memory of a process that runs one task, in MiB."""
    argv = [sys.executable, "-m", "benchmarks.pods", kind]
    ran = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT / "scripts", env=os.environ)
    return float(ran.stdout.split()[-1])


def measure() -> tuple[list[Comparison], dict[str, list[float]]]:
    """All comparisons, and the wall seconds behind the first two."""
    runner = Runner()
    ways = {"podenv": runner.ours, "@task.kubernetes": runner.stock, "a bare pod": runner.bare}
    walls: dict[str, list[float]] = {name: [] for name in ways}
    requests = {}
    for name, run in ways.items():
        run()  # warm: a first start may pull the image, whose time is one more request
        with counted() as seen:
            run()
        requests[name] = float(len(seen))
    for number in range(ROUNDS):  # in turn, so that a busy moment hits all alike
        for name, run in ways.items():
            # The kubelet looks once a second: a run that begins when the one before has ended always just misses it.
            time.sleep(number / ROUNDS)
            walls[name].append(timed(run))
    ours, stock, bare = (median(walls[name]) for name in ways)
    crowds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(CROWDS):
        for name, run in ways.items():
            runner.settle()
            crowds[name].append(at_once(run))
    many = {name: median(seconds) for name, seconds in crowds.items()}
    one, crowd = "a task that returns one small value", f"{TASKS} tasks over {WIDTH} threads"
    us, peer, floor = ways
    comparisons = [
        Comparison(one, peer, ours, stock, promised=0.3),
        Comparison(one, floor, ours, bare, promised=1.4),
        Comparison("API requests of a task", peer, requests[us], requests[peer], promised=0.4, unit=""),
        Comparison(crowd, peer, many[us], many[peer], promised=1 / 1.5),
        Comparison(crowd, floor, many[us], many[floor], promised=1 / 0.9),
        local.parse(),
        Comparison("memory of a worker", peer, memory("ours"), memory("stock"), promised=1.0, unit="MiB"),
    ]
    return comparisons, walls


def plot(walls: dict[str, list[float]]) -> Path:
    """Draw each run of each way into ``bench-results/pods.png``."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 2.6), layout="constrained")
    for row, seconds in enumerate(walls.values()):
        axes.plot(seconds, [row] * len(seconds), "o", alpha=0.5)
        axes.plot(median(seconds), row, "|", color="black", markersize=28)
        middle = median(seconds)
        axes.annotate(f"{middle:.2f} s", (middle, row), (0, 16), textcoords="offset points", ha="center")
    axes.set_yticks(range(len(walls)), list(walls))
    axes.set_ylim(len(walls) - 0.4, -0.8)
    axes.set_xlim(left=0)
    axes.set_xlabel("seconds from call to value; each run, and the median")
    axes.spines[["top", "right"]].set_visible(False)
    file = RESULTS / "pods.png"
    figure.savefig(file, dpi=150)
    pyplot.close(figure)
    return file


def prepare() -> None:
    """Airflow's side: quiet, with the kubeconfig in force, and a sidecar image that this cluster has."""
    sidecar = Runner().image  # its own default is an image of a registry that a closed cluster does not reach
    extra = {"xcom_sidecar_container_image": sidecar}
    os.environ["AIRFLOW_CONN_KUBERNETES_DEFAULT"] = json.dumps({"conn_type": "kubernetes", "extra": extra})
    quiet()


def quiet() -> None:
    """Let operators be executed here, as pods, without Airflow's words."""
    os.environ |= {"PODENV_BACKEND": "kubernetes", "PODENV_CATALOGUE": str(ROOT / "envs")}
    os.environ.setdefault("AIRFLOW_HOME", str(ROOT / "bench-results" / "airflow"))
    os.environ |= {"AIRFLOW__CORE__LOAD_EXAMPLES": "False", "AIRFLOW__LOGGING__LOGGING_LEVEL": "CRITICAL"}
    logging.disable(logging.CRITICAL)
    from airflow.sdk.bases.operator import ExecutorSafeguard

    ExecutorSafeguard.test_mode = True


def main() -> bool:
    """True if every ratio is what the project claims."""
    if code := subprocess.run(["podenv", "up", ENVIRONMENT], cwd=ROOT, check=False).returncode:
        sys.exit(code)  # it has said why
    prepare()
    with peers.namespace(Runner().core):
        comparisons, walls = measure()
    kept = show("pods", comparisons)
    print(f"Written: {plot(walls).relative_to(RESULTS.parent)}")
    return kept


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Run one task, and print the most memory it took, in MiB.")
    parser.add_argument("kind", choices=("ours", "stock"))
    chosen = parser.parse_args().kind
    prepare()
    getattr(Runner(), chosen)()
    # Not ru_maxrss: that begins with what the process before exec had.
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    print(int(peak.split()[1]) / 1024)
