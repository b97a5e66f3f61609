"""Wait for a pod's start, follow it to its end, and read its result."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from datetime import UTC, datetime

from podenv.errors import OutOfMemory, PodLost, StartTimedOut, TaskFailure, Unschedulable
from podenv.pods import pool, room, status
from podenv.pods.attach import Answer
from podenv.pods.client import Json, KubernetesClient
from podenv.pods.events import PodEvents
from podenv.pods.follow import PodFollower, PodName
from podenv.pods.manifest import CONTAINER
from podenv.pods.refusal import refusals
from podenv.pods.request import PodRequest
from podenv.runtime.call import Result
from podenv.runtime.frame import FrameReader
from podenv.usage.tally import Tally

END_SECONDS = 5.0  # for the status that says how a container ended, once its result has come
SLOW_START_SECONDS = 5.0  # after which the log says what the start was spent on
_PULLED = re.compile(r"Successfully pulled image .* in ([0-9a-zµ.]+)")


Start = tuple[Json, TaskFailure | None]


class PodWatch:
    """One pod that exists, until it brought a result or never will; `stop` ends that from a signal handler."""

    def __init__(self, client: KubernetesClient, events: PodEvents, request: PodRequest, tally: Tally) -> None:
        self._client = client
        self._events = events
        self._request = request
        self._tally = tally
        self._reader = FrameReader(request.token, self._line)
        name = PodName(request.namespace, request.name, CONTAINER)
        self._follower = PodFollower(client, name, take=self._reader.feed)
        self._pod: Json | None = None
        self._last_line = ""
        self._started = False

    @property
    def started(self) -> bool:
        """True if the container may have run, as far as was seen."""
        return self._started or self._follower.vanished

    @property
    def pod(self) -> Json | None:
        """The pod as it was seen last."""
        return self._follower.last or self._pod

    def stop(self) -> None:
        """End what is under way at once; ``client.stopped`` is set before."""
        self._follower.stop()

    def result_of(self, pod: Json, *, adopted: bool, answer: Answer | None = None) -> Result:
        """The Result that ``pod`` brings; ``answer``: of an idle one, to its Call. Raises a `TaskFailure`."""
        self._pod = pod
        with refusals(self._request.environment, "follow the pod"):
            if answer is None:
                self._pod = self._await_start(pod, adopted=adopted)
            self._started = status.may_have_started(self._pod, CONTAINER)
            self._events.started(self._pod)
            if answer is None or answer.result is None:  # what was heard is in the log too
                return self._judged(*self._followed())
            for line in answer.lines:
                self._line(line)
            return self._judged(answer.result, None)

    def _line(self, line: str) -> None:
        self._last_line = line
        # Where the log is not asked for, only the frame in it is of interest.
        if self._request.follow:
            self._events.line(line)

    def _has_result(self) -> bool:
        return self._reader.result is not None

    def _followed(self) -> tuple[Result, Json | None]:
        """The Result from the log or the status, and the pod if it was seen to be over."""
        request, over = self._request, None
        assert self._pod is not None
        if request.follow:
            is_over = status.is_over(self._pod, CONTAINER)
            over = self._follower.follow_log(self._has_result, over=is_over)
        else:
            over = self._await_end()
            if over is not None and status.is_over(over, CONTAINER) and _message(over) is None:
                self._follower.read_log(over, self._has_result, frame_only=True)
        self._pod = over or self._pod
        self._reader.close()
        self._client.refuse_stopped()
        result = self._reader.result or (_message(over) if over is not None else None)
        if result is None:
            assert over is not None
            raise status.after_end(
                over, CONTAINER, request.environment,
                limit=request.memory, memory_hint=_memory_hint(request), last_line=self._last_line,
            )  # fmt: skip
        return result, over

    def _judged(self, result: Result, over: Json | None) -> Result:
        """The Result, once the end of its container does not belie it."""
        request = self._request
        if over is None and (result.error is not None or self._events.wants_end):
            with suppress(PodLost):
                over = self._await_end(END_SECONDS)
            self._pod = over or self._pod
        ended = over and status.terminated(over, CONTAINER)
        if result.error is not None and ended and ended.get("reason") == "OOMKilled":
            # What it raised is about a child process that the kernel ended.
            raise OutOfMemory(request.environment, request.memory, _memory_hint(request))
        return result

    def _await_start(self, pod: Json, *, adopted: bool) -> Json:
        """Wait until the container runs or is over; tell where it runs and how long each step took."""
        request = self._request
        began = time.monotonic() - (_since(status.moment(pod["metadata"]["creationTimestamp"])) if adopted else 0)
        scheduled: list[float] = []
        words = {"scheduler": "", "kubelet": ""}
        line = room.Line(self._client, self._events, request)
        queued = bool(status.label(pod, room.QUEUE_LABEL))
        wait = room.Wait(began, request.timeouts.schedule, request.timeouts.room, gated=queued)

        def decide(pod: Json) -> Start | None:
            self._pod = pod
            if pod["spec"].get("nodeName") and not scheduled:
                scheduled.append(time.monotonic() - (_since(status.scheduled(pod)) if adopted else 0))
                self._tally.waited_seconds += line.seconds
            words["scheduler"] = status.unschedulable(pod) or words["scheduler"]
            if not scheduled:
                line.see(pod, wait)
            words["kubelet"] = status.waits_for(pod, CONTAINER) or words["kubelet"]
            if status.is_over(pod, CONTAINER) or status.is_running(pod, CONTAINER):
                return pod, None
            failure = status.before_start(pod, CONTAINER, request.environment)
            return (pod, failure) if failure is not None else None

        def deadline() -> float:
            if scheduled:
                return scheduled[0] + request.timeouts.start
            line.remind(wait)
            return wait.end

        at_most = min(request.timeouts.schedule, request.timeouts.start, room.TELL_SECONDS)
        decision = self._follower.watch(decide, deadline, at_most=at_most, since=None if adopted else pod)
        if decision is None:
            self._tally.waited_seconds += 0 if scheduled else line.seconds
            raise _late(request, bool(scheduled), words, wait)
        pod, failure = decision
        if failure is not None:
            raise failure
        now = time.monotonic()
        start = now - scheduled[0] if scheduled else 0.0
        took = status.start_seconds(pod, CONTAINER) if adopted else start
        if took is not None and not pool.is_claimed(pod):  # an idle pod's start was no part of this task
            self._tally.starts.append(took)
        where = f"Pod {request.namespace}/{request.name} runs on node {pod['spec'].get('nodeName')}"
        self._events.note(
            f"{where}: created {now - began:.0f} s ago."
            if adopted
            else f"{where}: scheduled after {now - start - began:.1f} s, image and start took {start:.1f} s"
            f"{self._pulled() if start > SLOW_START_SECONDS else ''}."
        )
        return pod

    def _await_end(self, seconds: float = float("inf")) -> Json | None:
        """The pod once its container is over, or its node is lost; None after ``seconds``."""
        deadline = time.monotonic() + seconds

        def decide(pod: Json) -> Json | None:
            self._pod = pod
            ended = status.is_over(pod, CONTAINER) or status.node_is_lost(pod, CONTAINER, datetime.now(UTC))
            return pod if ended else None

        return self._follower.watch(decide, lambda: deadline)

    def _pulled(self) -> str:
        """How long the image was pulled, where the pod's events say it."""
        for event in self._client.events_of(self._request.namespace, self._request.name):
            if pulled := _PULLED.search(event.get("message") or ""):
                return f" (pulling the image {pulled[1]})"
        return ""


def _message(pod: Json) -> Result | None:
    """The result in the container's termination message."""
    ended = status.terminated(pod, CONTAINER) or {}
    reader = FrameReader(status.token_of(pod), lambda line: None)
    reader.feed(str(ended.get("message") or "").encode())
    reader.close()
    return reader.result


def _since(moment: datetime | None) -> float:
    """Seconds since ``moment``; 0 where it is not known."""
    return max(0.0, (datetime.now(UTC) - moment).total_seconds()) if moment else 0.0


def _memory_hint(request: PodRequest) -> str:
    return f"Raise {'max_memory' if request.max_memory else 'memory'} of the task, or let it hold less at a time."


def _selected(pod: Json, scheduler: str) -> str:
    """The nodes that the pod selects, where it is for them that the ``scheduler`` found none; else nothing."""
    selected = ", ".join(f"{key}={value}" for key, value in sorted((pod["spec"].get("nodeSelector") or {}).items()))
    if not selected or not re.search("affinity|selector", scheduler):
        return ""
    return f", for it selects nodes with {selected} (nodeSelector, image.platform)"


def _late(request: PodRequest, scheduled: bool, words: dict[str, str], wait: room.Wait) -> TaskFailure:
    waited = f"{time.monotonic() - wait.turn:.0f} s"
    if not scheduled and wait.gated:
        return Unschedulable(
            f"Environment {request.environment!r}: the pod waited {waited} for {wait.reason}; see why it is held with "
            f"`kubectl describe workloads -n {request.namespace}` (Kueue), ask for less, or raise room_timeout."
        )
    if not scheduled and wait.larger:
        return Unschedulable(
            f"Environment {request.environment!r}: no node is large enough for the pod, were it empty: it asks for "
            f"{wait.larger}; ask for less, or add larger nodes."
        )
    if not scheduled and wait.reason:
        return Unschedulable(
            f"Environment {request.environment!r}: no node had room for the pod for {waited} "
            f"({words['scheduler']}); ask for less, add nodes, or raise room_timeout."
        )
    if not scheduled:
        selected = _selected(request.pod, words["scheduler"])
        return Unschedulable(
            f"Environment {request.environment!r}: no node took the pod within {request.timeouts.schedule:.0f} s "
            f"({words['scheduler'] or 'the scheduler gives no reason'}){selected}; "
            "ask for less, add nodes, or raise schedule_timeout_seconds."
        )
    return StartTimedOut(
        f"Environment {request.environment!r}: the container did not start within {request.timeouts.start:.0f} s "
        f"({words['kubelet'] or 'the kubelet gives no reason'}); "
        "see why it takes so long, or raise startup_timeout_seconds."
    )
