"""What the simulated API server answers, request by request: objects, lists, watches, logs."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.pods import statuses
from tests.pods.kubelet import Kubelet
from tests.pods.logs import parse_time
from tests.pods.objects import Change, Json, Objects, json_patch, merge, selector

Answer = tuple[int, Json | None] | Iterator[bytes]
BOOKMARK_SECONDS = 0.2  # between two bookmarks; a real server takes a minute


@dataclass(frozen=True)
class Request:
    """A request, taken apart. ``below``: the subresource, as ``log``."""

    method: str
    namespace: str
    resource: str
    name: str
    below: str
    query: dict[str, str]
    body: Json

    @property
    def key(self) -> tuple[str, str, str]:
        return self.resource, self.namespace, self.name


class Answers:
    """Status and object, or the chunks of a stream."""

    def __init__(self, objects: Objects, kubelet: Kubelet, closing: threading.Event) -> None:
        self._objects = objects
        self._kubelet = kubelet
        self._closing = closing
        self.always_bookmarks = False  # also for those who do not ask for them

    def of(self, request: Request) -> Answer:
        """Raises `Refusal`."""
        if request.below:
            return self._log(request)
        if request.method == "POST":
            return 201, self._create(request)
        if request.method == "PATCH":
            return 200, self._objects.edit(request.key, lambda item: _patch(item, request.body))
        if request.method == "DELETE":
            return 200, self._delete(request)
        if request.name:
            return 200, self._objects.get(request.key)
        chosen = selector(request.query.get("labelSelector", ""), request.query.get("fieldSelector", ""))
        if request.query.get("watch") in ("true", "True", "1"):
            return self._watch(request, chosen)
        return 200, self._list(request, chosen)

    def _create(self, request: Request) -> Json:
        body = dict(request.body)
        if request.resource == "pods":
            body = _defaulted(body)
        if request.resource == "secrets":
            body = _encoded(body)
        made = self._objects.create(request.resource, request.namespace, body)
        if request.resource == "pods":
            self._kubelet.created(("pods", request.namespace, made["metadata"]["name"]))
        return made

    def _list(self, request: Request, chosen: Callable[[Json], bool]) -> Json:
        with self._objects.changed:
            items = self._objects.chosen(request.resource, request.namespace, chosen)
            version = str(self._objects.version)
        for item in items:  # a list says it once, at its top
            del item["kind"], item["apiVersion"]
        kind = f"{statuses.KINDS[request.resource]}List"
        return {"kind": kind, "apiVersion": "v1", "metadata": {"resourceVersion": version}, "items": items}

    def _delete(self, request: Request) -> Json:
        found = self._objects.get(request.key)
        uid = found["metadata"]["uid"]
        expected = (request.body.get("preconditions") or {}).get("uid", uid)
        if expected != uid:
            raise statuses.other_uid(found["kind"], request.name, expected=expected, found=uid)
        version = found["metadata"]["resourceVersion"]
        if (request.body.get("preconditions") or {}).get("resourceVersion", version) != version:
            raise statuses.conflict()
        if request.resource != "pods":
            self._objects.remove(request.key)
            details = {"name": request.name, "kind": request.resource, "uid": uid}
            return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
        grace = request.body.get("gracePeriodSeconds")
        if grace is None:
            grace = request.query.get("gracePeriodSeconds")
        return self._kubelet.delete(request.key, None if grace is None else int(grace))

    def _watch(self, request: Request, chosen: Callable[[Json], bool]) -> Iterator[bytes]:
        query, objects = request.query, self._objects
        end = time.monotonic() + float(query.get("timeoutSeconds", 1800))
        bookmarks = self.always_bookmarks or query.get("allowWatchBookmarks") in ("true", "True")
        with objects.changed:
            version = int(query.get("resourceVersion") or 0)
            initial = objects.chosen(request.resource, request.namespace, chosen) if version == 0 else []
            if version and version < objects.oldest:
                return iter([told("ERROR", statuses.expired(version).body)])
            version = version or objects.version
        return self._changes(request, chosen, initial, _Watch(version, end, bookmarks))

    def _changes(
        self, request: Request, chosen: Callable[[Json], bool], initial: list[Json], watch: _Watch
    ) -> Iterator[bytes]:
        for item in initial:
            yield told("ADDED", item)
        marked = time.monotonic()
        while (left := watch.end - time.monotonic()) > 0 and not self._closing.is_set():
            for change in self._since(watch.version, min(left, 0.1)):
                watch.version = change.version
                if change.key[:2] == (request.resource, request.namespace) and (event := _seen(change, chosen)):
                    yield event
            if watch.bookmarks and time.monotonic() > marked + BOOKMARK_SECONDS:
                marked = time.monotonic()
                metadata = {"resourceVersion": str(watch.version), "creationTimestamp": None}
                kind = statuses.KINDS[request.resource]
                yield told("BOOKMARK", {"kind": kind, "apiVersion": "v1", "metadata": metadata})
            yield b""

    def _since(self, version: int, patience: float) -> list[Change]:
        with self._objects.changed:
            if self._objects.version <= version:
                self._objects.changed.wait(patience)
            return [change for change in self._objects.changes if change.version > version]

    def _log(self, request: Request) -> Answer:
        pod = self._objects.get(request.key)
        names = [container["name"] for container in pod["spec"]["containers"]]
        query = request.query
        container = query.get("container", names[0])
        if container not in names:
            raise statuses.bad_request(f"container {container} is not valid for pod {request.name}")
        if not pod["spec"].get("nodeName"):
            return 204, None
        try:
            since = parse_time(query["sinceTime"]) if "sinceTime" in query else None
        except ValueError as error:
            raise statuses.bad_request(str(error)) from None
        log = self._kubelet.log(pod, container)
        tail = int(query["tailLines"]) if "tailLines" in query else None
        if "limitBytes" in query:
            most = int(query["limitBytes"])
            whole = b"".join(log.read(since=since, tail=tail, stamps=query.get("timestamps") in ("true", "True")))
            return iter([whole[:most]])
        follow = query.get("follow") in ("true", "True")
        return log.read(since=since, tail=tail, stamps=query.get("timestamps") in ("true", "True"), follow=follow)


@dataclass
class _Watch:
    version: int
    end: float
    bookmarks: bool


def told(kind: str, item: Any) -> bytes:
    """An event of a watch, as one line."""
    return json.dumps({"type": kind, "object": item}, separators=(",", ":")).encode() + b"\n"


def _seen(change: Change, chosen: Callable[[Json], bool]) -> bytes | None:
    """The change as it looks through the selectors; None where it does not show."""
    before = change.before if change.before and chosen(change.before) else None
    after = change.after if change.after and chosen(change.after) else None
    if after:
        return told("MODIFIED" if before else "ADDED", after)
    return told("DELETED", {**before, "metadata": _at(before, change.version)}) if before else None


def _at(item: Json, version: int) -> Json:
    return {**item["metadata"], "resourceVersion": str(version)}


def _defaulted(body: Json) -> Json:
    """A pod with what the server fills in. Raises `Refusal`."""
    name = str(body.get("metadata", {}).get("name"))
    containers = body.get("spec", {}).get("containers")
    if not containers:
        raise statuses.invalid("Pod", name, "spec.containers", "Required value")
    for container in containers:
        for item in container.get("env", []):
            if not isinstance(item.get("value", ""), str):
                raise statuses.bad_request(
                    'Pod in version "v1" cannot be handled as a Pod: v1.Pod.Spec: v1.PodSpec.Containers: '
                    '[]v1.Container: v1.Container.Env: []v1.EnvVar: v1.EnvVar.Value: ReadString: expects " or n, '
                    f"but found {str(item['value'])[0]}"
                )
    own: Json = {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File", "resources": {}}
    spec: Json = {"restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "schedulerName": "default-scheduler"}
    filled = [{**own, **container} for container in containers]
    status: Any = {"phase": "Pending", "qosClass": "BestEffort"}
    return {**body, "spec": {**spec, **body["spec"], "containers": filled}, "status": status}


def _patch(item: Json, body: Any) -> None:
    if isinstance(body, list):
        json_patch(item, body)
    else:
        item.update(merge(item, body))


def _encoded(body: Json) -> Json:
    text = body.pop("stringData", None) or {}
    data = {name: base64.b64encode(str(value).encode()).decode() for name, value in text.items()}
    return {"type": "Opaque", **body, "data": {**(body.get("data") or {}), **data}}
