"""The Kubernetes API as plain JSON, for the requests that podenv sends itself, without Helm."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import yaml
from urllib3 import Timeout
from urllib3.exceptions import HTTPError

from podenv.errors import AccessRefused, Conflict, NoCluster, ReleaseError, nearest

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

Json = dict[str, Any]
MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
_TIMEOUT = Timeout(connect=5.0, read=30.0)
_PAGE_OBJECTS = 500  # objects in one answer
_READ_ATTEMPTS = 3  # to read, where no answer comes


class Cluster:
    """One API server, as one user; threads can share it.

    Every method raises `NoCluster` if the server does not answer, `AccessRefused` if the user may not do it.
    """

    def __init__(
        self, kubeconfig: Path | None = None, context: str | None = None, *, client: ApiClient | None = None
    ) -> None:
        self.kubeconfig = kubeconfig
        self.context = context
        self._client = client or _client(kubeconfig, context)
        self._resources: dict[str, dict[str, tuple[str, bool]]] = {}
        self._lock = threading.Lock()
        self._ahead = 0.0

    @property
    def server(self) -> str:
        """The API server's address."""
        return str(self._client.configuration.host)

    def version(self) -> str:
        """The version of Kubernetes, like ``v1.34.1``."""
        return str((self.get("/version") or {})["gitVersion"])

    def now(self) -> float:
        """Seconds since 1970 by the API server's clock, as its last answer told it; good to a second."""
        return time.time() + self._ahead

    def get(self, path: str) -> Json | None:
        """The object at ``path``; None if it does not exist."""
        return self._send("GET", path)

    def create(self, path: str, body: Json) -> Json:
        """Make an object in the collection at ``path``; raises `Conflict` if one of that name exists."""
        answer = self._send("POST", path, body)
        if answer is None:
            raise ReleaseError(f"POST {path}: its namespace is gone; run the command again.")
        return answer

    def replace(self, path: str, body: Json) -> Json:
        """Replace an object; raises `Conflict` if it has changed since it was read, or is gone."""
        return self._present("PUT", path, self._send("PUT", path, body))

    def patch(self, path: str, body: object, *, kind: str = MERGE_PATCH) -> Json:
        """Change an object; raises `Conflict` if it is gone."""
        return self._present("PATCH", path, self._send("PATCH", path, body, content_type=kind))

    def delete(self, path: str, *, version: str = "") -> None:
        """Delete an object if it exists; with ``version``, raises `Conflict` if it has changed since it was read."""
        body: Json = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if version:
            body["preconditions"] = {"resourceVersion": version}
        self._send("DELETE", path, body)

    def text(self, path: str) -> str:
        """The text at ``path``, such as a log; empty if there is none."""
        return self._raw("GET", path, None, "application/json") or ""

    def list_in(self, api_version: str, kind: str, namespaces: Iterable[str], *, labels: str = "") -> list[Json]:
        """The objects of a kind, with it, in these namespaces and perhaps others.

        One request where the user may list all namespaces, else one for each.
        """

        def of(namespace: str = "") -> list[Json]:
            items = self.list(api_version, kind, namespace=namespace, labels=labels)
            return [{**item, "apiVersion": api_version, "kind": kind} for item in items]  # a list's items have neither

        wanted = sorted(set(namespaces))
        if len(wanted) > 1:
            try:
                return of()
            except AccessRefused:
                pass  # the user may still be allowed to read these namespaces
        return [item for namespace in wanted for item in of(namespace)]

    def list(self, api_version: str, kind: str, *, namespace: str = "", labels: str = "") -> list[Json]:
        """All objects of a kind that the label selector picks, in one namespace or in all; [] for an unknown kind."""
        if not self.knows(api_version, kind):
            return []
        path = self.path(api_version, kind, namespace)
        found: list[Json] = []
        query = {"labelSelector": labels, "limit": str(_PAGE_OBJECTS)}
        while True:
            page = self._send("GET", f"{path}?{urlencode(query)}") or {}
            found += page.get("items") or []
            query["continue"] = page.get("metadata", {}).get("continue", "")
            if not query["continue"]:
                return found

    def knows(self, api_version: str, kind: str) -> bool:
        """True if the API server has this kind."""
        return kind in self._kinds(api_version)

    def path(self, api_version: str, kind: str, namespace: str = "", name: str = "") -> str:
        """The path of a kind's objects, or of one of them; the kind must be known."""
        plural, namespaced = self._kinds(api_version)[kind]
        parts = [_root(api_version)]
        if namespaced and namespace:
            parts += ["namespaces", quote(namespace)]
        return "/".join([*parts, plural, *([quote(name)] if name else [])])

    def _kinds(self, api_version: str) -> dict[str, tuple[str, bool]]:
        """Kind -> its plural, and True if its objects have a namespace."""
        with self._lock:
            if api_version not in self._resources:
                answer = self._send("GET", _root(api_version)) or {}
                self._resources[api_version] = {
                    one["kind"]: (one["name"], one["namespaced"])
                    for one in answer.get("resources", ())
                    if "/" not in one["name"]
                }
            return self._resources[api_version]

    def _present(self, method: str, path: str, answer: Json | None) -> Json:
        if answer is None:
            raise Conflict(f"{method} {path}: it is gone; run the command again.")
        return answer

    def _send(
        self, method: str, path: str, body: object = None, *, content_type: str = "application/json"
    ) -> Json | None:
        text = self._raw(method, path, body, content_type)
        return None if text is None else json.loads(text)

    def _raw(self, method: str, path: str, body: object, content_type: str) -> str | None:
        """The answer's text; None for 404."""
        answer = self._answer(method, path, body, content_type)
        if "Date" in answer.headers:
            self._ahead = parsedate_to_datetime(answer.headers["Date"]).timestamp() - time.time()
        text: str = answer.data.decode(errors="replace")
        if answer.status < 300:
            return text
        if answer.status == 404:
            return None
        raise self._failure(method, path, answer.status, text)

    def _answer(self, method: str, path: str, body: object, content_type: str) -> Any:
        headers = {"Accept": "application/json", "Content-Type": content_type}
        self._client.update_params_for_auth(headers, [], ["BearerToken"])
        data = None if body is None else json.dumps(body).encode()
        for attempt in range(_READ_ATTEMPTS):
            try:
                return self._client.rest_client.pool_manager.request(
                    method, f"{self.server}{path}", body=data, headers=headers, timeout=_TIMEOUT, retries=False
                )
            except HTTPError as error:
                if method != "GET" or attempt == _READ_ATTEMPTS - 1:
                    why = f"The API server {self.server} does not answer ({_cause(error)})."
                    raise NoCluster(f"{why} {REMEDY}") from None
                time.sleep(0.2 * 2**attempt)
        raise AssertionError

    def _failure(self, method: str, path: str, status: int, text: str) -> ReleaseError:
        try:
            reason = json.loads(text).get("message") or text
        except (ValueError, AttributeError):
            reason = text.strip() or "no reason given"
        if status == 409:
            return Conflict(f"{method} {path}: {reason}")
        if status == 401:
            return AccessRefused(f"The API server {self.server} does not accept the credentials ({reason}). {REMEDY}")
        if status == 403:
            return AccessRefused(f"The cluster refuses it: {reason}. {ASK_FOR_RIGHTS}")
        return ReleaseError(f"The API server {self.server} answered {method} {path} with {status}: {reason}")


ASK_FOR_RIGHTS = "Ask the cluster's administrator for that permission; `podenv rights` prints all that a deploy needs."
REMEDY = "Check KUBECONFIG, --kubeconfig and --context; `kubectl get namespaces` must work with the same."


def selector(labels: Mapping[str, str | Iterable[str]]) -> str:
    """A label selector: a label must equal the text, or one of several texts."""
    return ",".join(
        f"{key}={value}" if isinstance(value, str) else f"{key} in ({','.join(value)})" for key, value in labels.items()
    )


def _client(kubeconfig: Path | None, context: str | None) -> ApiClient:
    # Imported here: it takes 0.4 s, and most commands need no cluster.
    from kubernetes.client import ApiClient, Configuration
    from kubernetes.config import ConfigException, load_incluster_config, new_client_from_config

    try:
        if kubeconfig is None and context is None and _is_in_cluster():
            configuration = Configuration()
            load_incluster_config(client_configuration=configuration)
            return ApiClient(configuration)
        return new_client_from_config(str(kubeconfig) if kubeconfig else None, context)
    except (ConfigException, yaml.YAMLError, OSError) as error:
        known = _contexts(kubeconfig)
        if context is not None and known and context not in known:
            raise NoCluster(
                f"The kubeconfig has no context {context!r}.{nearest(context, known)} Its contexts are "
                f"{', '.join(known)}. Correct --context, or cluster.context in the values."
            ) from None
        why = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise NoCluster(f"The kubeconfig cannot be used: {why}. {REMEDY}") from None


def _contexts(kubeconfig: Path | None) -> list[str]:
    """The names of the contexts; empty where the kubeconfig cannot be read."""
    from kubernetes.config import ConfigException, list_kube_config_contexts

    try:
        return sorted(one["name"] for one in list_kube_config_contexts(str(kubeconfig) if kubeconfig else None)[0])
    except (ConfigException, yaml.YAMLError, OSError):
        return []


def _is_in_cluster() -> bool:
    """True if helm, too, would use the service account of the pod that this process runs in."""
    named = os.environ.get("KUBECONFIG") or Path("~/.kube/config").expanduser().exists()
    return not named and "KUBERNETES_SERVICE_HOST" in os.environ


def _root(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _cause(error: BaseException) -> str:
    text = str(getattr(error, "reason", None) or error)
    return text.rpartition(": ")[2] or type(error).__name__
