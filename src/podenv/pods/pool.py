"""Idle pods of an environment, one of which a task takes instead of a new one: which, and with what. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from podenv.call import warm
from podenv.catalogue import names, quantity
from podenv.errors import ResourceError
from podenv.pods import status
from podenv.pods.client import Json
from podenv.pods.manifest import CONTAINER, base_container
from podenv.runtime.call import PREFIX
from podenv.runtime.warm import IMPORTS

SILENT = timedelta(minutes=10)  # without a Call, after which a pod that was taken is deleted
YOUNG = timedelta(seconds=3)  # since its start, in which an idle pod may still load its runtime
LONG = timedelta(minutes=1)  # more than an import takes, and than the clocks of two machines differ
SAFE_TO_EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"
_OWN = "podenv.dev/"  # what podenv itself says of a pod
_AT_START = re.compile(r"LD_|PYTHON|MALLOC_|GLIBC_|LC_|LANG(UAGE)?$|TZ$")  # read before a Call can come
_READ_BY_NOBODY = re.compile(rf"{PREFIX}|AIRFLOW_(CONN|VAR)_|TRACEPARENT$")  # when a module is imported
_REFERENCE = re.compile(r"\$(\$|\([^)]*\))")
_STAMP = re.compile(rb"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d) ", re.MULTILINE)
_LABELS = ("metadata.labels", "metadata.annotations")
_DEADLINE = "activeDeadlineSeconds"


@dataclass(frozen=True)
class Pool:
    """An environment's idle pods: the hash of what they are made from; ``template`` is the PodTemplate's."""

    hash: str
    template: Json


def why_unlike(pod: Json, pool: Pool) -> str:
    """What keeps ``pod``, a task's, from being one that was started before it was known; empty if nothing does."""
    ours, theirs = _comparable(pod, pool.template), _comparable(pool.template, pool.template)
    if found := _difference(ours, theirs):
        return f"{found} is not what the environment's pods have"
    for item in base_container(pod).get("env") or []:
        name, value = item["name"], item.get("value", "")
        field = ((item.get("valueFrom") or {}).get("fieldRef") or {}).get("fieldPath", "")
        if field.startswith(_LABELS):
            return f"the variable {name} has the pod's {field.partition('.')[2]}"
        if item in (base_container(pool.template).get("env") or []) or "valueFrom" in item:
            continue
        if _AT_START.match(name):
            return f"the variable {name} is read when a program starts"
        if any(match[1] != "$" for match in _REFERENCE.finditer(value)):
            return f"the variable {name} refers to another one"
    return ""


def why_unfit(variables: Mapping[str, str], idle: Json) -> str:
    """What keeps ``idle`` from taking a task with these variables; empty if nothing does."""
    if not _variables(idle).get(IMPORTS):
        return ""
    read = next((name for name in variables if not _READ_BY_NOBODY.match(name)), None)
    return f"a module of warm.imports may have read the variable {read}" if read else ""


def waits(pod: Json) -> bool:
    """True if an idle pod can take a Call."""
    container = status.container(pod, CONTAINER) or {}
    return status.is_running(pod, CONTAINER) and not status.is_going(pod) and not container.get("restartCount")


def is_ready(pod: Json, pod_of_task: Json) -> bool:
    """True if the idle ``pod`` can take a Call, and runs the image of the task's own."""
    return waits(pod) and base_container(pod).get("image") == base_container(pod_of_task).get("image")


def is_young(pod: Json, now: datetime) -> bool:
    """True if it may be busy with its own start."""
    began = _moment((status.container(pod, CONTAINER) or {}).get("state", {}).get("running", {}).get("startedAt"))
    return began is not None and now - began < YOUNG


def is_claimed(pod: Json) -> bool:
    """True for a task's pod that was an idle one."""
    return bool(status.annotation(pod, names.CLAIMED_ANNOTATION))


def is_idle(pod: Json) -> bool:
    """True for a pod that no task has taken."""
    return bool(status.label(pod, names.WARM_LABEL))


def is_silent(pod: Json, now: datetime) -> bool:
    """True if a task took the pod so long ago that it should have its Call by now."""
    claimed = _moment(status.annotation(pod, names.CLAIMED_ANNOTATION))
    return claimed is not None and now - claimed > SILENT and not status.is_going(pod) and not is_idle(pod)


def has_call(log: bytes, pod: Json) -> bool:
    """True if the container of a ``pod`` that was taken got its Call, by its ``log`` with timestamps."""
    if warm.taken(status.token_of(pod)).rstrip() in log:
        return True
    # The node may have rotated that line away. Long after it was taken, only a pod with a Call prints.
    claimed = _moment(status.annotation(pod, names.CLAIMED_ANNOTATION))
    stamps = [datetime.fromisoformat((time + zone).decode()) for time, zone in _STAMP.findall(log)[-1:]]
    return claimed is not None and any(stamp - claimed > LONG for stamp in stamps)


def claim(idle: Json, pod: Json, now: datetime) -> list[Json]:
    """A JSON patch by which ``idle`` becomes the task's ``pod``; it fails where another task was faster."""
    metadata, own = idle["metadata"], as_claimed(idle, pod, now)["metadata"]
    patch: list[Json] = [
        {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]},
        {"op": "test", "path": f"/metadata/labels/{_escaped(names.WARM_LABEL)}", "value": _label(idle)},
        {"op": "remove", "path": f"/metadata/labels/{_escaped(names.WARM_LABEL)}"},
        *({"op": "remove", "path": f"/metadata/{field}"} for field in _HELD if metadata.get(field)),
    ]
    for kind in ("labels", "annotations"):
        before = metadata.get(kind) or {}
        if not before:
            patch.append({"op": "add", "path": f"/metadata/{kind}", "value": {}})
        patch += [
            {"op": "add", "path": f"/metadata/{kind}/{_escaped(name)}", "value": value}
            for name, value in own[kind].items()
            if before.get(name) != value
        ]
    seconds = pod["spec"].get(_DEADLINE)
    if seconds is not None and seconds != idle["spec"].get(_DEADLINE):
        # It counts from the pod's start.
        begun = _moment(idle["status"].get("startTime")) or now
        patch.append(
            {"op": "add", "path": f"/spec/{_DEADLINE}", "value": seconds + math.ceil((now - begun).total_seconds())}
        )
    return patch


_HELD = ("ownerReferences", "finalizers")  # by which a controller holds a pod


def as_claimed(idle: Json, pod: Json, now: datetime) -> Json:
    """``idle`` as it will be once it is the task's ``pod``."""
    metadata = idle["metadata"]
    labels = {name: value for name, value in (metadata.get("labels") or {}).items() if name != names.WARM_LABEL}
    annotations = {SAFE_TO_EVICT: "false", **(pod["metadata"].get("annotations") or {})}
    annotations[names.CLAIMED_ANNOTATION] = now.isoformat(timespec="seconds")
    own = {name: value for name, value in metadata.items() if name not in _HELD}
    own["labels"] = {**labels, **(pod["metadata"].get("labels") or {})}
    own["annotations"] = {**(metadata.get("annotations") or {}), **annotations}
    return {**idle, "metadata": own}


def handed(pod: Json, secret: Mapping[str, str], claimed: Json) -> dict[str, str]:
    """The variables that ``claimed`` gets for the task's ``pod``, with those that a Secret would bring."""
    there = _variables(claimed)
    given = {
        item["name"]: _REFERENCE.sub(lambda match: "$" if match[1] == "$" else match[0], item.get("value", ""))
        for item in base_container(pod).get("env") or []
        if "valueFrom" not in item and there.get(item["name"]) != item.get("value", "")
    }
    given |= secret
    if there.get(warm.RUNTIME) == warm.runtime():
        given.pop(warm.RUNTIME, None)  # the one that it has loaded is this podenv's
    given[f"{PREFIX}TOKEN"] = status.token_of(claimed)
    return given


def _comparable(pod: Json, template: Json) -> Any:
    """What must be the same for a pod to stand for another."""
    spec = {name: value for name, value in pod["spec"].items() if name != "restartPolicy"}
    if _DEADLINE not in template["spec"]:  # it can be set later
        spec.pop(_DEADLINE, None)
    spec["containers"] = {one["name"]: _container(one) for one in spec["containers"]}
    notes = (pod.get("metadata") or {}).get("annotations") or {}
    annotations = {name: value for name, value in notes.items() if not name.startswith(_OWN)}
    return _present({"annotations": annotations, **spec})


def _container(container: Json) -> Json:
    found = dict(container)
    if container["name"] == CONTAINER:
        for name in ("command", "args"):
            found.pop(name, None)
        found["env"] = [item for item in container.get("env") or [] if "valueFrom" in item]
    resources = container.get("resources") or {}
    found["resources"] = {
        kind: {name: _amount(value) for name, value in amounts.items()} if kind in ("requests", "limits") else amounts
        for kind, amounts in resources.items()
    }
    return found


def _amount(value: Any) -> Any:
    try:
        return str(quantity.parse(str(value)).normalize())
    except ResourceError:
        return value


def _present(value: Any) -> Any:
    """``value`` without what says nothing: the server and the models of its client leave out different things."""
    if isinstance(value, dict):
        return {key: kept for key, one in value.items() if (kept := _present(one)) not in (None, "", {}, [])}
    if isinstance(value, list):
        return [_present(one) for one in value]
    return value


def _difference(ours: Any, theirs: Any, path: str = "") -> str:
    """Where the two differ first; empty if they do not."""
    if ours == theirs:
        return ""
    if isinstance(ours, dict | None) and isinstance(theirs, dict | None):
        ours, theirs = ours or {}, theirs or {}
        for key in sorted(ours.keys() | theirs.keys()):
            if found := _difference(ours.get(key), theirs.get(key), f"{path}.{key}" if path else key):
                return found
    return path


def _variables(pod: Json) -> dict[str, str]:
    return {item["name"]: item.get("value", "") for item in base_container(pod).get("env") or []}


def _label(pod: Json) -> str:
    return status.label(pod, names.WARM_LABEL)


def _escaped(name: str) -> str:
    """A key as a JSON pointer holds it (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def _moment(text: str | None) -> datetime | None:
    found = status.moment(text)
    return found if found is None or found.tzinfo else found.replace(tzinfo=UTC)
