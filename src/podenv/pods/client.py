"""The API server as a task sees it: it may be away for a while, and credentials expire while a long pod is followed.

Objects are plain dicts, as the API gives them: the one shape of a pod in this package.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

from kubernetes.client import ApiClient, ApiException, CoreV1Api, V1DeleteOptions, V1Preconditions
from kubernetes.config import ConfigException
from urllib3.exceptions import HTTPError

from podenv import causes
from podenv.causes import Verdict
from podenv.errors import ClusterUnreachable, Killed, PodRefused

ANSWER_SECONDS = 10.0  # for a connection, and for the answer to a short request
PATIENCE_SECONDS = 300.0  # without an answer, which a task outlives
RIGHTS_SECONDS = 30.0  # for which a server that has just started refuses what it allowed before
TIMEOUTS = (ANSWER_SECONDS, ANSWER_SECONDS)

# At DEBUG it logs whole answers: the values of variables, and of Secrets, would stand in the task's log.
logging.getLogger("kubernetes.client.rest").setLevel(logging.INFO)

_T = TypeVar("_T")

Json = dict[str, Any]


def plain(text: str | None) -> str:
    """Remote text on one line, its control characters escaped."""
    words = " ".join((text or "").split())
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in words)


def words_of(error: Exception) -> str:
    """The server's message, without headers and body around it; the type of a broken connection."""
    if not isinstance(error, ApiException):
        return type(error).__name__
    try:
        message = str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        message = str(error.reason or "no reason given")
    return plain(message)


def reason_of(error: ApiException) -> str:
    """The reason in the server's Status, like AlreadyExists; empty where it has none."""
    try:
        return str(json.loads(error.body)["reason"])
    except (TypeError, ValueError, KeyError):
        return ""


def may_pass(error: Exception) -> bool:
    """True if the same request can succeed in a moment."""
    if not isinstance(error, ApiException):
        return isinstance(error, HTTPError)
    return causes.api(error.status, reason_of(error), words_of(error)).verdict is Verdict.SOON


class KubernetesClient:
    """The client for the pods of one task in ``environment``.

    ``make`` returns a client of the generated library, ``renew`` makes it return one with new credentials.
    """

    def __init__(
        self, environment: str, make: Callable[[], CoreV1Api], *, renew: Callable[[], None] = lambda: None
    ) -> None:
        self.environment = environment
        self.requests = 0
        """How often the API server was asked for something."""
        self.stopped = False  # plain, not an Event, whose lock a signal handler could find taken
        self._make = make
        self._renew = renew

    def core(self) -> CoreV1Api:
        """The generated client, for one request. Raises as `api`."""
        api = self.api
        self.requests += 1
        return api

    @property
    def api(self) -> CoreV1Api:
        """The generated client. Raises `PodRefused` where no configuration says how to reach a cluster."""
        try:
            return self._make()
        except ConfigException as error:
            raise PodRefused(
                f"Environment {self.environment!r}: no configuration says how to reach a cluster "
                f"({plain(str(error))}); set up the Airflow connection kubernetes_default (or the one that the task "
                "names) or KUBECONFIG, or set PODENV_BACKEND=local to run tasks on this machine."
            ) from None

    def ask(self, request: Callable[[CoreV1Api], _T], *, allowed: bool = False) -> _T:
        """The answer to a request, which is sent again while the server is away.

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

    def read_pod(self, namespace: str, name: str) -> Json:
        """The pod as it is now. Raises as `ask`."""
        return self.ask(
            lambda core: _json(
                core.read_namespaced_pod(name, namespace, _preload_content=False, _request_timeout=TIMEOUTS)
            ),
            allowed=True,
        )

    def find_pod(self, namespace: str, name: str) -> Json | None:
        """The pod as it is now; None where there is none. Asks once; raises ApiException, HTTPError."""
        try:
            core = self.core()
            return _json(core.read_namespaced_pod(name, namespace, _preload_content=False, _request_timeout=TIMEOUTS))
        except ApiException as error:
            if error.status == 404:
                return None
            raise

    def list_pods(self, namespace: str, selector: str, *, running: bool = False) -> list[Json]:
        """The pods with these labels, from the API server's memory (not from all pods in etcd). Raises as `ask`."""
        fields = {"field_selector": "status.phase=Running"} if running else {}
        answer = self.ask(
            lambda core: _json(
                core.list_namespaced_pod(
                    namespace,
                    label_selector=selector,
                    **fields,
                    resource_version="0",
                    _preload_content=False,
                    _request_timeout=TIMEOUTS,
                )
            )
        )
        return list(answer["items"])

    def create_pod(self, namespace: str, pod: Json) -> Json:
        """The pod as it was created. Raises as `ask`."""
        return self.ask(
            lambda core: _json(
                core.create_namespaced_pod(namespace, pod, _preload_content=False, _request_timeout=TIMEOUTS)
            )
        )

    def create_secret(self, namespace: str, secret: Json) -> None:
        """Create a Secret. Raises as `ask`."""
        self.ask(
            lambda core: _json(
                core.create_namespaced_secret(namespace, secret, _preload_content=False, _request_timeout=TIMEOUTS)
            )
        )

    def read_pod_template(self, namespace: str, name: str) -> Json:
        """A core/v1 PodTemplate. Raises as `ask`."""
        return self.ask(
            lambda core: _json(
                core.read_namespaced_pod_template(name, namespace, _preload_content=False, _request_timeout=TIMEOUTS)
            )
        )

    def events_of(self, namespace: str, pod: str) -> list[Json]:
        """The cluster's events on a pod; empty where they cannot be read. Asks once."""
        try:
            answer = self.core().list_namespaced_event(
                namespace,
                field_selector=f"involvedObject.name={pod}",
                _preload_content=False,
                _request_timeout=TIMEOUTS,
            )
            return list(_json(answer)["items"])
        except (ApiException, HTTPError):
            return []

    def nodes(self) -> list[Json]:
        """The nodes that take pods; empty where they may not be read. Asks once."""
        try:
            answer = self.core().list_node(resource_version="0", _preload_content=False, _request_timeout=TIMEOUTS)
            return [one for one in _json(answer)["items"] if not (one.get("spec") or {}).get("unschedulable")]
        except (ApiException, HTTPError):
            return []

    def log_head(self, namespace: str, name: str, container: str, most: int) -> bytes:
        """The first ``most`` bytes that the node holds of a log, each line with its timestamp. Raises as `ask`."""
        return self.ask(
            lambda core: bytes(
                core.read_namespaced_pod_log(
                    name,
                    namespace,
                    container=container,
                    limit_bytes=most,
                    timestamps=True,
                    _preload_content=False,
                    _request_timeout=TIMEOUTS,
                ).data
            ),
            allowed=True,
        )

    def patch_pod(self, namespace: str, name: str, patch: list[Json]) -> Json:
        """The pod after a JSON patch (RFC 6902). Asks once; raises ApiException, HTTPError."""
        core = self.core()
        return _json(
            core.patch_namespaced_pod(name, namespace, patch, _preload_content=False, _request_timeout=TIMEOUTS)
        )

    def label_pod(self, namespace: str, name: str, labels: dict[str, str]) -> None:
        """Add labels to a pod. Asks once; raises ApiException, HTTPError."""
        patch = {"metadata": {"labels": labels}}
        _json(
            self.core().patch_namespaced_pod(name, namespace, patch, _preload_content=False, _request_timeout=TIMEOUTS)
        )

    def delete_pod(
        self,
        namespace: str,
        name: str,
        *,
        uid: str | None,
        version: str | None = None,
        grace: int | None = None,
        in_signal: bool = False,
    ) -> bool:
        """Delete the pod if it still is the one with this ``uid``. Asks once; raises ApiException, HTTPError.

        False if that one is not deleted; ``version``: nor if it has changed since that resourceVersion.
        ``grace`` in seconds, None for the pod's own. ``in_signal``: by connections of its own, since a signal handler
        may have interrupted one that holds the locks of the others.
        """
        core = CoreV1Api(ApiClient(self._make().api_client.configuration)) if in_signal else self.core()
        preconditions = V1Preconditions(uid=uid, resource_version=version) if uid else None
        try:
            answer = core.delete_namespaced_pod(
                name,
                namespace,
                body=V1DeleteOptions(grace_period_seconds=grace, preconditions=preconditions),
                _preload_content=False,
                _request_timeout=TIMEOUTS,
            )
            answer.read()  # the pod as it was: not needed, hence not parsed
            return True
        except ApiException as error:
            if error.status not in (404, 409):  # it is gone, or another pod has that name
                raise
            return False

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

    ``allowed`` as in `KubernetesClient.ask`; ``seconds`` is the bound.
    """

    def __init__(self, client: KubernetesClient, *, allowed: bool = False, seconds: float | None = None) -> None:
        self._client = client
        self._allowed = allowed
        self._seconds = seconds
        self.reset()

    def reset(self) -> None:
        """The server answered."""
        self._since: float | None = None
        self._renewed = False
        self._pause = 0.1

    def outlive(self, error: ApiException | HTTPError) -> None:
        """Wait before the next try. Raises ``error`` itself when no try will help, `ClusterUnreachable`."""
        now = time.monotonic()
        self._since = self._since or now
        waited = now - self._since
        if isinstance(error, ApiException) and error.status in (401, 403):
            expired = error.status == 401 and not self._renewed
            self._client.renew()
            self._renewed = True
            if not expired and not (self._allowed and waited < RIGHTS_SECONDS):
                raise error
        elif not may_pass(error):
            raise error
        elif waited > (PATIENCE_SECONDS if self._seconds is None else self._seconds):
            raise ClusterUnreachable(
                f"Environment {self._client.environment!r}: the API server has not answered for {waited:.0f} s "
                f"({words_of(error)}); the pod may still run, and the next try looks for it."
            ) from None
        self._client.pause(self._pause)
        self._pause = min(2 * self._pause, 5.0)


def _json(response: Any) -> Json:
    return dict(json.loads(response.data))
