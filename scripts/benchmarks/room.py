"""What tasks ask of the API server while the quota of their namespace has no room for them.

Needs a cluster. `@task.kubernetes` fails there at once; the peer is how often it looks at a pod that waits for a node.
"""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

from benchmarks.pods import counted
from benchmarks.report import Comparison, show

TASKS = 200
SETTLE_SECONDS, SECONDS = 60, 60  # until the pauses between two requests have grown, and that are counted
LOOKS = 60 / 5  # a minute: startup_check_interval_seconds of KubernetesPodOperator is 5


def main() -> bool:
    """True if the ratio is what the project claims."""
    from kubernetes import config
    from kubernetes.client import CoreV1Api

    config.load_config()
    core, namespace = CoreV1Api(), f"podenv-bench-{uuid.uuid4().hex[:6]}"
    core.create_namespace({"metadata": {"name": namespace}})
    try:
        core.create_namespaced_resource_quota(
            namespace, {"metadata": {"name": "full"}, "spec": {"hard": {"pods": "1"}}}
        )
        core.create_namespaced_pod(namespace, _pod(namespace, "first"))  # no node takes it: the room is taken
        asked = _requests(core, namespace)
    finally:
        core.delete_namespace(namespace)
    a_minute = asked / TASKS * 60 / SECONDS
    what = f"API requests a minute of each of {TASKS} tasks that wait for room"
    peer = "a look every 5 s, as @task.kubernetes looks at a pod that waits"
    return show("room", [Comparison(what, peer, a_minute, LOOKS, promised=0.25, unit="")])


def _requests(core: object, namespace: str) -> float:
    """Requests of all tasks in `SECONDS`."""
    from podenv.errors import Killed
    from podenv.pods.client import KubernetesClient
    from podenv.pods.events import PodEvents
    from podenv.pods.life import PodLife
    from podenv.pods.request import PodRequest

    lives = [PodLife(KubernetesClient("bench", lambda: core), PodEvents()) for _ in range(TASKS)]

    def wait(number: int) -> bool:
        try:
            lives[number].run(PodRequest("bench", _pod(namespace, f"task-{number}")))
        except Killed:
            return True
        return False

    with ThreadPoolExecutor(TASKS) as threads:
        waiting = [threads.submit(wait, number) for number in range(TASKS)]
        time.sleep(SETTLE_SECONDS)
        with counted() as seen:
            time.sleep(SECONDS)
            asked = len(seen)
        for life in lives:
            life.kill()
        assert all(one.result() for one in waiting), "a task found room"
    return float(asked)


def _pod(namespace: str, name: str) -> dict[str, object]:
    container = {"name": "base", "image": "none", "resources": {"requests": {"cpu": "1m"}}}
    spec = {
        "automountServiceAccountToken": False,
        "restartPolicy": "Never",
        "nodeSelector": {"no": "where"},
        "containers": [container],
    }
    annotations = {"podenv.dev/token": uuid.uuid4().hex}
    return {"metadata": {"name": name, "namespace": namespace, "annotations": annotations}, "spec": spec}
