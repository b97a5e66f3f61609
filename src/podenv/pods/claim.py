"""Take an idle pod for a task, and hand it the Call. What becomes of the pod afterwards is `life`'s."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import ClassVar

from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from podenv.call import warm
from podenv.catalogue import names
from podenv.errors import PodFailure, PodLost
from podenv.pods import pool, status
from podenv.pods.attach import ACK_SECONDS, Answer, Attachment, AttachRefused
from podenv.pods.client import Json, KubernetesClient
from podenv.pods.events import PodEvents
from podenv.pods.manifest import CONTAINER
from podenv.pods.refusal import refusals
from podenv.pods.request import PodRequest

TRIES = 4  # of idle pods that others took first, until a task takes a new one
SWEEPS = 16  # of as many tasks, one looks for pods that were taken and never got their Call
SWEPT = 5  # of the pods that were taken long ago, how many it looks at
_LOG_BYTES = 1024 * 1024


class IdlePods:
    """The idle pods of a request's environment, as one task sees them."""

    refusing: ClassVar[set[tuple[str, str]]] = set()  # servers and namespaces where nobody can attach

    def __init__(self, client: KubernetesClient, events: PodEvents, request: PodRequest) -> None:
        self._client = client
        self._events = events
        self._request = request
        self.why = ""
        self._tried: set[str] = set()

    def candidates(self) -> Iterator[Json]:
        """Idle pods that can take the Call, those first that have surely started; none where `why` says why.

        Raises `PodFailure`, `Killed`.
        """
        assert self._request.pool is not None
        self.why = "nobody can attach to pods here" if self._place in self.refusing else ""
        self.why = self.why or pool.why_unlike(self._request.pod, self._request.pool)
        if random.randrange(SWEEPS) == 0:  # noqa: S311
            self.sweep()
        while not self.why and len(self._tried) < TRIES:
            ready = self._ready()
            if not ready:
                break
            for pod in ready[: TRIES - len(self._tried)]:
                self._tried.add(pod["metadata"]["uid"])
                if self._is_unfit(pod):
                    return
                yield pod
        if not self.why:
            self.why = "others took the idle ones" if self._tried else "no pod is idle"

    def _is_unfit(self, pod: Json) -> bool:
        self.why = pool.why_unfit(self.variables(pod), pod)
        return bool(self.why)

    def _ready(self) -> list[Json]:
        """The idle pods that were not tried yet."""
        request = self._request
        assert request.pool is not None
        selector = f"{names.WARM_LABEL}={request.environment},{names.TEMPLATE_LABEL}={request.pool.hash}"
        with refusals(request.environment, f"list pods in {request.namespace}"):
            found = self._client.list_pods(request.namespace, selector, running=True)
        now = datetime.now(UTC)
        ready = [pod for pod in found if pod["metadata"]["uid"] not in self._tried and pool.is_ready(pod, request.pod)]
        random.shuffle(ready)
        return sorted(ready, key=lambda pod: pool.is_young(pod, now))

    def expected(self, idle: Json) -> PodRequest:
        """The request as it is once ``idle`` is its pod."""
        return self._request.of_pod(pool.as_claimed(idle, self._request.pod, datetime.now(UTC)))

    def take(self, idle: Json) -> Json | None:
        """The pod once it is the task's; None where another task has it. Raises `PodFailure`, `Killed`."""
        namespace, name = self._request.namespace, idle["metadata"]["name"]
        try:
            patch = pool.claim(idle, self._request.pod, datetime.now(UTC))
            pod: Json | None = self._client.patch_pod(namespace, name, patch)
        except (ApiException, HTTPError) as error:
            if isinstance(error, ApiException) and error.status in (404, 409, 422):
                return None
            pod = self._looked_up(namespace, name)  # whether it took effect is not known
        if pod is None or status.token_of(pod) != self._request.token:
            return None
        if not pool.is_ready(pod, self._request.pod):  # it ended meanwhile
            with suppress(ApiException, HTTPError):  # a next try deletes it too
                self._client.delete_pod(namespace, name, uid=pod["metadata"]["uid"])
            return None
        return pod

    def hand(self, pod: Json, attachment: Attachment) -> Answer | None:
        """What the ``pod`` of this task answers to its Call; None where it has not got it and may be deleted.

        Raises `PodLost`, `ClusterUnreachable`, `Killed`.
        """
        name, answer, until = pod["metadata"]["name"], Answer(status.token_of(pod)), time.monotonic() + ACK_SECONDS
        may_have_it = True
        try:
            attachment.exchange(name, warm.message(self.variables(pod)), answer)
        except AttachRefused as refused:
            if refused.is_final:
                self.refusing.add(self._place)
            may_have_it = refused.sent
            self.why = f"one cannot attach to pod {name} ({refused})"
        self._client.refuse_stopped()
        if answer.taken_at is not None or (may_have_it and self._got(pod, until)):
            return answer
        self.why = self.why or f"pod {name} has not taken the Call"
        return None

    def variables(self, pod: Json) -> dict[str, str]:
        """What the ``pod`` of this task is handed."""
        return pool.handed(self._request.pod, self._request.secret, pod)

    def got_before(self, pod: Json) -> bool:
        """True if a pod that an earlier worker took got its Call. Raises `PodLost`, `ClusterUnreachable`, `Killed`."""
        return self._got(pod, time.monotonic())

    def sweep(self) -> None:
        """Delete the environment's pods that were taken long ago and never got their Call: their workers are gone."""
        request = self._request
        selector = f"{names.ENVIRONMENT_LABEL}={request.environment},{names.TEMPLATE_LABEL},!{names.WARM_LABEL}"
        with suppress(ApiException, HTTPError, PodFailure):  # another task looks again
            found = self._client.list_pods(request.namespace, selector, running=True)
            old = [pod for pod in found if pool.is_silent(pod, datetime.now(UTC))]
            for pod in random.sample(old, min(len(old), SWEPT)):
                if not self._got(pod, 0.0):
                    metadata = pod["metadata"]
                    version = metadata["resourceVersion"]
                    self._client.delete_pod(request.namespace, metadata["name"], uid=metadata["uid"], version=version)

    @property
    def _place(self) -> tuple[str, str]:
        return str(self._client.api.api_client.configuration.host), self._request.namespace

    def _got(self, pod: Json, until: float) -> bool:
        """True once the log says that the Call is there; False if it does not ``until`` then, or never will."""
        namespace, name = self._request.namespace, pod["metadata"]["name"]
        while True:
            seen = self._looked_up(namespace, name)
            if seen is None or seen["metadata"]["uid"] != pod["metadata"]["uid"]:
                raise PodLost(
                    f"Environment {self._request.environment!r}: the pod {namespace}/{name} was deleted by somebody "
                    "else before it had a result; look for who deletes pods in its namespace."
                )
            with refusals(self._request.environment, "read the pod's log"):
                log = self._client.log_head(namespace, name, CONTAINER, _LOG_BYTES)
            if pool.has_call(log, pod):
                return True
            if status.is_over(seen, CONTAINER) or time.monotonic() >= until:
                return False
            self._client.pause(0.2)
            self._client.refuse_stopped()

    def _looked_up(self, namespace: str, name: str) -> Json | None:
        with refusals(self._request.environment, f"read a pod in {namespace}"):
            try:
                return self._client.read_pod(namespace, name)
            except ApiException as error:
                if error.status == 404:
                    return None
                raise
