"""Tasks that take an idle pod, beside new pods and beside `@task.kubernetes`, all of one image.

Needs a cluster and a registry. Three environments are deployed for one run: without idle pods, with them, and with
pandas imported in them. A run begins once the pool is full again, as for a task that comes now and then; the crowd does
not wait.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import websocket
import yaml

from benchmarks import peers, pods
from benchmarks.pods import ROOT, counted, timed
from benchmarks.report import Comparison, show

IDLE = 8
ROUNDS = 12
TASKS, WIDTH = 48, 8
CROWDS = 5
# As many pods are started either way; claims, and sixteen pods that start at once in place of eight, cost a little.
NO_WORSE = 1.10
MEMORY_MIB = 20.0  # of an idle pod
COLD, WARM, LOADED = "bench-cold", "bench-warm", "bench-loaded"
VALUES: dict[str, dict[str, Any]] = {
    COLD: {},
    WARM: {"warm": {"idle": IDLE}},
    LOADED: {"warm": {"idle": 2, "imports": ["pandas"]}},
}


def with_pandas() -> int:
    """A task whose import takes longer than its work."""
    import pandas as pd

    return int(pd.Series([40, 2]).sum())


def where() -> str:
    """The pod that it runs in."""
    import socket

    return socket.gethostname()


def resident() -> float:
    """MiB that the process holds when its function begins, hence at least what it held while it waited."""
    from pathlib import Path

    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


class Runner(pods.Runner):
    """Runs one task each way."""

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self.prefix = prefix

    def run(self, environment: str, function: Callable[[], object]) -> object:
        """The value of ``function`` in ``environment``."""
        from podenv import EnvPodOperator

        operator = EnvPodOperator(task_id=self._name("warm"), env=environment, python_callable=function)
        return operator.execute(pods.context(operator))

    def ready(self, environment: str) -> None:
        """Wait until the pool is full and every pod has loaded what it is to load."""
        idle = VALUES[environment].get("warm", {}).get("idle", 0)
        while idle:
            listed = self.core.list_namespaced_pod(
                f"{self.prefix}{environment}", label_selector=f"podenv.dev/warm={environment}"
            )
            began = [pod.status.start_time.timestamp() for pod in listed.items if pod.status.phase == "Running"]
            if len(began) == idle and time.time() - max(began) > 5:
                return
            time.sleep(0.2)


@contextmanager
def deployed(image: dict[str, Any]) -> Iterator[str]:
    """The environments, while this lasts; the prefix of their namespaces."""
    prefix = f"podenv-bench-{uuid.uuid4().hex[:6]}-"
    program = [sys.executable, "-c", "from podenv.cli import main; main()", "--catalogue"]
    with tempfile.TemporaryDirectory() as folder:
        for name, values in VALUES.items():
            Path(folder, "envs", name).mkdir(parents=True)
            whole = {"python": "3.11", "resources": pods.CONTAINER, "image": image, **values}
            Path(folder, "envs", name, "values.yaml").write_text(yaml.safe_dump(whole))
        argv = [*program, f"{folder}/envs", "deploy", "--namespace-prefix", prefix]
        os.environ |= {"PODENV_CATALOGUE": f"{folder}/envs", "AIRFLOW__PODENV__NAMESPACE_PREFIX": prefix}
        try:
            subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
            yield prefix
        finally:
            from kubernetes.client import CoreV1Api

            for name in VALUES:
                CoreV1Api().delete_namespace(f"{prefix}{name}")


def requests(run: Callable[[], object]) -> float:
    """Requests to the API server, an attached connection among them."""
    opened: list[str] = []
    create = websocket.create_connection

    def counting(*args: Any, **kwargs: Any) -> Any:
        opened.append("attach")
        return create(*args, **kwargs)

    websocket.create_connection = counting
    try:
        with counted() as seen:
            run()
    finally:
        websocket.create_connection = create
    return float(len(seen) + len(opened))


def crowd(runner: Runner, environment: str) -> float:
    """Wall seconds of many tasks over some threads; no two of them run in one pod."""
    runner.settle()
    runner.ready(environment)
    began = time.perf_counter()
    with ThreadPoolExecutor(WIDTH) as threads:
        hosts = list(threads.map(lambda _: runner.run(environment, where), range(TASKS)))
    seconds = time.perf_counter() - began
    assert len(set(hosts)) == TASKS, "a pod ran two tasks"
    return seconds


def measure(runner: Runner) -> list[Comparison]:
    """All comparisons."""
    ways: dict[str, tuple[str, Callable[[], object]]] = {
        "warm": (WARM, lambda: runner.run(WARM, pods.one_value)),
        "cold": (COLD, lambda: runner.run(COLD, pods.one_value)),
        "pandas warm": (LOADED, lambda: runner.run(LOADED, with_pandas)),
        "pandas cold": (COLD, lambda: runner.run(COLD, with_pandas)),
        "stock": (COLD, runner.stock),
    }
    walls: dict[str, list[float]] = {name: [] for name in ways}
    asked = {}
    for name, (environment, run) in ways.items():
        runner.ready(environment)
        assert run() == 42
        runner.ready(environment)
        asked[name] = requests(run)
    for number in range(ROUNDS):  # in turn, so that a busy moment hits all alike
        for name, (environment, run) in ways.items():
            if name == "stock" and number % 4:
                continue  # it takes many times as long
            runner.ready(environment)
            time.sleep(number / ROUNDS)  # the kubelet looks once a second
            walls[name].append(timed(run))
    for name, seconds in walls.items():
        print(f"{name}: {', '.join(f'{one:.3f}' for one in sorted(seconds))}")
    middle = {name: median(seconds) for name, seconds in walls.items()}
    late = {name: quantiles(walls[name], n=10)[-1] for name in ("warm", "cold")}
    runner.ready(WARM)
    held = runner.run(WARM, resident)
    assert isinstance(held, float)
    crowds: dict[str, list[float]] = {WARM: [], COLD: []}
    for _ in range(CROWDS):
        for name, seconds in crowds.items():
            seconds.append(crowd(runner, name))
            print(f"{TASKS} tasks, {name}: {seconds[-1]:.1f}")
    many = {name: median(seconds) for name, seconds in crowds.items()}
    one, new = "a task that returns one small value", "a new pod"
    return [
        Comparison(one, new, middle["warm"], middle["cold"], promised=0.20),
        Comparison(one, "@task.kubernetes", middle["warm"], middle["stock"], promised=0.05),
        Comparison(f"{one}, nine of ten", new, late["warm"], late["cold"], promised=0.30),
        Comparison("a task that imports pandas", new, middle["pandas warm"], middle["pandas cold"], promised=0.15),
        Comparison("API requests of a task", new, asked["warm"], asked["cold"], promised=1.0, unit=""),
        Comparison(f"{TASKS} tasks over {WIDTH} threads, {IDLE} idle", new, many[WARM], many[COLD], promised=NO_WORSE),
        Comparison("memory of an idle pod", "the limit", held, MEMORY_MIB, promised=1.0, unit="MiB"),
    ]


def main() -> bool:
    """True if every ratio is what the project claims."""
    if code := subprocess.run(["podenv", "up", pods.ENVIRONMENT], cwd=ROOT, check=False).returncode:
        sys.exit(code)  # it has said why
    pods.prepare()
    repository, _, digest = pods.Runner().image.partition("@")
    registry, _, name = repository.partition("/")
    image = {"registry": registry, "repository": name, "digest": digest, "external": True}
    with deployed(image) as prefix:
        runner = Runner(prefix)
        with peers.namespace(runner.core):
            return show("warm", measure(runner))
