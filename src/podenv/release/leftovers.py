"""Pods of tasks that no worker follows any more: their worker was killed, and no later try came for them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from podenv.catalogue import names
from podenv.errors import Conflict
from podenv.pods import status
from podenv.pods.decisions import CHECKED_LABEL
from podenv.pods.manifest import CONTAINER
from podenv.release.cluster import Cluster, Json, selector

ENDED_POD_SECONDS = 24 * 3600.0  # after its end, for which a pod may wait for a later try of its task


@dataclass(frozen=True)
class TaskPod:
    """A pod of a task; ``age_seconds`` since its end, or since its creation while it has not ended."""

    environment: str
    namespace: str
    name: str
    task: str
    age_seconds: float


@dataclass(frozen=True)
class Leftovers:
    """``ended`` were deleted (or would be); ``alive`` live as long and are left: a worker may follow them."""

    ended: tuple[TaskPod, ...]
    alive: tuple[TaskPod, ...]


def prune(
    cluster: Cluster, places: Mapping[str, str], *, older_than: float = ENDED_POD_SECONDS, dry_run: bool = False
) -> Leftovers:
    """Delete the pods of environments (name -> namespace) whose container ended more than ``older_than`` seconds ago.

    A worker reads the end of its pod within minutes. A pod that its task keeps on purpose stays, and so does one that
    changed since it was read. Raises `ReleaseError`.
    """
    ended: list[TaskPod] = []
    alive: list[TaskPod] = []
    for environment, namespace in places.items():
        chosen = selector(names.selector(environment))
        for pod in cluster.list("v1", "Pod", namespace=namespace, labels=chosen):
            if status.is_going(pod) or status.label(pod, CHECKED_LABEL):
                continue
            over = status.is_over(pod, CONTAINER)
            one = _described(pod, environment, cluster.now())
            if one.age_seconds < older_than:
                continue
            if not over:
                alive.append(one)
                continue
            if not dry_run:
                path = cluster.path("v1", "Pod", namespace, one.name)
                with suppress(Conflict):  # a worker came for it
                    cluster.delete(path, version=pod["metadata"]["resourceVersion"])
            ended.append(one)
    return Leftovers(tuple(ended), tuple(alive))


def _described(pod: Json, environment: str, now: float) -> TaskPod:
    metadata = pod["metadata"]
    finished = (status.terminated(pod, CONTAINER) or {}).get("finishedAt")
    since = datetime.fromisoformat(finished or metadata["creationTimestamp"]).timestamp()
    task = ".".join(filter(None, (status.label(pod, "dag_id"), status.label(pod, "task_id"))))
    return TaskPod(environment, metadata["namespace"], metadata["name"], task or "a call", max(0.0, now - since))
