"""A pod's status, or the API server's refusal, as a typed failure. Pure: it decides, and does nothing.

The base container decides, never the pod's phase: a sidecar may still run or may have failed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from kubernetes.client import ApiException, CoreV1Event, V1ContainerStateTerminated, V1ContainerStatus, V1Pod

from podenv.errors import (
    DiskExceeded,
    Exited,
    ImageUnavailable,
    OutOfMemory,
    PodFailure,
    PodLost,
    PodRefused,
    QuotaExceeded,
    TaskFailure,
)
from podenv.pods.api import plain, words_of

# The kubelet tries these again by itself, and with success when the registry recovers.
_PASSING = re.compile(
    r"too ?many ?requests|\b429\b|rate limit|qps exceeded|timeout|timed out|temporar|connection refused"
    r"|connection reset|no such host|bad gateway|service unavailable|i/o|\bEOF\b|\b50[0234]\b|server misbehaving",
    re.IGNORECASE,
)
_REFERENCE = re.compile(r'"[^"]*"|sha256:[0-9a-f]+')  # an image's own name says nothing of why it cannot be pulled
_NO_PYTHON = re.compile(r"executable file not found|no such file or directory", re.IGNORECASE)
_OWN_DISK = re.compile(r"ephemeral local storage usage exceeds|usage of EmptyDir|exceeds the limit", re.IGNORECASE)
_KUBELET_DELAY = timedelta(seconds=10)
_TAKEN = ("Preempted", "TaintManagerEviction")  # events that say why a pod was deleted
_SIGNALS = range(129, 193)  # a shell's exit codes for a program that a signal ended


def container(pod: V1Pod, name: str) -> V1ContainerStatus | None:
    """The status of the container ``name``; None while the kubelet has not told one."""
    statuses = (pod.status and pod.status.container_statuses) or []
    return next((status for status in statuses if status.name == name), None)


def terminated(pod: V1Pod, name: str) -> V1ContainerStateTerminated | None:
    """How the container ended; None when it has not, or when nobody knows."""
    status = container(pod, name)
    return status.state.terminated if status and status.state else None


def is_running(pod: V1Pod, name: str) -> bool:
    """Whether the container runs."""
    status = container(pod, name)
    return bool(status and status.state and status.state.running)


def is_over(pod: V1Pod, name: str) -> bool:
    """Whether the container will print nothing more: it ended, or the pod was failed without it."""
    return terminated(pod, name) is not None or (bool(pod.status) and pod.status.phase in ("Failed", "Succeeded"))


def _statuses(pod: V1Pod, name: str) -> Iterator[V1ContainerStatus]:
    """Of the containers that must start for the container ``name`` to run."""
    yield from (pod.status and pod.status.init_container_statuses) or []
    if status := container(pod, name):
        yield status


def waits_for(pod: V1Pod, name: str) -> str:
    """The kubelet's own words on why the container does not run yet; empty when it says nothing that explains it."""
    for status in _statuses(pod, name):
        waiting = status.state.waiting if status.state else None
        if waiting and (waiting.message or waiting.reason == "ErrImagePull"):
            return plain(f"{waiting.reason}: {waiting.message}")
    for status in (pod.status and pod.status.init_container_statuses) or []:
        if status.state and status.state.running:
            return f"the init container {status.name!r} still runs"
    return ""


def before_start(pod: V1Pod, name: str, environment: str, *, secret: str = "") -> PodFailure | None:
    """Why the container will never start; None while it still may.

    A registry that throttles or is away is asked again by the kubelet: only the time limit of the start ends that. The
    ``secret`` is on its way.
    """
    for status in _statuses(pod, name):
        waiting = status.state.waiting if status.state else None
        if waiting is None:
            continue
        failure = _waits_in_vain(environment, waiting.reason, plain(waiting.message), status.image)
        if failure and not (secret and f'secret "{secret}" not found' in (waiting.message or "")):
            return failure
    return None


def _waits_in_vain(environment: str, reason: str, words: str, image: str) -> PodFailure | None:
    if reason in ("InvalidImageName", "ErrImageNeverPull"):
        return ImageUnavailable(
            f"Environment {environment!r}: the image reference {image!r} cannot be used ({reason}: {words}); "
            f"correct the image in its values and run `podenv deploy {environment}`."
        )
    if reason == "ErrImagePull" and not _PASSING.search(_REFERENCE.sub("", words.replace(image or " ", ""))):
        return ImageUnavailable(
            f"Environment {environment!r}: the image cannot be pulled ({words or image}); build and push it with "
            f"`podenv build {environment} --push`, then `podenv deploy {environment}`, or check imagePullSecrets."
        )
    # The kubelet has not read the Secret or ConfigMap yet, and tries again.
    if "failed to sync" in words and "timed out waiting for the condition" in words:
        return None
    if reason in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError"):
        return _cannot_create(environment, reason, words)
    return None


def _cannot_create(environment: str, reason: str, words: str) -> PodFailure:
    if _NO_PYTHON.search(words) and "exec" in words:
        return ImageUnavailable(
            f"Environment {environment!r}: its image has no such program to start ({words}); use an image with "
            "`python` (3.8 or newer) on its PATH, or correct cmds."
        )
    return PodRefused(
        f"Environment {environment!r}: the container cannot be created ({reason}: {words}); "
        "correct what it names: a Secret, a ConfigMap, a volume or the security context."
    )


def node_is_lost(pod: V1Pod, name: str, now: datetime) -> bool:
    """Whether the node of a pod whose log cannot be read is gone, as far as one can tell who may not read nodes.

    The cluster marks the pods of a node that does not answer as not ready, and deletes them when their toleration
    ends; the object stays until the kubelet answers. Without the mark, the deletion's deadline and some seconds tell.
    """
    deadline = pod.metadata.deletion_timestamp
    if deadline is None or is_over(pod, name):
        return False
    conditions = (pod.status and pod.status.conditions) or []
    unready = any(condition.type == "Ready" and condition.status == "False" for condition in conditions)
    return (unready and is_running(pod, name)) or now > deadline + _KUBELET_DELAY


def after_end(pod: V1Pod, name: str, environment: str, *, limit: str, memory_hint: str) -> TaskFailure:
    """Why a container that is over brought no result. ``limit`` is the memory limit it ran with."""
    if evicted := _evicted(pod, environment):
        return evicted
    ended = terminated(pod, name)
    if ended is None:
        return _without_container(pod, environment)
    if ended.reason == "OOMKilled":
        return OutOfMemory(environment, limit, memory_hint)
    if ended.reason in ("ContainerCannotRun", "StartError"):
        return _cannot_create(environment, ended.reason, plain(ended.message))
    if pod.metadata.deletion_timestamp is not None:
        return PodLost(
            f"Environment {environment!r}: the pod {pod.metadata.name} was deleted by somebody else while it ran; "
            "look for who deletes pods in its namespace."
        )
    if "DeadlineExceeded" in (ended.reason, pod.status.reason):
        return PodRefused(
            f"Environment {environment!r}: the pod ran longer than its active_deadline_seconds; raise it."
        )
    code = 128 - ended.exit_code if ended.exit_code in _SIGNALS else ended.exit_code
    return Exited(environment, code, "It ended before it had brought a result; the log above shows how far it came.")


def _evicted(pod: V1Pod, environment: str) -> PodFailure | None:
    reason, words = pod.status.reason, plain(pod.status.message)
    if reason is None or reason == "DeadlineExceeded":
        return None
    if reason == "Evicted" and _OWN_DISK.search(words):
        return DiskExceeded(
            f"Environment {environment!r}: the task used more disk than its limit ({words}); "
            "raise its ephemeral-storage limit or the size of the volume, or write less."
        )
    if reason.startswith("UnexpectedAdmissionError") or reason in ("OutOfcpu", "OutOfmemory", "OutOfpods"):
        words = f"the node refused it: {words}"
    return PodLost(
        f"Environment {environment!r}: the cluster ended the pod {pod.metadata.name} ({reason}: {words}); "
        "if that repeats, ask for what it really needs (requests), or give it a priorityClassName."
    )


def _without_container(pod: V1Pod, environment: str) -> PodFailure:
    """The pod is over, or was given up, and the container never said how it ended."""
    for status in (pod.status and pod.status.init_container_statuses) or []:
        ended = status.state.terminated if status.state else None
        if ended is not None and ended.exit_code != 0:
            return PodFailure(
                f"Environment {environment!r}: its init container {status.name!r} ended with exit code "
                f"{ended.exit_code} ({plain(ended.message) or ended.reason}); init_container_logs=True shows its log."
            )
    if pod.metadata.deletion_timestamp is not None:
        return PodLost(
            f"Environment {environment!r}: the node {pod.spec.node_name} of the pod {pod.metadata.name} does not "
            "answer, and the pod may still run there; look after the node."
        )
    return PodLost(
        f"Environment {environment!r}: the pod {pod.metadata.name} ended and nobody knows how its container did "
        f"({plain(pod.status.message) or 'the cluster said nothing'}); look for what happened to its node."
    )


def taken(pod: V1Pod | None, events: Iterable[CoreV1Event]) -> str:
    """Why the cluster took a pod away, in its own words; empty where it does not say.

    Kubernetes 1.26 and newer mark the pod before they delete it; a scheduler and a taint write events.
    """
    said = [
        (condition.reason, condition.message)
        for condition in (pod and pod.status and pod.status.conditions) or []
        if condition.type == "DisruptionTarget" and condition.status == "True"
    ]
    said += [(event.reason, event.message) for event in events if event.reason in _TAKEN]
    return plain(f"{said[0][0]}: {said[0][1]}").rstrip(".") if said else ""


def scheduled(pod: V1Pod) -> datetime | None:
    """When a node took the pod."""
    for condition in (pod.status and pod.status.conditions) or []:
        if condition.type == "PodScheduled" and condition.status == "True":
            return condition.last_transition_time  # type: ignore[no-any-return]
    return None


def unschedulable(pod: V1Pod) -> str:
    """The scheduler's own words on why no node takes the pod; empty when one has, or when it said nothing yet."""
    for condition in (pod.status and pod.status.conditions) or []:
        if condition.type == "PodScheduled" and condition.status == "False":
            return plain(condition.message)
    return ""


def refusal(error: ApiException, environment: str, what: str) -> PodFailure:
    """Why the API server refused to ``what`` (like ``create a pod in podenv-etl``)."""
    words = words_of(error)
    if error.status == 403 and "exceeded quota" in words:
        return QuotaExceeded(
            f"Environment {environment!r}: the namespace's quota has no room ({words}); "
            "wait for other tasks, ask for less, or raise resourceQuota in the values."
        )
    if error.status == 403 and (missing := re.search(r'cannot (\w+) resource "([^"]+)"', words)):
        also = " with secrets: true" if missing[2] == "secrets" else ""
        return PodRefused(
            f"Environment {environment!r}: Airflow may not {missing[1]} {missing[2]} ({words}); deploy the environment "
            f"if it is not, or add Airflow's service account to `access` in its values{also} and run "
            f"`podenv deploy {environment}`."
        )
    if error.status == 401:
        return PodRefused(
            f"Environment {environment!r}: the API server does not accept Airflow's credentials ({words}); "
            "check the connection that kubernetes_conn_id names."
        )
    return PodRefused(
        f"Environment {environment!r}: the API server refused to {what} ({words}); "
        "change what it names in the task or in the environment's values."
    )
