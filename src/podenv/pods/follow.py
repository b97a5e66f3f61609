"""Follow a pod: watch its status, read its log to the end, whatever is cut in between.

Knows no Airflow: a client, a pod's name, somebody who takes bytes.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from kubernetes.client import ApiException
from urllib3 import HTTPResponse
from urllib3.exceptions import HTTPError, ReadTimeoutError

from podenv.errors import ClusterUnreachable, PodLost
from podenv.pods import status
from podenv.pods.client import ANSWER_SECONDS, Json, KubernetesClient, Patience, words_of
from podenv.pods.logjoin import LogJoiner
from podenv.runtime.frame import MAX_LINES

FIRST_EVENT_SECONDS = 5.0  # for a watch to report the pod as it is; after that it is read
WATCH_SECONDS = (10.0, 300.0)  # that one watch lasts: at first, at most; it takes as long to see that it is cut off
LATE_SECONDS = 5.0  # after which a watch that has not ended in time is given up
LOG_END_SECONDS = 30.0  # for which the rest of a log is tried while the server or the node is away
SILENCE_SECONDS = (5.0, 60.0)  # without a line, after which the log is opened anew: at first, at most
PAUSE_SECONDS = (0.25, 5.0)  # between two streams that brought nothing: at first, at most
LOG_END_READS = 3  # of the rest of a log in which a result is missing
GAP = "[podenv] Lines are missing here: the node rotated the log away before they were read."

_T = TypeVar("_T")


@dataclass(frozen=True)
class PodName:
    """Which pod, and which of its containers decides."""

    namespace: str
    name: str
    container: str


class PodFollower:
    """One pod, from its creation to its end; `stop` ends each method from a signal handler."""

    def __init__(self, client: KubernetesClient, pod: PodName, *, take: Callable[[bytes], None]) -> None:
        self._client = client
        self._pod = pod
        self._take = take
        self._lines = LogJoiner(take, lambda: take(GAP.encode() + b"\n"))
        self._refusals = Patience(client, allowed=True)
        self._response: HTTPResponse | None = None
        self.last: Json | None = None
        """A pod that was deleted, as the cluster reported it."""
        self.vanished = False
        """True if the pod is gone and its end was not seen."""

    def stop(self) -> None:
        """End what is under way at once; ``client.stopped`` is set before."""
        response = self._response
        if response is not None:
            with suppress(Exception):  # it may be closed already
                response.shutdown()

    def watch(
        self,
        decide: Callable[[Json], _T | None],
        deadline: Callable[[], float],
        *,
        at_most: float = math.inf,
        since: Json | None = None,
    ) -> _T | None:
        """What ``decide`` first answers for the pod, asked at each change; None at the ``deadline`` (monotonic).

        ``at_most``: seconds after which the deadline is asked for again. ``since``: the pod just as it was created, so
        that what becomes of it before the first watch is seen too.
        Raises `PodLost` when the pod is deleted, `ClusterUnreachable`, `Killed`.
        """
        patience, asked, most = Patience(self._client, allowed=True), False, WATCH_SECONDS[0]
        version = since["metadata"]["resourceVersion"] if since is not None else "0"
        while (left := deadline() - time.monotonic()) > 0 or not asked:  # at least once, however late it is
            self._client.refuse_stopped()
            asked, reported = True, False
            try:
                for kind, pod in self._events(max(1.0, min(left, at_most, most)), version):
                    reported = True
                    patience.reset()
                    if kind == "DELETED":
                        self._client.refuse_stopped()
                        raise self._gone(pod)
                    if (decision := decide(pod)) is not None:
                        return decision
            except ReadTimeoutError:
                pass
            except (HTTPError, ApiException) as error:
                patience.outlive(error)
            most, version = min(2 * most, WATCH_SECONDS[1]), "0"
            # Each later watch begins with the pod as it is: where none was reported, it was deleted before.
            if not reported and (decision := decide(self.read())) is not None:
                return decision
        self._client.refuse_stopped()
        return None

    def _events(self, seconds: float, version: str) -> Iterator[tuple[str, Json]]:
        response = self._client.core().list_namespaced_pod(
            self._pod.namespace,
            watch=True,
            field_selector=f"metadata.name={self._pod.name}",
            resource_version=version,
            timeout_seconds=max(1, round(seconds)),
            _preload_content=False,
            _request_timeout=(ANSWER_SECONDS, FIRST_EVENT_SECONDS),
        )
        with self._open(response):
            buffer = b""
            for data in response.stream(None):
                self._client.refuse_stopped()  # what comes after `stop` is ciphertext
                _allow_silence(response, seconds + LATE_SECONDS)
                *lines, buffer = (buffer + data).split(b"\n")
                for event in map(json.loads, filter(None, lines)):
                    if event["type"] == "ERROR":
                        answer = event["object"]
                        raise ApiException(status=answer.get("code", 500), reason=answer.get("message", ""))
                    if event["type"] != "BOOKMARK":
                        yield event["type"], event["object"]

    def read(self) -> Json:
        """The pod as it is now. Raises `PodLost` when it is gone, `ClusterUnreachable`, `Killed`."""
        try:
            return self._client.read_pod(self._pod.namespace, self._pod.name)
        except ApiException as error:
            if error.status == 404:
                raise self._gone() from None
            raise

    def follow_log(self, done: Callable[[], bool], *, over: bool = False) -> Json | None:
        """Hand on the log until ``done()`` (None), or until the container is over or lost (the pod as last seen).

        ``over``: it is over already; then its log is read, which costs the kubelet less than to follow it.
        Raises `PodLost`, `ClusterUnreachable`, `Killed`.
        """
        silence, pause, quiet = SILENCE_SECONDS[0], PAUSE_SECONDS[0], 0
        while True:
            lines = self._lines.lines
            ended = self._stream_once(done, silence, follow=not over)
            if done():
                return None
            self._client.refuse_stopped()
            if self._lines.lines > lines:
                silence, pause, quiet = SILENCE_SECONDS[0], PAUSE_SECONDS[0], 0
            else:
                silence, quiet = min(2 * silence, SILENCE_SECONDS[1]), quiet + 1
            # The kubelet may be away although the API server answers: what the server says of the pod decides.
            if ended or quiet >= 2:
                pod = self.read()
                if status.is_over(pod, self._pod.container):
                    self.read_log(pod, done)  # what was written after the stream was cut
                    return None if done() else pod
                if status.node_is_lost(pod, self._pod.container, datetime.now(UTC)):
                    return pod
            if ended:
                self._client.pause(pause)
                pause = min(2 * pause, PAUSE_SECONDS[1])

    def read_log(self, pod: Json, done: Callable[[], bool], *, frame_only: bool = False) -> None:
        """Hand on what is left of the log of a container that is over in ``pod``; the node may no longer hold all.

        ``done``: True once the result came. ``frame_only``: as many of the last lines as one can have. Raises `Killed`.
        """
        tail = MAX_LINES + 2 if frame_only else None
        patience, problem = Patience(self._client, allowed=True, seconds=LOG_END_SECONDS), ""
        # The log of a container that ended by itself ends with a result, nearly always. One that ends before was cut
        # off: a node that restarts says nothing of that.
        reads = LOG_END_READS if status.ended_by_itself(pod, self._pod.container) else 1
        while not problem:
            try:
                self._stream(lambda: False, ANSWER_SECONDS, follow=False, tail=tail)
                reads -= 1
                if reads == 0 or done():
                    break
                self._client.pause(PAUSE_SECONDS[0])
            except (HTTPError, ApiException) as error:
                if isinstance(error, ApiException) and error.status in (400, 404):
                    break  # the node has no log of this container
                try:
                    patience.outlive(error)
                except (HTTPError, ApiException, ClusterUnreachable):
                    problem = words_of(error)
        self._lines.end()
        if problem:
            self._take(f"[podenv] The rest of the log cannot be read ({problem}).\n".encode())

    def _stream_once(self, done: Callable[[], bool], silence: float, *, follow: bool) -> bool:
        try:
            return self._stream(done, silence, follow=follow)
        except ApiException as error:
            if error.status in (401, 403):
                self._refusals.outlive(error)
            return True
        except HTTPError:
            return True

    def _stream(
        self, done: Callable[[], bool], silence: float, *, follow: bool = True, tail: int | None = None
    ) -> bool:
        """One stream of the log; whether it ended (True) or fell silent (False)."""
        self._lines.begin()
        query: list[tuple[str, Any]] = [("container", self._pod.container), ("timestamps", "true")]
        if follow:
            query.append(("follow", "true"))
        if tail is not None:
            query.append(("tailLines", tail))
        if since := self._lines.since():
            query.append(("sinceTime", since))  # the generated client has no such argument
        response = self._client.core().api_client.call_api(
            "/api/v1/namespaces/{namespace}/pods/{name}/log",
            "GET",
            path_params={"namespace": self._pod.namespace, "name": self._pod.name},
            query_params=query,
            header_params={"Accept": "*/*"},
            response_types_map={200: "str"},
            auth_settings=["BearerToken"],
            _preload_content=False,
            _return_http_data_only=True,
            _request_timeout=(ANSWER_SECONDS, silence),
        )
        self._refusals.reset()
        with self._open(response):
            try:
                for data in response.stream(65_536):
                    self._client.refuse_stopped()  # what comes after `stop` is ciphertext
                    self._lines.take(data)
                    if follow and done():  # else read to its end, so that the connection can serve again
                        return True
            except ReadTimeoutError:
                if not follow:
                    raise
                return False
        return True

    @contextmanager
    def _open(self, response: HTTPResponse) -> Iterator[None]:
        self._response = response
        try:
            self._client.refuse_stopped()  # `stop` came before it could see the response
            yield
        finally:
            self._response = None
            response.close()

    def _gone(self, pod: Json | None = None) -> PodLost:
        self.last, self.vanished = pod or self.last, pod is None
        return PodLost(
            f"Environment {self._client.environment!r}: the pod {self._pod.namespace}/{self._pod.name} was deleted by "
            "somebody else before it had a result; look for who deletes pods in its namespace."
        )


def _allow_silence(response: HTTPResponse, seconds: float) -> None:
    """Let the rest of a stream be silent for ``seconds``, whatever its beginning was allowed."""
    connection = response.connection
    if connection is not None and connection.sock is not None:
        connection.sock.settimeout(seconds)
