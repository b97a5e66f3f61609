"""The nodes that pull an environment's image before the first task: how many have it, and why others do not."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from podenv import process
from podenv.catalogue import names
from podenv.errors import ImageNotPulled, ReleaseTimedOut
from podenv.release.cluster import Cluster, Json, selector

PULL_FAILURE_SECONDS = 20.0  # that a node may fail to pull: registries throttle, and credentials come late
_LOOK_SECONDS = 1.0  # between two looks
_QUOTED_EVENTS = 3  # that an error quotes
# https://kubernetes.io/docs/concepts/containers/images/#imagepullbackoff
_PULL = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")


@dataclass(frozen=True)
class Warmth:
    """How many nodes hold the image, and how many are meant to."""

    ready: int
    desired: int


def is_warm(daemon_set: Json) -> bool:
    """True if every node that a pre-pull DaemonSet's newest form asks for holds its image."""
    status = daemon_set.get("status") or {}
    seen = status.get("observedGeneration", 0) >= daemon_set.get("metadata", {}).get("generation", 1)
    desired = status.get("desiredNumberScheduled", 0)
    return bool(seen and status.get("updatedNumberScheduled", 0) >= desired and status.get("numberReady", 0) >= desired)


def warmth(daemon_set: Json) -> Warmth:
    """How far a pre-pull DaemonSet is, by its status."""
    status = daemon_set.get("status") or {}
    return Warmth(int(status.get("numberReady") or 0), int(status.get("desiredNumberScheduled") or 0))


def wait(
    cluster: Cluster, environment: str, namespace: str, digest: str, *, timeout: float, say: Callable[[str], None]
) -> None:
    """Return when all nodes of the release's pre-pull DaemonSet hold the image.

    Raises `ImageNotPulled` once a node has failed at it for `PULL_FAILURE_SECONDS`, and `ReleaseTimedOut` after
    ``timeout`` seconds, with the cluster's own words.
    """
    begun = time.monotonic()
    path = cluster.path("apps/v1", "DaemonSet", namespace, names.part(environment, "pre-pull"))
    labels = selector(names.selector(environment, "pre-pull") | {names.DIGEST_LABEL: names.digest_label(digest)})
    failing_since = None
    while True:
        found = cluster.get(path) or {}
        if is_warm(found):
            return
        pods = cluster.list("v1", "Pod", namespace=namespace, labels=labels)
        pull, other = trouble(pods)
        warm = warmth(found)
        say(f"image on {warm.ready} of {warm.desired} nodes{': ' if pull or other else ''}{pull or other}")
        now = time.monotonic()
        failing_since = (failing_since or now) if pull else None
        over = now - begun >= timeout or process.interrupted.is_set()
        if pull and (over or now - (failing_since or now) >= PULL_FAILURE_SECONDS):
            raise ImageNotPulled(
                f"Environment {environment!r}: nodes cannot pull its image: {pull}. Check imagePullSecrets, and that "
                "the nodes reach the registry; the release is as it was before."
            )
        if over:
            why = other or _events(cluster, namespace, pods) or "no pod of the pre-puller says why"
            raise ReleaseTimedOut(
                f"Environment {environment!r}: not all nodes had its image after {now - begun:.0f} s ({why}). "
                "Give it more time with --timeout, or look after that node; the release is as it was before."
            )
        process.interrupted.wait(_LOOK_SECONDS)


def trouble(pods: list[Json]) -> tuple[str, str]:
    """Why pods do not run: a failure to pull, and any other reason; each is empty where there is none."""
    pull = other = ""
    for pod in pods:
        status = pod.get("status") or {}
        for container in status.get("containerStatuses") or ():
            state = container.get("state") or {}
            waiting, ended = state.get("waiting") or {}, container.get("lastState", {}).get("terminated") or {}
            if waiting.get("reason") in _PULL:
                pull = _one_line(waiting.get("message") or waiting["reason"])
            elif waiting or ended:
                other = _one_line(f"{waiting.get('reason', '')} {ended.get('message') or waiting.get('message') or ''}")
        for condition in status.get("conditions") or ():
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                other = _one_line(condition.get("message", ""))
    return pull, other


def _events(cluster: Cluster, namespace: str, pods: list[Json]) -> str:
    """The last warning events of the pods."""
    names_of_pods = {pod["metadata"]["name"] for pod in pods}
    messages = [
        _one_line(event.get("message", ""))
        for event in cluster.list("v1", "Event", namespace=namespace)
        if event.get("type") == "Warning" and event["involvedObject"].get("name") in names_of_pods
    ]
    return "; ".join(list(dict.fromkeys(messages))[-_QUOTED_EVENTS:])


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
