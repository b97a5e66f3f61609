"""The API server as a task sees it: it may be away for a while, and credentials expire while a long pod is followed."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable
from typing import TypeVar

from kubernetes.client import ApiClient, ApiException, CoreV1Api
from kubernetes.config import ConfigException
from urllib3.exceptions import HTTPError

from podenv.errors import ClusterUnreachable, Killed, PodRefused

CONNECT = 10.0  # seconds for a connection, and for the answer to a short request
PATIENCE = 300.0  # seconds without an answer that a task outlives
RIGHTS = 30.0  # seconds for which a server that has just started refuses what it allowed before
LIMITS = (CONNECT, CONNECT)

# At DEBUG it logs whole answers: the values of variables, and of Secrets, would stand in the task's log.
logging.getLogger("kubernetes.client.rest").setLevel(logging.INFO)

_T = TypeVar("_T")


def plain(text: str | None) -> str:
    """Remote text on one line, its control characters escaped."""
    words = " ".join((text or "").split())
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in words)


def words_of(error: Exception) -> str:
    """What the server said, without the headers and the body around it; of a broken connection its type."""
    if not isinstance(error, ApiException):
        return type(error).__name__
    try:
        said = str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        said = str(error.reason or "no reason given")
    return plain(said)


def reason_of(error: ApiException) -> str:
    """The server's one word for it, like AlreadyExists; empty where it said none."""
    try:
        return str(json.loads(error.body)["reason"])
    except (TypeError, ValueError, KeyError):
        return ""


def may_pass(error: Exception) -> bool:
    """Whether the same request can succeed in a moment."""
    if not isinstance(error, ApiException):
        return isinstance(error, HTTPError)
    if re.search(r"too large|larger than max", words_of(error)):
        return False
    conflict = error.status == 409 and reason_of(error) == "Conflict"  # a quota that others use at the same time
    return conflict or error.status in (410, 429) or not error.status or error.status >= 500


class Api:
    """The client for one task in ``environment``.

    ``make`` returns a client, ``renew`` makes it return one with new credentials.
    """

    def __init__(
        self, environment: str, make: Callable[[], CoreV1Api], *, renew: Callable[[], None] = lambda: None
    ) -> None:
        self.environment = environment
        self.stopped = False  # plain, not an Event, whose lock a signal handler could find taken
        self._make = make
        self._renew = renew

    def core(self) -> CoreV1Api:
        """The client as it is now. Raises `PodRefused` where nothing says how to reach a cluster."""
        try:
            return self._make()
        except ConfigException as error:
            raise PodRefused(
                f"Environment {self.environment!r}: nothing here says how to reach a cluster ({plain(str(error))}); "
                "set up the Airflow connection kubernetes_default (or the one that the task names) or KUBECONFIG, or "
                "set PODENV_BACKEND=local to run tasks on this machine."
            ) from None

    def another(self) -> CoreV1Api:
        """A client with connections of its own, for a signal handler: the locks of the first may be taken."""
        return CoreV1Api(ApiClient(self._make().api_client.configuration))

    def ask(self, request: Callable[[CoreV1Api], _T], *, allowed: bool = False) -> _T:
        """The answer to a request, asked again while the server is away.

        ``allowed``: the server has allowed as much before. Raises ApiException for a refusal, `ClusterUnreachable`,
        `PodRefused`, `Killed`.
        """
        patience = Patience(self, allowed=allowed)
        while True:
            self.refuse_stopped()
            try:
                return request(self.core())
            except (ApiException, HTTPError) as error:
                patience.outlive(error)

    def refuse_stopped(self) -> None:
        """Raise `Killed` once the task was asked to end."""
        if self.stopped:
            raise Killed(f"The task in environment {self.environment!r} was ended from outside.")

    def pause(self, seconds: float) -> None:
        """Sleep, but not much longer than until the task is asked to end."""
        if self.stopped:
            time.sleep(min(seconds, 0.5))
        end = time.monotonic() + seconds
        while not self.stopped and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.2))

    def renew(self) -> None:
        """Take new credentials."""
        self._renew()


class Patience:
    """Bounds the time without an answer; waits a little longer after each try.

    ``allowed`` as in `Api.ask`; ``seconds`` is the bound.
    """

    def __init__(self, api: Api, *, allowed: bool = False, seconds: float | None = None) -> None:
        self._api = api
        self._allowed = allowed
        self._seconds = seconds
        self.reset()

    def reset(self) -> None:
        """It answered."""
        self._since: float | None = None
        self._pause = 0.1

    def outlive(self, error: ApiException | HTTPError) -> None:
        """Wait before the next try. Raises ``error`` itself when no try will help, `ClusterUnreachable`."""
        now = time.monotonic()
        renewed = self._since is not None
        self._since = self._since or now
        waited = now - self._since
        if isinstance(error, ApiException) and error.status in (401, 403):
            self._api.renew()
            first = error.status == 401 and not renewed  # its credentials had expired
            if not first and not (self._allowed and waited < RIGHTS):
                raise error
        elif not may_pass(error):
            raise error
        elif waited > (PATIENCE if self._seconds is None else self._seconds):
            raise ClusterUnreachable(
                f"Environment {self._api.environment!r}: the API server has had no answer for {waited:.0f} s "
                f"({words_of(error)}); the pod may still run, and the next try looks for it."
            ) from None
        self._api.pause(self._pause)
        self._pause = min(2 * self._pause, 5.0)
