"""Launch a pod, follow it, decide what came of it, and launch it again where that helps.

Knows no Airflow: a client, a launch, somebody who is told what happens.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from datetime import UTC, datetime

from kubernetes.client import ApiException, CoreV1Event, V1Pod
from urllib3.exceptions import HTTPError

from podenv.errors import OutOfMemory, PodLost, StartTimedOut, TaskFailure, Unschedulable
from podenv.pods import failures
from podenv.pods.api import LIMITS, Api
from podenv.pods.follow import PodFollower, PodName
from podenv.pods.launch import Launch, token_of
from podenv.pods.pod import CONTAINER
from podenv.pods.slot import PodSlot
from podenv.runtime.call import Result
from podenv.runtime.frame import FrameReader

RELAUNCHES = 3  # in one try of the task, of a pod that the cluster took away
END = 5.0  # seconds for the status that says how a container ended, once its result is there
SLOW_START = 5.0  # seconds after which the log says what the start was spent on
_PULLED = re.compile(r"Successfully pulled image .* in ([0-9a-zµ.]+)")


def events_of(api: Api, namespace: str, pod: str) -> list[CoreV1Event]:
    """What the cluster tells of a pod; empty where it may not be read."""
    try:
        listed = api.core().list_namespaced_event(
            namespace, field_selector=f"involvedObject.name={pod}", _request_timeout=LIMITS
        )
    except (ApiException, HTTPError):
        return []
    return list(listed.items)


class Observer:
    """Is told what happens to the pods of a run; here it hears nothing."""

    wants_end = False
    """Whether `ended` needs the pod's last status, which comes a second after the result."""

    def line(self, line: str) -> None:
        """A line of the container's log."""

    def note(self, text: str) -> None:
        """What podenv says of the pod."""

    def created(self, pod: V1Pod) -> None:
        """Before anything is waited for."""

    def started(self, pod: V1Pod) -> None:
        """The container runs, or has ended already."""

    def ended(self, pod: V1Pod, *, failed: bool) -> None:
        """It brought a result, or never will; it is still there."""

    def cleaned(self, pod: V1Pod) -> None:
        """It was deleted or left, as the launch says."""


class PodRun:
    """One try of a task: as many pods as it takes."""

    def __init__(self, api: Api, observer: Observer) -> None:
        self._api = api
        self._observer = observer
        self._follower: PodFollower | None = None
        self._seen: V1Pod | None = None  # the pod that is followed, as it was last
        self._slot = PodSlot(api, note=observer.note)

    def run(self, launch: Launch, *, adopted: V1Pod | None = None) -> Result:
        """The function's Result. ``adopted`` is a pod of this very launch that an earlier worker left.

        Raises a `TaskFailure`.
        """
        while True:
            try:
                return self.once(launch, adopted)
            except (OutOfMemory, PodLost) as error:
                launch, adopted = self.after(error, launch if adopted is None else launch.as_it_is(adopted)), None

    def after(self, error: OutOfMemory | PodLost, launch: Launch) -> Launch:
        """What to launch after ``launch`` failed so. Raises ``error`` where that does not help."""
        self._api.refuse_stopped()
        if isinstance(error, PodLost):
            error = self._explained(error, launch)
        if not _is_launched_again(error, launch):
            raise error
        if larger := isinstance(error, OutOfMemory) and launch.larger():
            self._observer.note(f"{error} It is started again with {larger.memory} (max_memory {launch.max_memory}).")
            return larger.again(counted=False)
        again = launch.again(counted=True)
        self._observer.note(f"{error} It is started again ({again.starts} of at most {RELAUNCHES} times).")
        return again

    def _explained(self, error: PodLost, launch: Launch) -> PodLost:
        """``error`` with what the cluster says of why it took the pod away."""
        why = failures.taken(self._seen, events_of(self._api, launch.namespace, launch.name))
        return PodLost(f"{error} The cluster says: {why}.") if why else error

    def kill(self) -> None:
        """Delete the pod and end `run`, which raises `Killed`; for a signal handler: it raises and logs nothing."""
        self._api.stopped = True
        self._slot.kill()
        if self._follower is not None:
            self._follower.stop()

    def drop(self, launch: Launch, pod: V1Pod) -> None:
        """Delete ``pod``, which nobody waits for any longer."""
        self._slot.take(launch, pod)
        self._slot.empty()

    def create(self, launch: Launch) -> V1Pod:
        """Create the pod. Raises `PodFailure`, `Killed`."""
        pod = self._slot.fill(launch)
        self._observer.created(pod)
        return pod

    def once(self, launch: Launch, adopted: V1Pod | None = None) -> Result:
        """The Result of one pod. Raises a `TaskFailure`."""
        if adopted is not None:
            launch = launch.as_it_is(adopted)
            self._slot.take(launch, adopted)
        self._seen = pod = adopted or self.create(launch)
        keep = False
        try:
            if adopted is not None and not failures.is_running(adopted, CONTAINER):
                self._slot.give_secret(adopted)  # its worker may have ended between the two
            result, pod = self._follow(launch, pod, adopted=adopted is not None)
            self._api.refuse_stopped()
            self._observer.ended(pod, failed=result.error is not None)
            keep = not launch.finish.deletes(succeeded=result.error is None, active=False)
            return result
        except TaskFailure as error:
            pod = self._seen
            # One that is launched again must not be found beside its successor.
            if not self._api.stopped and not _is_launched_again(error, launch):
                over = failures.is_over(pod, CONTAINER)
                self._observer.ended(pod, failed=True)
                keep = not launch.finish.deletes(succeeded=False, active=not over)
                keep = keep and (over or not isinstance(error, PodLost))  # a lost one is on its way out
            raise
        finally:
            self._follower = None
            self._slot.empty(keep=keep or (self._api.stopped and launch.keep_when_killed))
            self._observer.cleaned(pod)

    def _follow(self, launch: Launch, pod: V1Pod, *, adopted: bool) -> tuple[Result, V1Pod]:
        try:
            return self._followed(launch, pod, adopted=adopted)
        except ApiException as error:
            raise failures.refusal(error, launch.environment, "follow the pod") from None

    def _followed(self, launch: Launch, pod: V1Pod, *, adopted: bool) -> tuple[Result, V1Pod]:
        began = time.monotonic() - (_age(pod.metadata.creation_timestamp) if adopted else 0)
        # Where the log is not asked for, what stands before the frame is nobody's.
        reader = FrameReader(token_of(pod), self._observer.line if launch.follow else lambda line: None)
        name = PodName(launch.namespace, launch.name, CONTAINER)
        self._follower = follower = PodFollower(self._api, name, take=reader.feed)
        self._seen = pod = self._await_start(follower, launch, began, adopted=adopted)
        self._observer.started(pod)
        over: V1Pod | None = None
        if launch.follow:
            over = follower.follow_log(lambda: reader.result is not None, over=failures.is_over(pod, CONTAINER))
        elif (over := _await_end(follower)) and failures.is_over(over, CONTAINER) and _message(over) is None:
            follower.read_log(frame_only=True)
        self._seen = over or pod
        reader.close()
        self._api.refuse_stopped()
        result = reader.result or (over and _message(over))
        if result is None:
            assert over is not None
            raise failures.after_end(
                over, CONTAINER, launch.environment, limit=launch.memory, memory_hint=_memory_hint(launch)
            )
        if over is None and (result.error is not None or self._observer.wants_end):
            with suppress(PodLost):
                over = _await_end(follower, END)
        ended = over and failures.terminated(over, CONTAINER)
        if result.error is not None and ended is not None and ended.reason == "OOMKilled":
            # What it raised is about a child process that the kernel ended.
            raise OutOfMemory(launch.environment, launch.memory, _memory_hint(launch))
        self._observer.note(f"The function ran {result.seconds:.1f} s on Python {result.python}.")
        return result, over or pod

    def _await_start(self, follower: PodFollower, launch: Launch, began: float, *, adopted: bool) -> V1Pod:
        """Wait until the container runs or is over; tell where it runs and how long each step took."""
        scheduled: list[float] = []
        words = {"scheduler": "", "kubelet": ""}

        def decide(pod: V1Pod) -> V1Pod | TaskFailure | None:
            if pod.spec.node_name and not scheduled:
                scheduled.append(time.monotonic() - (_age(failures.scheduled(pod)) if adopted else 0))
            words["scheduler"] = failures.unschedulable(pod) or words["scheduler"]
            words["kubelet"] = failures.waits_for(pod, CONTAINER) or words["kubelet"]
            if failures.is_over(pod, CONTAINER) or failures.is_running(pod, CONTAINER):
                return pod
            secret = launch.name if launch.secret else ""
            return failures.before_start(pod, CONTAINER, launch.environment, secret=secret)

        def deadline() -> float:
            return scheduled[0] + launch.start_timeout if scheduled else began + launch.schedule_timeout

        said = follower.watch(decide, deadline, at_most=min(launch.schedule_timeout, launch.start_timeout))
        if isinstance(said, TaskFailure):
            raise said
        if said is None:
            raise _late(launch, bool(scheduled), words)
        now = time.monotonic()
        took = now - scheduled[0]
        where = f"Pod {launch.namespace}/{launch.name} runs on node {said.spec.node_name}"
        self._observer.note(
            f"{where}: created {now - began:.0f} s ago."
            if adopted
            else f"{where}: scheduled after {scheduled[0] - began:.1f} s, image and start took {took:.1f} s"
            f"{self._pulled(launch) if took > SLOW_START else ''}."
        )
        return said

    def _pulled(self, launch: Launch) -> str:
        """How long the image was pulled, where the pod's events say it."""
        for event in events_of(self._api, launch.namespace, launch.name):
            if pulled := _PULLED.search(event.message or ""):
                return f" (pulling the image {pulled[1]})"
        return ""


def _is_launched_again(error: TaskFailure, launch: Launch) -> bool:
    if isinstance(error, OutOfMemory):
        return launch.larger() is not None
    return isinstance(error, PodLost) and launch.starts < RELAUNCHES


def _await_end(follower: PodFollower, seconds: float = float("inf")) -> V1Pod | None:
    """The pod once its container is over, or its node is lost; None after ``seconds``."""
    deadline = time.monotonic() + seconds

    def decide(pod: V1Pod) -> V1Pod | None:
        ended = failures.is_over(pod, CONTAINER) or failures.node_is_lost(pod, CONTAINER, datetime.now(UTC))
        return pod if ended else None

    return follower.watch(decide, lambda: deadline)


def _message(pod: V1Pod) -> Result | None:
    """The result in the container's termination message."""
    ended = failures.terminated(pod, CONTAINER)
    reader = FrameReader(token_of(pod), lambda line: None)
    reader.feed(((ended and ended.message) or "").encode())
    reader.close()
    return reader.result


def _age(moment: datetime | None) -> float:
    """Seconds since ``moment``; 0 where nobody knows it."""
    return max(0.0, (datetime.now(UTC) - moment).total_seconds()) if moment else 0.0


def _memory_hint(launch: Launch) -> str:
    return f"Raise {'max_memory' if launch.max_memory else 'memory'} of the task, or let it hold less at a time."


def _late(launch: Launch, scheduled: bool, words: dict[str, str]) -> TaskFailure:
    if not scheduled:
        return Unschedulable(
            f"Environment {launch.environment!r}: no node took the pod within {launch.schedule_timeout:.0f} s "
            f"({words['scheduler'] or 'the scheduler said nothing'}); "
            "ask for less, add nodes, or raise schedule_timeout_seconds."
        )
    return StartTimedOut(
        f"Environment {launch.environment!r}: the container did not start within {launch.start_timeout:.0f} s "
        f"({words['kubelet'] or 'the kubelet said nothing'}); "
        "see why it takes so long, or raise startup_timeout_seconds."
    )
