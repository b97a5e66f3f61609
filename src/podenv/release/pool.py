"""The idle pods of an environment: how many of them wait for a task, and why others do not."""

from __future__ import annotations

import copy
import hashlib
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from podenv import process
from podenv.call.warm import RUNTIME
from podenv.catalogue import names
from podenv.errors import AccessRefused, ReleaseMissing
from podenv.pods import status
from podenv.pods.manifest import CONTAINER
from podenv.pods.pool import is_idle, waits
from podenv.release import manifest, nodes
from podenv.release.cluster import Cluster, Json, selector
from podenv.release.records import Record
from podenv.runtime.warm import IMPORTS

FILL_SECONDS = 20.0  # that a command waits for idle pods
MANAGER = "podenv-warm"  # the field manager of a number that holds until the next deploy
# Kind of object that keeps idle pods -> its field with their number, which is 1 where nobody sets it.
NUMBERS = {"Deployment": "replicas", "Job": "parallelism"}
_LOOK_SECONDS = 0.5  # between two looks
_REFUSAL_SECONDS = 900.0  # for which a refusal counts: a Job tries again after up to ten minutes
# That an idle pod must have run until a command believes that it waits: first it starts Python, and loads imports.
_START_SECONDS, _IMPORT_SECONDS = 1.0, 5.0


@dataclass(frozen=True)
class Pool:
    """``ready`` of ``wanted`` idle pods wait for a task; ``why`` others do not, empty where nothing says so.

    ``is_futile``: none does, and those that were started ended by themselves, as the next ones will. ``failed`` of them
    stay as they are while others are started; the container of another one is started again in its place.
    """

    wanted: int
    ready: int
    why: str = ""
    is_futile: bool = False
    failed: int = 0

    def __str__(self) -> str:
        return f"warm {self.ready} of {self.wanted}"


def of(objects: Iterable[Json]) -> Json | None:
    """The one of an environment's objects that keeps its idle pods; None where it has none."""
    return next((item for item in objects if is_pool(item)), None)


def keeps_deployment(version: str) -> bool:
    """True if a Deployment keeps idle pods in a Kubernetes of this version, like ``v1.34.1``; below 1.35 a Job does."""
    major, minor = re.findall("[0-9]+", version)[:2]
    return (int(major), int(minor)) >= (1, 35)


def is_pool(item: Json) -> bool:
    """True for the Deployment or Job that keeps idle pods."""
    labels = item["metadata"].get("labels") or {}
    return item["kind"] in NUMBERS and labels.get(names.COMPONENT_LABEL) == "warm"


def without_hash(item: Json) -> Json:
    """An object to be compared: without what follows from the hash of its idle pods, and without the runtime's text.

    Other objects are as they were.
    """
    if not is_pool(item):
        return item
    shown: Json = copy.deepcopy(item)
    shown["metadata"]["name"] = names.part(_environment(item), "warm")
    template = shown["spec"]["template"]
    for labels in (shown["spec"]["selector"]["matchLabels"], template["metadata"]["labels"]):
        labels.pop(names.TEMPLATE_LABEL, None)
    for variable in template["spec"]["containers"][0]["env"]:
        if variable["name"] == RUNTIME:
            variable["value"] = f"podenv's runtime {hashlib.sha256(variable['value'].encode()).hexdigest()[:8]}"
    return shown


def number(item: Json) -> int | None:
    """How many idle pods an object asks for; None where it leaves that to others."""
    found = item["spec"].get(NUMBERS[item["kind"]])
    return None if found is None else int(found)


def is_number_of_others(item: Json, path: tuple[str | int, ...]) -> bool:
    """True if ``path`` is the number of idle pods in a rendered object that leaves it to others."""
    return is_pool(item) and number(item) is None and path == ("spec", NUMBERS[item["kind"]])


def path(cluster: Cluster, item: Json, namespace: str) -> str:
    """Where the object that keeps idle pods is."""
    return cluster.path(item["apiVersion"], item["kind"], namespace, item["metadata"]["name"])


def keeper(cluster: Cluster, past: Sequence[Record]) -> tuple[Json, Json]:
    """What keeps the idle pods of an environment with these revisions: as rendered, and as it is.

    Raises `ReleaseMissing` where there is nothing of the kind.
    """
    deployed = next((one for one in past if one.status == "deployed"), past[0])
    name, rendered = deployed.name, of(deployed.objects)
    if rendered is None:
        raise ReleaseMissing(
            f"Environment {name!r} has no idle pods; set `warm: {{idle: N}}` in its values.yaml, then "
            f"`podenv deploy {name}`."
        )
    found = cluster.get(path(cluster, rendered, deployed.namespace))
    if found is None:
        raise ReleaseMissing(
            f"{manifest.title(rendered)} of environment {name!r} is gone; `podenv deploy {name}` makes it again."
        )
    return rendered, found


def pods(cluster: Cluster, item: Json, namespace: str) -> list[Json]:
    """All idle pods of the environment whose pool ``item`` keeps."""
    labels = selector({names.WARM_LABEL: _environment(item)})
    return cluster.list("v1", "Pod", namespace=namespace, labels=labels)


def set_number(cluster: Cluster, item: Json, namespace: str, idle: int) -> Json:
    """Let the object ask for ``idle`` pods until the next deploy; returns it as it is then. Raises `Conflict`."""
    where = f"{path(cluster, item, namespace)}?fieldManager={MANAGER}"
    return {**item, **cluster.patch(where, {"spec": {NUMBERS[item["kind"]]: idle}})}


def look(cluster: Cluster, item: Json, namespace: str, pods: Iterable[Json], *, since: float = 0.0) -> Pool:
    """The pool that ``item``, as the cluster has it, keeps; ``pods`` are those of the environment, or all idle ones.

    What ended before ``since`` (seconds since 1970) says nothing of those that start now.
    """
    own = _own(item, pods)
    found = counted(item, own, since=since)
    alive = [pod for pod in own if not status.is_over(pod, CONTAINER) and not status.is_going(pod)]
    if len(alive) < found.wanted and not found.why:
        return replace(found, why=_refusal(cluster, item, namespace))
    return found


def counted(item: Json, pods: Iterable[Json], *, since: float = 0.0) -> Pool:
    """The same by the pods alone, without those that could not even be made."""
    own = _own(item, pods)
    ready = sum(waits(pod) for pod in own)
    wanted = number(item)
    wanted = 1 if wanted is None else wanted
    ended, at = _end(own)
    if ready and ready >= wanted:
        return Pool(wanted, ready)
    why = ended or " ".join(nodes.trouble([pod for pod in own if not _starts(pod)])).strip()
    failed = sum(pod["status"].get("phase") == "Failed" and not status.is_going(pod) for pod in own)
    return Pool(wanted, ready, why, is_futile=bool(ended) and not ready and at >= since, failed=failed)


def wait(cluster: Cluster, item: Json, namespace: str, *, timeout: float, say: Callable[[str], None]) -> Pool:
    """The pool once all idle pods wait, once it is futile, or after ``timeout`` seconds."""
    begun, since = time.monotonic(), cluster.now() - 1
    while True:
        idle = pods(cluster, item, namespace)
        found = look(cluster, item, namespace, idle, since=since)
        over = time.monotonic() - begun >= timeout or process.interrupted.is_set()
        if found.is_futile or over or (found.ready >= found.wanted and _is_settled(item, idle, cluster.now())):
            return found
        say(f"{found}{': ' if found.why else ''}{found.why}")
        process.interrupted.wait(_LOOK_SECONDS)


def _is_settled(item: Json, pods: Iterable[Json], now: float) -> bool:
    """True if the youngest of the idle pods has run long enough to have failed, if it was to fail."""
    variables = item["spec"]["template"]["spec"]["containers"][0]["env"]
    needed = _IMPORT_SECONDS if any(one["name"] == IMPORTS for one in variables) else _START_SECONDS
    running = [(status.container(pod, CONTAINER) or {}).get("state", {}).get("running") for pod in pods]
    begun = [_seconds(one["startedAt"]) for one in running if one]
    return now - max(begun, default=0.0) > needed


def _environment(item: Json) -> str:
    return str(item["metadata"]["labels"][names.ENVIRONMENT_LABEL])


def _own(item: Json, pods: Iterable[Json]) -> list[Json]:
    """The idle pods that are made from the object's template as it is now."""
    template = item["spec"]["template"]["metadata"]["labels"][names.TEMPLATE_LABEL]
    return [pod for pod in pods if is_idle(pod) and status.label(pod, names.TEMPLATE_LABEL) == template]


def _starts(pod: Json) -> bool:
    """True if nothing but time keeps the pod from running."""
    container = status.container(pod, CONTAINER) or {}
    return (container.get("state", {}).get("waiting") or {}).get("reason") in ("ContainerCreating", "PodInitializing")


def _end(pods: Iterable[Json]) -> tuple[str, float]:
    """Why and when the last of the idle pods that ended by itself did so, in the words of its loader or the kubelet."""
    ends = []
    for pod in pods:
        container = status.container(pod, CONTAINER) or {}
        ended = status.terminated(pod, CONTAINER) or (container.get("lastState") or {}).get("terminated")
        if ended and not status.is_going(pod) and not (pod["status"].get("reason") or ""):
            said = ended.get("message") or f"{ended.get('reason', 'ended')}, exit code {ended.get('exitCode')}"
            ends.append((_seconds(ended.get("finishedAt")), " ".join(said.split()).rstrip(".")))
    at, why = max(ends, default=(0.0, ""))
    return why, at


def _seconds(moment: str | None) -> float:
    return datetime.fromisoformat(moment).timestamp() if moment else 0.0


def _refusal(cluster: Cluster, item: Json, namespace: str) -> str:
    """Why the last of the missing pods could not be made, in the words of the API server; empty if that is long ago."""
    name = item["metadata"]["name"]
    try:
        events = cluster.list("v1", "Event", namespace=namespace)
    except AccessRefused:
        return ""
    found = [
        (_seconds(event.get("lastTimestamp") or event.get("eventTime")), " ".join(event.get("message", "").split()))
        for event in events
        if event.get("reason") == "FailedCreate" and _is_of(event["involvedObject"], name)
    ]
    at, why = max(found, default=(0.0, ""))
    return why.rstrip(".") if cluster.now() - at < _REFUSAL_SECONDS else ""


def _is_of(one: Json, name: str) -> bool:
    """True for the object ``name``, and for a ReplicaSet of the Deployment ``name``."""
    given = one.get("name", "")
    return bool(given == name or (one.get("kind") == "ReplicaSet" and given.rpartition("-")[0] == name))
