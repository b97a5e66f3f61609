"""What a pod's status means for a task. Pure: it decides, and does nothing.

The base container decides, never the pod's phase: a sidecar may still run or may have failed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from podenv import causes
from podenv.catalogue import names
from podenv.causes import Verdict
from podenv.errors import (
    DeadlinePassed,
    DiskExceeded,
    Exited,
    ImageUnavailable,
    OutOfMemory,
    PodFailure,
    PodLost,
    PodRefused,
    TaskFailure,
)
from podenv.pods.client import Json, plain

_NO_PROGRAM = re.compile(r"executable file not found|no such file or directory", re.IGNORECASE)
_FOREIGN = re.compile(r"(exec |standard_init_linux).*exec format error", re.IGNORECASE)  # runc, in the log
_OWN_DISK = re.compile(r"ephemeral local storage usage exceeds|usage of EmptyDir|exceeds the limit", re.IGNORECASE)
_PULL_REASONS = ("ErrImagePull", "ImagePullBackOff")
_CREATE_REASONS = (
    "InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError", "CreateContainerError", "RunContainerError",
)  # fmt: skip
_NEVER_RAN = ("ContainerCannotRun", "StartError")  # of a container that has terminated
_KUBELET_DELAY = timedelta(seconds=10)  # after a deletion's deadline
_TAKING_CONDITIONS = ("DisruptionTarget", "TerminationTarget")  # the latter is Kueue's, which preempts
_TAKING_EVENTS = ("Preempted", "TaintManagerEviction")  # events that say why a pod was deleted
_SIGNAL_CODES = range(129, 193)  # a shell's exit codes for a program that a signal ended


def token_of(pod: Json) -> str:
    """The token that marks the frame of the pod's result."""
    return annotation(pod, names.TOKEN_ANNOTATION) or "none"


def annotation(pod: Json, name: str) -> str:
    """The annotation ``name``; empty where the pod has none."""
    return str((pod["metadata"].get("annotations") or {}).get(name, ""))


def label(pod: Json, name: str) -> str:
    """The label ``name``; empty where the pod has none."""
    return str((pod["metadata"].get("labels") or {}).get(name, ""))


def ran_seconds(pod: Json, name: str) -> float | None:
    """Seconds between start and end of a container that is over, as far as the kubelet says them."""
    ended = terminated(pod, name) or {}
    began, over = (moment(ended.get(one)) for one in ("startedAt", "finishedAt"))
    return max(0.0, (over - began).total_seconds()) if began and over else None


def moment(text: str | None) -> datetime | None:
    """A time of the API (RFC 3339). The kubelet says the year 1970 of what never was, as a container's start."""
    found = datetime.fromisoformat(text) if text else None
    return found if found and found.timestamp() > 0 else None


def is_going(pod: Json) -> bool:
    """True if the pod was deleted and has not gone yet."""
    return bool(pod["metadata"].get("deletionTimestamp"))


def container(pod: Json, name: str) -> Json | None:
    """The status of the container ``name``; None while the kubelet has not reported one."""
    return next((one for one in _of_status(pod, "containerStatuses") if one["name"] == name), None)


def terminated(pod: Json, name: str) -> Json | None:
    """How the container ended, the first time where it was started again; None when it has not, or if not known."""
    status = container(pod, name) or {}
    # A pod never restarts its container, but one that was idle may, for an exit code of its own (Kubernetes 1.35).
    again = _state({"state": status.get("lastState")}, "terminated") if status.get("restartCount") else None
    return again or _state(status, "terminated")


def is_running(pod: Json, name: str) -> bool:
    """True if the container runs."""
    return _state(container(pod, name), "running") is not None


def is_over(pod: Json, name: str) -> bool:
    """True if the container will print nothing more: it ended, or the pod was failed without it."""
    return terminated(pod, name) is not None or _status(pod).get("phase") in ("Failed", "Succeeded")


def ended_by_itself(pod: Json, name: str) -> bool:
    """True if the container's program ended without a signal and within its memory."""
    ended = terminated(pod, name)
    return ended is not None and 0 <= ended["exitCode"] < 128 and ended.get("reason") != "OOMKilled"


def may_have_started(pod: Json | None, name: str) -> bool:
    """False only if the container is known never to have run; None is a pod that was not seen."""
    if pod is None:
        return True
    status = container(pod, name)
    if status is None:
        # The kubelet reports a container before it starts it. But up to Kubernetes 1.20 an evicted pod loses what was
        # reported, so that only a refusal by the node is proof for a pod that has failed.
        phase = _status(pod).get("phase")
        return phase != "Pending" and not (phase == "Failed" and _is_refused_by_node(pod))
    ended = _state(status, "terminated")
    if ended is not None:
        return ended.get("reason") not in _NEVER_RAN
    return _state(status, "running") is not None or bool(status.get("lastState") or status.get("restartCount"))


def waits_for(pod: Json, name: str) -> str:
    """The kubelet's own words on why the container does not run yet; empty when it says nothing that explains it."""
    for status in _starting(pod, name):
        waiting = _state(status, "waiting")
        if waiting and (waiting.get("message") or waiting.get("reason") == "ErrImagePull"):
            return plain(f"{waiting.get('reason')}: {waiting.get('message', '')}")
    for status in _of_status(pod, "initContainerStatuses"):
        if _state(status, "running") is not None:
            return f"the init container {status['name']!r} still runs"
    return ""


def before_start(pod: Json, name: str, environment: str) -> PodFailure | None:
    """Why the container will never start; None while it still may.

    The kubelet tries most of it again: a registry that is away, a Secret that may come. Only the time limit of the
    start ends that.
    """
    for status in _starting(pod, name):
        waiting = _state(status, "waiting")
        if waiting is None:
            continue
        failure = _final_wait(environment, waiting.get("reason", ""), plain(waiting.get("message")), status["image"])
        if failure is not None:
            return failure
    return None


def _final_wait(environment: str, reason: str, words: str, image: str) -> PodFailure | None:
    if reason in _PULL_REASONS:
        cause = causes.pull(words, image)
    elif reason in _CREATE_REASONS:
        cause = causes.container(reason, words)
    else:
        return None
    if cause.verdict is Verdict.SOON:
        return None
    if cause.kind == "platform":
        return _other_platform(environment, words or image)
    if cause.verdict is Verdict.LATER:
        return PodFailure(
            f"Environment {environment!r}: its container cannot start on this node ({reason}: {words or image}); "
            "another node may be able to."
        )
    if reason == "InvalidImageName":
        return ImageUnavailable(
            f"Environment {environment!r}: the image reference {image!r} cannot be used ({reason}: {words}); "
            f"correct the image in its values and run `podenv deploy {environment}`."
        )
    if reason in _PULL_REASONS:
        return ImageUnavailable(
            f"Environment {environment!r}: the image cannot be pulled ({words or image}); build and push it with "
            f"`podenv build {environment} --push`, then `podenv deploy {environment}`, or check imagePullSecrets."
        )
    return _cannot_create(environment, reason, words)


def _other_platform(environment: str, words: str) -> PodFailure:
    return PodFailure(
        f"Environment {environment!r}: its image is for another platform than the node ({words}); name the nodes' in "
        f"image.platforms and run `podenv build {environment} --push` and `podenv deploy {environment}`, or give it a "
        "nodeSelector."
    )


def _cannot_create(environment: str, reason: str, words: str) -> PodFailure:
    if causes.container(reason, words).kind == "platform":
        return _other_platform(environment, words)
    if _NO_PROGRAM.search(words) and "exec" in words:
        return ImageUnavailable(
            f"Environment {environment!r}: its image lacks the program to start ({words}); use an image with "
            "`python` (3.8 or newer) on its PATH, or correct cmds."
        )
    return PodRefused(
        f"Environment {environment!r}: the container cannot be created ({reason}: {words}); "
        "correct what it names: a Secret, a ConfigMap, a volume or the security context."
    )


def node_is_lost(pod: Json, name: str, now: datetime) -> bool:
    """True if the node of a pod whose log cannot be read is gone, as far as one can tell who may not read nodes.

    The cluster marks the pods of a node that does not answer as not ready, and deletes them when their toleration
    ends; the object stays until the kubelet answers. Without the mark, the deletion's deadline and some seconds tell.
    """
    deadline = moment(pod["metadata"].get("deletionTimestamp"))
    if deadline is None or is_over(pod, name):
        return False
    unready = any(one["type"] == "Ready" and one["status"] == "False" for one in _of_status(pod, "conditions"))
    return (unready and is_running(pod, name)) or now > deadline + _KUBELET_DELAY


def after_end(
    pod: Json, name: str, environment: str, *, limit: str, memory_hint: str, last_line: str = ""
) -> TaskFailure:
    """Why a container that is over brought no result. ``limit`` is the memory limit it ran with.

    ``last_line`` is the log's: a program of another platform may be started, as it seems, and say so there.
    """
    if evicted := _evicted(pod, environment):
        return evicted
    ended = terminated(pod, name)
    if ended is None:
        return _without_container(pod, environment)
    reason = ended.get("reason")
    if reason == "OOMKilled":
        return OutOfMemory(environment, limit, memory_hint)
    if reason in _NEVER_RAN:
        return _cannot_create(environment, reason, plain(ended.get("message")))
    if is_going(pod):
        return PodLost(
            f"Environment {environment!r}: the pod {pod['metadata']['name']} was deleted by somebody else while it "
            "ran; look for who deletes pods in its namespace."
        )
    if "DeadlineExceeded" in (reason, _status(pod).get("reason")):
        return DeadlinePassed(
            f"Environment {environment!r}: the pod ran longer than its active_deadline_seconds "
            f"({pod['spec'].get('activeDeadlineSeconds')}), which podenv derives from execution_timeout where the task "
            "sets none; raise it."
        )
    if _FOREIGN.match(last_line):
        return _other_platform(environment, plain(last_line))
    code = ended["exitCode"]
    code = 128 - code if code in _SIGNAL_CODES else code
    return Exited(environment, code, "It ended before it had brought a result; the log above shows how far it came.")


def _evicted(pod: Json, environment: str) -> PodFailure | None:
    reason, words = _status(pod).get("reason"), plain(_status(pod).get("message"))
    if reason is None or reason == "DeadlineExceeded":
        return None
    if reason == "Evicted" and _OWN_DISK.search(words):
        return DiskExceeded(
            f"Environment {environment!r}: the task used more disk than its limit ({words}); "
            "raise its ephemeral-storage limit or the size of the volume, or write less."
        )
    if _is_refused_by_node(pod):
        words = f"the node refused it: {words}"
    return PodLost(
        f"Environment {environment!r}: the cluster ended the pod {pod['metadata']['name']} ({reason}: {words}); "
        "if that repeats, ask for what it really needs (requests), or give it a priorityClassName."
    )


def _without_container(pod: Json, environment: str) -> PodFailure:
    """The pod is over, or was given up, and how the container ended is not known."""
    for status in _of_status(pod, "initContainerStatuses"):
        ended = _state(status, "terminated")
        if ended is not None and ended["exitCode"] != 0:
            return PodFailure(
                f"Environment {environment!r}: its init container {status['name']!r} ended with exit code "
                f"{ended['exitCode']} ({plain(ended.get('message')) or ended.get('reason')}); "
                "init_container_logs=True shows its log."
            )
    name = pod["metadata"]["name"]
    if is_going(pod):
        return PodLost(
            f"Environment {environment!r}: the node {pod['spec'].get('nodeName')} of the pod {name} does not "
            "answer, and the pod may still run there; look after the node."
        )
    if _status(pod).get("reason") == "DeadlineExceeded":
        return DeadlinePassed(
            f"Environment {environment!r}: the pod {name} reached its active_deadline_seconds "
            f"({pod['spec'].get('activeDeadlineSeconds')}) before its container started; raise it."
        )
    return PodLost(
        f"Environment {environment!r}: the pod {name} ended and how its container ended is not known "
        f"({plain(_status(pod).get('message')) or 'the cluster gives no message'}); look for what happened to its node."
    )


def why_taken(pod: Json | None, events: Iterable[Json]) -> str:
    """Why the cluster took a pod away, in its own words; empty where it does not say.

    Kubernetes 1.26 and newer mark the pod before they delete it; a scheduler and a taint write events.
    """
    reasons = [
        (condition.get("reason"), condition.get("message"))
        for condition in (_of_status(pod, "conditions") if pod is not None else [])
        if condition["type"] in _TAKING_CONDITIONS and condition["status"] == "True"
    ]
    reasons += [(event["reason"], event.get("message")) for event in events if event.get("reason") in _TAKING_EVENTS]
    return plain(f"{reasons[0][0]}: {reasons[0][1]}").rstrip(".") if reasons else ""


def reason_taken(pod: Json | None, name: str, why: str) -> str:
    """Why a pod was lost, in one word: the cluster's own, where `why_taken` says ``why``; else NodeLost or Deleted."""
    word = why.partition(":")[0] or str(_status(pod or {}).get("reason") or "")
    if word:
        return word if word.isalnum() else "Other"
    return "NodeLost" if pod is not None and is_going(pod) and terminated(pod, name) is None else "Deleted"


def start_seconds(pod: Json, name: str) -> float | None:
    """Seconds from a node taking the pod to its container's start, in whole ones; None where not known."""
    taken, ran = scheduled(pod), began(pod, name)
    return max(0.0, (ran - taken).total_seconds()) if taken and ran else None


def began(pod: Json, name: str) -> datetime | None:
    """When the container started; None where it has not, or the kubelet does not say."""
    state = _state(container(pod, name), "running") or terminated(pod, name) or {}
    return moment(state.get("startedAt"))


def scheduled(pod: Json) -> datetime | None:
    """When a node took the pod."""
    for condition in _of_status(pod, "conditions"):
        if condition["type"] == "PodScheduled" and condition["status"] == "True":
            return moment(condition.get("lastTransitionTime"))
    return None


def where(pod: Json, name: str) -> dict[str, Any]:
    """The pod, its node and when what happened to it, for a record; without what is not known."""
    over = terminated(pod, name) or {}
    times = {
        "created": moment(pod["metadata"].get("creationTimestamp")),
        "scheduled": scheduled(pod),
        "started": began(pod, name),
        "ended": moment(over.get("finishedAt")),
    }
    return {
        "pod": f"{pod['metadata'].get('namespace')}/{pod['metadata'].get('name')}",
        "node": pod["spec"].get("nodeName"),
        "times": {step: at.isoformat() for step, at in times.items() if at is not None} or None,
    }


def unschedulable(pod: Json) -> str:
    """The scheduler's own words on why no node takes the pod; empty when one has, or when it said nothing yet."""
    for condition in _of_status(pod, "conditions"):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return plain(condition.get("message"))
    return ""


def _is_refused_by_node(pod: Json) -> bool:
    """True if the kubelet did not take the pod that the scheduler had given to it."""
    reason = str(_status(pod).get("reason", ""))
    return reason.startswith(("UnexpectedAdmissionError", "OutOf")) or reason == "NodeAffinity"


def _status(pod: Json) -> Json:
    return pod.get("status") or {}


def _of_status(pod: Json, field: str) -> list[Json]:
    return _status(pod).get(field) or []


def _state(status: Json | None, kind: str) -> Json | None:
    """The state ``waiting``, ``running`` or ``terminated`` of a container; None where it is in another one."""
    found = (status or {}).get("state") or {}
    return found[kind] or {} if kind in found else None


def _starting(pod: Json, name: str) -> Iterator[Json]:
    """The statuses of the containers that must start for the container ``name`` to run."""
    yield from _of_status(pod, "initContainerStatuses")
    if status := container(pod, name):
        yield status
