"""The one owner of a task's pods: creates, adopts, follows, keeps, deletes and launches again, as `decisions` says.

Everything after a create request stands inside one guard, what is told to `PodEvents` included: whatever leaves it,
the pod is deleted or left on purpose.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from podenv.errors import ClusterUnreachable, PodLost, PodNameTaken, TaskFailure
from podenv.pods import decisions, pool, room, status
from podenv.pods.attach import Answer, Attachment
from podenv.pods.claim import IdlePods
from podenv.pods.client import Json, KubernetesClient, Patience, reason_of, words_of
from podenv.pods.decisions import CHECKED_LABEL, End
from podenv.pods.events import PodEvents
from podenv.pods.manifest import CONTAINER
from podenv.pods.refusal import refusal, refusals
from podenv.pods.request import PodRequest, Relaunches
from podenv.pods.watching import PodWatch
from podenv.runtime.call import Result
from podenv.usage.tally import OUT_OF_MEMORY, Tally

DELETION_SECONDS = 15.0  # for which a deletion is tried while the server is away
NAME_SECONDS = 60.0  # that a pod of the same name, of the try before, may take to go

T = TypeVar("T")


@dataclass
class _Held:
    """The pod that may exist, from before its creation until after its deletion; ``uid`` once it is known."""

    request: PodRequest
    uid: str | None = None


class PodLife:
    """One execution of a task: as many pods as it takes, one at a time."""

    def __init__(self, client: KubernetesClient, events: PodEvents) -> None:
        self._client = client
        self._events = events
        self._held: _Held | None = None
        self.pod: Json | None = None
        """The pod as it was seen last."""
        self._watch: PodWatch | None = None
        self._answer: Answer | None = None
        self.result: Result | None = None
        """What the last pod brought."""
        self._tally = Tally()

    @property
    def tally(self) -> Tally:
        """What it took so far."""
        self._tally.requests = self._client.requests
        return self._tally

    @property
    def usage(self) -> dict[str, float]:
        """What the last pod's function used, in the words of `podenv.runtime.usage`."""
        return self.result.usage if self.result is not None else {}

    @property
    def seconds(self) -> float | None:
        """How long the function ran, or else the last pod's container; None where it did not, or is not known."""
        if self.result is not None:
            return self.result.seconds
        return None if self.pod is None else status.ran_seconds(self.pod, CONTAINER)

    @property
    def where(self) -> dict[str, Any]:
        """The last pod, as `podenv.usage.record.TaskUsage` has it."""
        return {} if self.pod is None else status.where(self.pod, CONTAINER)

    def run(self, request: PodRequest, *, adopted: Json | None = None) -> Result:
        """The function's Result. ``adopted`` is a pod of this very work that an earlier worker left.

        Raises a `TaskFailure`.
        """
        while True:
            try:
                return self.once(request, adopted)
            except TaskFailure as error:
                request, adopted = self.next_request(error, request, self.pod), None

    def once(
        self, request: PodRequest, adopted: Json | None = None, *, tell: Callable[[Json], None] | None = None
    ) -> Result:
        """The Result of one pod; ``tell`` replaces `PodEvents.created`. Raises a `TaskFailure`."""

        def follow(request: PodRequest, pod: Json) -> tuple[Result, End]:
            if pod is adopted and not status.may_have_started(pod, CONTAINER):
                self._give_secret(request, pod)  # its worker may have ended between the two
            self._watch = PodWatch(self._client, self._events, request, self._tally)
            self.result = result = self._watch.result_of(pod, adopted=pod is adopted, answer=self._answer)
            self.pod = self._watch.pod
            self._client.refuse_stopped()
            failed = result.error is not None
            self._events.ended(self.pod or pod, failed=failed)
            return result, End.RAISED if failed else End.SUCCEEDED

        return self._guarded(request, adopted, tell or self._events.created, follow)

    def hand_over(self, request: PodRequest, give: Callable[[Json], T], *, adopted: Json | None = None) -> T:
        """What ``give`` returns for the pod, which something else follows from then on. Raises a `TaskFailure`."""

        def hand(request: PodRequest, pod: Json) -> tuple[T, End]:
            given = give(pod)
            self._client.refuse_stopped()  # the pod of a killed task is gone: nothing can follow it
            return given, End.HANDED_OVER

        return self._guarded(request, adopted, self._events.created, hand)

    def abandon(self, request: PodRequest, pod: Json) -> None:
        """End the interest in ``pod`` because the task ran out of time: delete it, or leave it as the task says."""
        self._held, self.pod = _Held(request.of_pod(pod), pod["metadata"]["uid"]), pod
        self._settle(End.INTERRUPTED)

    def look(self, request: PodRequest) -> Json | None:
        """The pod that has the request's name; None where there is none. Raises `PodFailure`, `Killed`."""
        with refusals(request.environment, f"read a pod in {request.namespace}"):
            try:
                return self._client.read_pod(request.namespace, request.name)
            except ApiException as error:
                if error.status == 404:
                    return None
                raise

    def find(self, request: PodRequest, selector: str) -> Json | None:
        """A pod that an earlier worker left of this very work; other leftovers of the task are deleted.

        ``selector`` must match no pod but those of this task in this run. Raises `PodFailure`, `Killed`.
        """
        with refusals(request.environment, f"list pods in {request.namespace}"):
            left = self._client.list_pods(request.namespace, selector)
        adopted, stale = decisions.choose(left, request)
        self._tally.adoptions += adopted is not None
        for pod in stale:
            with suppress(ApiException, HTTPError):  # the cluster removes it, or the next try does
                metadata = pod["metadata"]
                self._client.delete_pod(metadata["namespace"], metadata["name"], uid=metadata["uid"])
        return adopted

    def next_request(
        self,
        error: TaskFailure,
        request: PodRequest,
        pod: Json | None,
        *,
        fresh: Callable[[], PodRequest] | None = None,
    ) -> PodRequest:
        """What to launch after the ``pod`` of ``request`` failed so. Raises ``error`` where that does not help.

        ``fresh`` makes the request to launch where ``request`` is known from its pod only.
        """
        if self._client.stopped:
            raise error
        before = request.of_pod(pod) if pod is not None else request
        started = self._started(pod)
        again = decisions.relaunch(error, before, started=started)
        reason = OUT_OF_MEMORY
        if isinstance(error, PodLost):
            why = status.why_taken(self.pod, self._client.events_of(before.namespace, before.name))
            reason = status.reason_taken(self.pod, CONTAINER, why)
            error = _explained(error, before, why, rerun_refused=again is None and started)
        if again is None:
            raise error
        following = (fresh() if fresh else request).again(before, counted=again.counted).with_memory(before.memory)
        self._tally.relaunches[reason] += 1
        anywhere = following.without_spot(last=again.counted and following.starts == again.most)
        if anywhere is not following and again.counted:
            self._events.note("The next pod may run on nodes that are not spot nodes too.")
        following = anywhere
        if again.grown:
            larger = following.larger(before.memory)
            assert larger is not None
            self._events.note(f"{error} It is started again with {larger.memory} (max_memory {larger.max_memory}).")
            return larger
        self._events.note(f"{error} It is started again ({following.starts} of at most {again.most} times).")
        return following

    def kill(self) -> None:
        """Delete the pod and end `run`, which raises `Killed`; for a signal handler: it raises and logs nothing."""
        self._client.stopped = True
        held = self._held
        if held is not None and held.uid is not None and not decisions.keeps(held.request, End.KILLED, over=False):
            with suppress(Exception):  # `_settle` comes too
                self._delete(held.request, held.uid, in_signal=True)
        if self._watch is not None:
            self._watch.stop()

    def _guarded(
        self,
        request: PodRequest,
        adopted: Json | None,
        tell: Callable[[Json], None],
        work: Callable[[PodRequest, Json], tuple[T, End]],
    ) -> T:
        """What ``work`` returns for the pod, which has ended as it must when this returns or raises."""
        end, self.pod, self._watch, self._answer, self.result = End.INTERRUPTED, adopted, None, None, None
        try:
            if adopted is not None:
                self._held = _Held(request.of_pod(adopted), adopted["metadata"]["uid"])
                self.pod = self._with_call(request, adopted)
            self.pod = self.pod or self._claim(request) or self._create(request)
            request = self._held.request if self._held is not None else request
            tell(self.pod)
            value, end = work(request, self.pod)
            return value
        except TaskFailure as error:
            end = self._end_of(error, request)
            raise
        finally:
            self._settle(End.KILLED if self._client.stopped else end)

    def _end_of(self, error: TaskFailure, request: PodRequest) -> End:
        if self._watch is not None and self._watch.pod is not None:
            self.pod = self._watch.pod
        if self.pod is None or self._client.stopped:
            return End.INTERRUPTED
        if decisions.relaunch(error, request, started=self._started(self.pod)) is not None:
            return End.REPLACED
        self._events.ended(self.pod, failed=True)
        return End.LOST if isinstance(error, PodLost) else End.FAILED

    def _settle(self, end: End) -> None:
        """Delete the pod or leave it."""
        held, pod, self._held = self._held, self.pod, None
        if held is not None:
            if pod is None or not decisions.keeps(held.request, end, over=status.is_over(pod, CONTAINER)):
                self._held = held  # for a signal while it is deleted
                self._delete_patiently(held)
                self._held = None
            elif end not in (End.HANDED_OVER, End.KILLED):  # after these something else goes on with the pod
                self._mark(held)
        if pod is not None and end is not End.HANDED_OVER:
            self._events.cleaned(pod)

    def _claim(self, request: PodRequest) -> Json | None:
        """An idle pod that has the Call now; None where the task needs a new one. Raises a `TaskFailure`."""
        if request.pool is None:
            return None
        began, idle = time.monotonic(), IdlePods(self._client, self._events, request)
        with closing(Attachment(self._client, request.namespace)) as attachment:
            for candidate in idle.candidates():
                attachment.open()
                self._held = _Held(idle.expected(candidate))
                pod = idle.take(candidate)
                if pod is None:
                    self._held = None
                elif (pod := self._hand(request.of_pod(pod), idle, attachment)) is not None:
                    where = f"{request.namespace}/{pod['metadata']['name']} on node {pod['spec'].get('nodeName')}"
                    taken = (self._answer and self._answer.taken_at) or time.monotonic()
                    self._launched("idle", request)
                    self._tally.starts.append(taken - began)
                    self._events.note(f"Idle pod {where} took the task after {taken - began:.2f} s.")
                    return pod
                else:
                    break
        self._events.note(f"A new pod is created: {idle.why}.")
        return None

    def _with_call(self, request: PodRequest, adopted: Json) -> Json | None:
        """A pod that an earlier worker left, which has its Call; None where it could not get it, and is deleted."""
        if not pool.is_claimed(adopted) or status.is_over(adopted, CONTAINER):
            return adopted
        idle = IdlePods(self._client, self._events, request)
        if idle.got_before(adopted):
            return adopted
        with closing(Attachment(self._client, request.namespace)) as attachment:
            return self._hand(request.of_pod(adopted), idle, attachment)

    def _hand(self, request: PodRequest, idle: IdlePods, attachment: Attachment) -> Json | None:
        """The ``request``'s pod, which was idle, with its Call; None where it could not get it, and is deleted."""
        self._held = held = _Held(request, request.pod["metadata"]["uid"])
        self._client.refuse_stopped()
        self._answer = idle.hand(request.pod, attachment)
        if self._answer is not None:
            return request.pod
        self._delete_patiently(held)
        self._held = None
        return None

    def _create(self, request: PodRequest) -> Json:
        """Create the pod and the Secret it owns. Raises `PodFailure`, `Killed`."""
        pod = self._post(request)
        self._held = _Held(request, pod["metadata"]["uid"])
        self._launched("new", request)
        self._client.refuse_stopped()
        self._give_secret(request, pod)
        return pod

    def _launched(self, kind: str, request: PodRequest) -> None:
        self._tally.launches[kind] += 1
        self._tally.call_bytes = request.call_bytes

    def _post(self, request: PodRequest) -> Json:
        body, deadline = request.body(), time.monotonic() + NAME_SECONDS
        line = room.Line(self._client, self._events, request)
        while True:
            self._held = _Held(request)
            try:
                pod = self._client.create_pod(request.namespace, body)
                self._tally.waited_seconds += line.seconds
                return pod
            except ApiException as error:
                self._held = None  # a refused request leaves none behind; a pod of this name is another's
                if room.is_full(error):
                    line.outlive(error)
                    self._client.refuse_stopped()
                    deadline = time.monotonic() + NAME_SECONDS
                    continue
                if error.status != 409 or reason_of(error) != "AlreadyExists":
                    raise refusal(error, request.environment, f"create a pod in {request.namespace}") from None
            other = self.look(request)
            if other is not None and decisions.is_own(other, request):
                return other  # an earlier request arrived although its answer did not
            if (other is not None and not status.is_going(other)) or time.monotonic() >= deadline:
                raise PodNameTaken(
                    f"Environment {request.environment!r}: another pod {request.name}{_owner_of(other)} is in "
                    f"{request.namespace}; wait for its end or delete it, or leave random_name_suffix on."
                )
            self._client.pause(1.0)
            self._client.refuse_stopped()

    def _give_secret(self, request: PodRequest, pod: Json) -> None:
        body = request.secret_of(pod)
        if body is None:
            return
        with refusals(request.environment, f"create a Secret in {request.namespace}"):
            try:
                self._client.create_secret(request.namespace, body)
            except ApiException as error:
                # Its name holds the pod's token: one that exists was made by an earlier request for this very pod.
                if reason_of(error) != "AlreadyExists":
                    raise

    def _mark(self, held: _Held) -> None:
        """Label a pod that is left, so that the next try does not take its result for its own."""
        try:
            self._client.label_pod(held.request.namespace, held.request.name, {CHECKED_LABEL: "True"})
        except (ApiException, HTTPError) as error:
            if not isinstance(error, ApiException) or error.status != 404:
                self._events.note(
                    f"Pod {held.request.namespace}/{held.request.name} is kept, but not marked ({words_of(error)})."
                )

    def _delete_patiently(self, held: _Held) -> None:
        patience = Patience(self._client, allowed=True, seconds=DELETION_SECONDS)
        while True:
            try:
                if held.uid is None:  # whether the request to create or to take it arrived is not known
                    pod = self._client.find_pod(held.request.namespace, held.request.name)
                    if pod is not None and pool.is_idle(pod):
                        if self._delete_idle(held.request, pod):
                            return None
                        continue
                    held.uid = pod["metadata"]["uid"] if pod and decisions.is_own(pod, held.request) else None
                return self._delete(held.request, held.uid) if held.uid is not None else None
            except (ApiException, HTTPError) as error:
                try:
                    patience.outlive(error)
                except (ApiException, HTTPError, ClusterUnreachable):
                    return self._events.note(
                        f"Pod {held.request.namespace}/{held.request.name} could not be deleted ({words_of(error)}); "
                        "delete it with kubectl if it still exists."
                    )

    def _delete(self, request: PodRequest, uid: str, *, in_signal: bool = False) -> None:
        self._client.delete_pod(request.namespace, request.name, uid=uid, grace=request.grace, in_signal=in_signal)

    def _delete_idle(self, request: PodRequest, pod: Json) -> bool:
        """Delete an idle pod that the task may still take by a request under way; False if it changed meanwhile."""
        metadata = pod["metadata"]
        return self._client.delete_pod(
            request.namespace, request.name, uid=metadata["uid"], version=metadata["resourceVersion"], grace=0
        )

    def _started(self, pod: Json | None) -> bool:
        """True if the container may have run."""
        seen = self._watch.started if self._watch is not None else False
        return seen or status.may_have_started(pod, CONTAINER)


def _explained(error: PodLost, request: PodRequest, why: str, *, rerun_refused: bool) -> PodLost:
    """``error`` with ``why`` the cluster took the pod away, and why it is not launched again."""
    words = [str(error), *([f"The cluster says: {why}."] if why else [])]
    if rerun_refused and request.relaunches == Relaunches():  # else its author chose a number
        words.append(
            "Its function may have run, so it is not started again; set retries, or relaunch=N of the task or in "
            "the environment's values."
        )
    return PodLost(" ".join(words))


def _owner_of(pod: Json | None) -> str:
    """Whose pod it is, where its labels say so."""
    if pod is None:
        return ""
    owner = [f"{name} {value}" for name in ("dag_id", "task_id", "run_id") if (value := status.label(pod, name))]
    return f" ({', '.join(owner)})" if owner else ""
