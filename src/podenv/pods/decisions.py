"""What becomes of a pod: adopted, kept, deleted, launched again. Pure: decided here from data, done in `life`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from podenv.catalogue import names
from podenv.errors import OutOfMemory, PodLost, TaskFailure
from podenv.pods import status
from podenv.pods.client import Json
from podenv.pods.manifest import CONTAINER, base_container
from podenv.pods.request import FinishAction, PodRequest

# KubernetesPodOperator's own label on a pod that is kept and no longer followed.
CHECKED_LABEL = "already_checked"


class End(Enum):
    """How the interest in a pod ended."""

    SUCCEEDED = "it brought a value"
    RAISED = "it brought an error"
    FAILED = "it brought no result"
    LOST = "the cluster took it away"
    KILLED = "the task was asked to end"
    INTERRUPTED = "an exception that says nothing of the pod: a timeout, an error in a callback"
    REPLACED = "the task is launched again"
    HANDED_OVER = "a trigger follows it"


def keeps(request: PodRequest, end: End, *, over: bool) -> bool:
    """True if the pod is left; ``over``: its container has ended, which a result shows before the status does."""
    over = over or end in (End.SUCCEEDED, End.RAISED)
    if end is End.HANDED_OVER:
        return True
    if end is End.REPLACED:
        return False  # must not be found beside its successor
    if end is End.KILLED:
        return request.keep_when_killed
    if end is End.LOST and not over:
        return False  # it is on its way out
    action = request.on_finish
    return (
        action is FinishAction.KEEP
        or (action is FinishAction.DELETE_SUCCEEDED and end is not End.SUCCEEDED)
        or (action is FinishAction.DELETE_ACTIVE and over)
    )


@dataclass(frozen=True)
class Relaunch:
    """``grown``: with more memory; ``counted``: as one of ``most`` launches after the cluster took a pod away."""

    counted: bool
    grown: bool
    most: int = 0


def relaunch(error: TaskFailure, request: PodRequest, *, started: bool) -> Relaunch | None:
    """How to launch again after ``request`` failed with ``error``; None where that does not help or is not allowed.

    ``started``: the container may have run.
    """
    if isinstance(error, OutOfMemory):
        return Relaunch(counted=False, grown=True) if request.larger(request.memory) else None
    if isinstance(error, PodLost):
        most = request.relaunches.started if started else request.relaunches.unstarted
        return Relaunch(counted=True, grown=False, most=most) if request.starts < most else None
    return None


def choose(pods: Iterable[Json], request: PodRequest) -> tuple[Json | None, list[Json]]:
    """Of the ``pods`` that this task left in this run: the one to adopt, and those to delete.

    All of ``pods`` are this task's own; what is kept for a person to read, or is going already, stays.
    """
    mine = list(pods)
    same = [pod for pod in mine if is_same_work(pod, request)]
    adopted = max(same, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), default=None)
    stale = [
        pod for pod in mine if pod is not adopted and not status.is_going(pod) and not status.label(pod, CHECKED_LABEL)
    ]
    return adopted, stale


def is_same_work(pod: Json, request: PodRequest) -> bool:
    """True if ``pod`` does what ``request`` would, the same call on the same image, and can bring a result."""
    if status.is_going(pod) or status.label(pod, CHECKED_LABEL):
        return False
    try:
        image = base_container(pod).get("image")
    except KeyError:
        return False
    call = status.annotation(request.pod, names.CALL_ANNOTATION)
    if image != base_container(request.pod).get("image") or not call:
        return False
    if status.annotation(pod, names.CALL_ANNOTATION) != call:
        return False
    ended = status.terminated(pod, CONTAINER)
    return ended["exitCode"] == 0 if ended is not None else not status.is_over(pod, CONTAINER)


def is_own(pod: Json, request: PodRequest) -> bool:
    """True if ``pod`` came from this very ``request``."""
    return status.token_of(pod) == request.token
