"""Workers that are killed at random moments between the claim of an idle pod and its end; then the next try.

Run by `test_warm.py`, in a process of its own because it forks. Prints one JSON line a round: the moment, the logs of
the pods that the killed worker left, the pod on which the next try's value came, and its log.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import signal
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))

from airflow.sdk import DAG
from kubernetes import client, config
from tests import airflowtask

from podenv import EnvPodOperator
from podenv.catalogue import names
from podenv.pods.claim import IdlePods
from podenv.pods.client import KubernetesClient

SECONDS = 0.4  # within which a worker is killed


def host(seconds: float) -> str:
    import socket
    import time

    print("asleep")
    time.sleep(seconds)
    return socket.gethostname()


def worker(operator: Any, *, dies: bool) -> int:
    """A process that executes the operator, once it is about to take a pod; with ``dies`` it ends when it has one."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        take = IdlePods.take

        def told(self: IdlePods, idle: Any) -> Any:
            os.write(write, b".")
            pod = take(self, idle)
            if dies and pod is not None:
                os.kill(os.getpid(), signal.SIGKILL)
            return pod

        setattr(IdlePods, "take", told)  # noqa: B010
        airflowtask.execute(operator, try_number=1)
        os._exit(0)
    os.close(write)
    os.read(read, 1)
    os.close(read)
    return pid


def main(namespace: str, environment: str, rounds: int) -> None:
    """``rounds`` with a next try, then two without, which a sweep finds."""
    config.load_kube_config()
    core = client.CoreV1Api()
    core.api_client.rest_client.pool_manager.clear()
    dag = DAG("tests", schedule=None)

    def pods(selector: str) -> list[Any]:
        found = core.list_namespaced_pod(namespace, label_selector=selector).items
        return [pod for pod in found if pod.metadata.deletion_timestamp is None]

    def log(name: str) -> str:
        return str(core.read_namespaced_pod_log(name, namespace))

    def ready() -> None:
        while not [one for one in pods(f"{names.WARM_LABEL}={environment}") if one.status.phase == "Running"]:
            time.sleep(0.1)

    def killed(after: float | None) -> Any:
        operator = EnvPodOperator(
            task_id=f"t{secrets.token_hex(4)}",
            dag=dag,
            env=environment,
            python_callable=host,
            op_args=[random.choice([0.0, 0.1, 1.0])],
            retries=1,
        )
        ready()
        pid = worker(operator, dies=after is None)
        if after is not None:
            time.sleep(after)
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return operator

    for _ in range(rounds):
        moment = random.uniform(0, SECONDS)
        operator = killed(moment)
        time.sleep(0.3)  # whatever was sent has come
        left = {pod.metadata.name: log(pod.metadata.name) for pod in pods(f"task_id={operator.task_id}")}
        outcome = airflowtask.execute(operator, try_number=2)
        after = [pod.metadata.name for pod in pods(f"task_id={operator.task_id}")]
        result = {"moment": moment, "left": left, "value": outcome.value, "log": outcome.log, "after": after}
        print(json.dumps({**result, "error": str(outcome.error)}), flush=True)

    silent = [pod for _ in range(2) for pod in pods(f"task_id={killed(None).task_id}")]
    long_ago = {"metadata": {"annotations": {names.CLAIMED_ANNOTATION: "2026-01-01T00:00:00+00:00"}}}
    for pod in silent:
        core.patch_namespaced_pod(pod.metadata.name, namespace, long_ago)
    ready()
    operator = EnvPodOperator(task_id="sweeps", dag=dag, env=environment, python_callable=host, op_args=[0.0])
    time.sleep(2)  # the list of pods comes from a cache
    context: Any = {"ti": airflowtask.TaskInstance("sweeps", "run", 1, -1), "run_id": "run", "dag": dag}
    task: Any = operator._task_of(context)
    api = KubernetesClient(environment, lambda: operator.client)
    IdlePods(api, task._observer, task._request()).sweep()
    time.sleep(2)
    left_over = [pod.metadata.name for pod in pods(f"{names.TEMPLATE_LABEL},!{names.WARM_LABEL}")]
    print(json.dumps({"silent": len(silent), "left": left_over}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
