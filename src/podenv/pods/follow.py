"""Follow a pod: watch its status, read its log to the end, whatever is cut in between.

Knows no Airflow: a client, a pod's name, somebody who takes bytes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, TypeVar

from kubernetes.client import ApiException, V1Pod
from urllib3 import HTTPResponse
from urllib3.exceptions import HTTPError, ReadTimeoutError

from podenv.errors import PodLost
from podenv.pods import failures
from podenv.pods.api import CONNECT, LIMITS, Api, Patience
from podenv.pods.seam import Seam
from podenv.runtime.frame import MAX_LINES

FIRST_WATCH = 5.0  # seconds until a pod of which nothing came is looked for
WATCH = 300.0  # seconds that one watch lasts
SILENCE = (5.0, 60.0)  # seconds without a line after which the log is opened anew: at first, at most
PAUSE = (0.25, 5.0)  # seconds between two streams that brought nothing: at first, at most
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

    def __init__(self, api: Api, pod: PodName, *, take: Callable[[bytes], None]) -> None:
        self._api = api
        self._pod = pod
        self._seam = Seam(take, lambda: take(GAP.encode() + b"\n"))
        self._refusals = Patience(api, allowed=True)
        self._response: HTTPResponse | None = None

    def stop(self) -> None:
        """End what is under way at once; ``api.stopped`` is set before."""
        response = self._response
        if response is not None:
            with suppress(Exception):  # it may be closed already
                response.shutdown()

    def watch(
        self, decide: Callable[[V1Pod], _T | None], deadline: Callable[[], float], *, at_most: float = WATCH
    ) -> _T | None:
        """What ``decide`` first says of the pod, asked at each change; None at the ``deadline`` (monotonic).

        ``at_most``: seconds after which the deadline is asked for again.
        Raises `PodLost` when the pod is deleted, `ClusterUnreachable`, `Killed`.
        """
        patience, seen, looked = Patience(self._api, allowed=True), False, False
        while (left := deadline() - time.monotonic()) > 0 or not looked:  # at least once, however late it is
            looked = True
            self._api.refuse_stopped()
            try:
                for kind, pod in self._events(max(1.0, min(left, at_most if seen else FIRST_WATCH))):
                    seen = True
                    patience.reset()
                    if kind == "DELETED":
                        self._api.refuse_stopped()
                        raise self._gone()
                    if (said := decide(pod)) is not None:
                        return said
            except ReadTimeoutError:
                pass
            except (HTTPError, ApiException) as error:
                patience.outlive(error)
            if not seen:
                self.read()  # deleted before the watch began
        self._api.refuse_stopped()
        return None

    def _events(self, seconds: float) -> Iterator[tuple[str, V1Pod]]:
        core = self._api.core()
        response = core.list_namespaced_pod(
            self._pod.namespace,
            watch=True,
            field_selector=f"metadata.name={self._pod.name}",
            resource_version="0",
            timeout_seconds=max(1, round(seconds)),
            _preload_content=False,
            _request_timeout=(CONNECT, seconds + 5),
        )
        with self._open(response):
            buffer = b""
            for data in response.stream(None):
                self._api.refuse_stopped()  # what comes after `stop` is ciphertext
                *lines, buffer = (buffer + data).split(b"\n")
                for event in map(json.loads, filter(None, lines)):
                    if event["type"] == "ERROR":
                        said = event["object"]
                        raise ApiException(status=said.get("code", 500), reason=said.get("message", ""))
                    event["object"]["metadata"].pop("managedFields", None)  # most of a pod, and nobody asks for it
                    body = SimpleNamespace(data=json.dumps(event["object"]))
                    yield event["type"], core.api_client.deserialize(body, "V1Pod")

    def read(self) -> V1Pod:
        """The pod as it is now. Raises `PodLost` when it is gone, `ClusterUnreachable`, `Killed`."""
        try:
            return self._api.ask(
                lambda core: core.read_namespaced_pod(self._pod.name, self._pod.namespace, _request_timeout=LIMITS),
                allowed=True,
            )
        except ApiException as error:
            if error.status == 404:
                raise self._gone() from None
            raise

    def follow_log(self, done: Callable[[], bool], *, over: bool = False) -> V1Pod | None:
        """Hand on the log until ``done()`` (None), or until the container is over or lost (the pod as last seen).

        ``over``: it is over already; then its log is read, which costs the kubelet less than to follow it.
        Raises `PodLost`, `ClusterUnreachable`, `Killed`.
        """
        silence, pause, quiet = SILENCE[0], PAUSE[0], 0
        while True:
            lines = self._seam.lines
            ended = self._stream_once(done, silence, follow=not over)
            if done():
                return None
            self._api.refuse_stopped()
            if self._seam.lines > lines:
                silence, pause, quiet = SILENCE[0], PAUSE[0], 0
            else:
                silence, quiet = min(2 * silence, SILENCE[1]), quiet + 1
            # The kubelet may be away although the API server answers: what the server says of the pod decides.
            if ended or quiet >= 2:
                pod = self.read()
                if failures.is_over(pod, self._pod.container):
                    self.read_log()  # what was written after the stream was cut
                    return None if done() else pod
                if failures.node_is_lost(pod, self._pod.container, datetime.now(UTC)):
                    return pod
            if ended:
                self._api.pause(pause)
                pause = min(2 * pause, PAUSE[1])

    def read_log(self, *, frame_only: bool = False) -> None:
        """Hand on what is left of the log of a container that is over; what the node no longer holds stays away.

        ``frame_only``: as many of the last lines as a result can have.
        """
        tail = MAX_LINES + 2 if frame_only else None
        for _ in range(3):
            with suppress(HTTPError, ApiException):
                self._stream(lambda: False, CONNECT, follow=False, tail=tail)
                break
            self._api.pause(PAUSE[0])
        self._seam.end()

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
        self._seam.begin()
        query: list[tuple[str, Any]] = [("container", self._pod.container), ("timestamps", "true")]
        if follow:
            query.append(("follow", "true"))
        if tail is not None:
            query.append(("tailLines", tail))
        if since := self._seam.since():
            query.append(("sinceTime", since))  # the generated client has no such argument
        response = self._api.core().api_client.call_api(
            "/api/v1/namespaces/{namespace}/pods/{name}/log",
            "GET",
            path_params={"namespace": self._pod.namespace, "name": self._pod.name},
            query_params=query,
            header_params={"Accept": "*/*"},
            response_types_map={200: "str"},
            auth_settings=["BearerToken"],
            _preload_content=False,
            _return_http_data_only=True,
            _request_timeout=(CONNECT, silence),
        )
        self._refusals.reset()
        with self._open(response):
            try:
                for data in response.stream(65_536):
                    self._api.refuse_stopped()  # as above
                    self._seam.take(data)
                    if follow and done():  # else read to its end, so that the connection can serve again
                        return True
            except ReadTimeoutError:
                return False
        return True

    @contextmanager
    def _open(self, response: HTTPResponse) -> Iterator[None]:
        self._response = response
        try:
            self._api.refuse_stopped()  # `stop` came before it could see the response
            yield
        finally:
            self._response = None
            response.close()

    def _gone(self) -> PodLost:
        return PodLost(
            f"Environment {self._api.environment!r}: the pod {self._pod.namespace}/{self._pod.name} was deleted by "
            "somebody else before it had a result; look for who deletes pods in its namespace."
        )
