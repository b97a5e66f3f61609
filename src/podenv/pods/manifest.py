"""PodTemplate + a task's overrides + the Call -> one complete pod. Pure: plain dicts as the API takes them.

Everything a task may override is written as a partial pod and laid upon the template key by key, the way the API
server's strategic merge does it: maps merge, lists of things with a name merge by that name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any

from kubernetes.client import ApiClient

CONTAINER = "base"
# The merge keys of k8s.io/api/core/v1; a list that is not here is replaced, except those in `_APPENDED`.
_MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "ports": "containerPort",
    "imagePullSecrets": "name",
    "hostAliases": "ip",
    "resourceClaims": "name",
    "claims": "name",
}
_APPENDED = {"tolerations", "envFrom", "topologySpreadConstraints"}
# patchStrategy=retainKeys in k8s.io/api/core/v1: of two sources of one volume the later one counts.
_RETAINED = {"volumes", "resourceClaims"}
# Maps that hold one of several keys. Kubernetes merges these too, and then refuses the pod that has two.
_HANDLERS = {"exec", "grpc", "httpGet", "sleep", "tcpSocket"}
_ONE_OF = {
    **dict.fromkeys(("livenessProbe", "readinessProbe", "startupProbe", "preStop", "postStart"), _HANDLERS),
    "volumeMounts": {"subPath", "subPathExpr"},
}
_WHOLE = {"seccompProfile", "appArmorProfile", "env"}

Json = dict[str, Any]


def merge(base: Any, over: Any, *, key: str = "") -> Any:
    """``over`` laid upon ``base``, as the value of ``key``; neither is altered."""
    if isinstance(base, Mapping) and isinstance(over, Mapping):
        if key in _WHOLE:
            return over
        rivals = _ONE_OF.get(key, set())
        replaced = rivals - over.keys() if rivals & over.keys() else set()
        merged = {name: value for name, value in base.items() if name not in replaced}
        for name, value in over.items():
            merged[name] = merge(merged[name], value, key=name) if name in merged else value
        return merged
    if isinstance(base, list) and isinstance(over, list):
        if key in _APPENDED:
            return base + [item for item in over if item not in base]
        if key in _MERGE_KEYS:
            return _merge_named(base, over, key)
    return over


def _merge_named(base: list[Json], over: list[Json], key: str) -> list[Json]:
    """Two lists of ``key``: an item of ``over`` is laid upon the one of its name."""
    name = _MERGE_KEYS[key]
    merged = {item.get(name, number): item for number, item in enumerate(base)}
    for number, item in enumerate(over, start=len(base)):
        identity = item.get(name, number)
        below = merged.get(identity, {})
        if key in _RETAINED:
            below = {field: value for field, value in below.items() if field in item}
        elif key == "volumeMounts" and below.get("name") != item.get("name"):
            below = {}  # how another volume was mounted there says nothing of this one
        merged[identity] = merge(below, item, key=key)
    return list(merged.values())


def without_empty(values: Mapping[str, Any]) -> Json:
    """``values`` without those that say nothing, such as an argument's default; what is inside them stays."""
    return {key: value for key, value in values.items() if value is not None and value not in ("", {}, [])}


def to_json(model: Any) -> Any:
    """A model of the Kubernetes client, or a dict, as the API takes it (camelCase, without None)."""
    return _client().sanitize_for_serialization(model)


@lru_cache(maxsize=1)
def _client() -> ApiClient:
    return ApiClient()  # its serializer; making one takes milliseconds


def base_container(pod: Json) -> Json:
    """The container that runs the task. Raises KeyError where the pod has none."""
    for container in pod["spec"]["containers"]:
        if container["name"] == CONTAINER:
            return dict(container)
    raise KeyError(CONTAINER)


def image_digest(pod: Json) -> str:
    """The digest of the image that runs the task; empty where it is named without one."""
    return str(base_container(pod).get("image")).partition("@")[2]


def with_base(**fields: Any) -> Json:
    """A partial pod that sets ``fields`` of the container that runs the task."""
    return {"spec": {"containers": [{"name": CONTAINER, **fields}]}}


def complete(template: Json, overrides: Sequence[Json], *, name: str, namespace: str) -> Json:
    """One complete pod: the ``template`` of a PodTemplate (its ``template`` field), then each of ``overrides``.

    The task decides about its end alone, so ``restartPolicy`` is always Never.
    """
    pod: Json = {"apiVersion": "v1", "kind": "Pod", "metadata": template.get("metadata", {}), "spec": template["spec"]}
    for override in overrides:
        pod = merge(pod, override)
    pod["metadata"] = {**pod["metadata"], "name": name, "namespace": namespace}
    for kind in ("labels", "annotations"):  # None takes one of the template's away
        values = pod["metadata"].get(kind) or {}
        pod["metadata"][kind] = {key: value for key, value in values.items() if value is not None}
    pod["spec"] = {**pod["spec"], "restartPolicy": "Never"}
    return pod


def with_memory(pod: Json, memory: str) -> Json:
    """The same pod with another memory limit, and a request of as much, as a larger try after running out needs."""
    return dict(merge(pod, with_base(resources={"limits": {"memory": memory}, "requests": {"memory": memory}})))


def without_env(pod: Json, variables: Collection[str]) -> Json:
    """The same pod whose base container does not have ``variables``."""
    base = base_container(pod)
    less = {**base, "env": [one for one in base.get("env") or [] if one["name"] not in variables]}
    containers = [less if one["name"] == CONTAINER else one for one in pod["spec"]["containers"]]
    return {**pod, "spec": {**pod["spec"], "containers": containers}}


def with_secret(pod: Json, secret: str, variables: Collection[str]) -> Json:
    """The same pod with ``variables`` from the entries of the Secret of these names."""
    env = [{"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": name}}} for name in variables]
    return dict(merge(pod, with_base(env=env))) if env else pod


def owned_secret(name: str, pod: Json, values: Mapping[str, str], labels: Mapping[str, str]) -> Json:
    """A Secret that goes with a pod, of which ``pod`` is the metadata."""
    owner = {"apiVersion": "v1", "kind": "Pod", "name": pod["name"], "uid": pod["uid"]}
    metadata = {"name": name, "labels": dict(labels), "ownerReferences": [owner]}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": dict(values)}
