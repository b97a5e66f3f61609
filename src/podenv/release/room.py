"""What a cluster allows the tasks of environments: limit ranges, quotas and the size of its nodes; three requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from podenv.catalogue import quantity
from podenv.catalogue.environment import Environment
from podenv.check.rules.limits import Room
from podenv.release import spec
from podenv.release.cluster import Cluster, Json


def room(cluster: Cluster, environments: Sequence[Environment], prefix: str) -> Room:
    """What there is for each environment. Raises `ReleaseError` where the cluster does not say."""
    namespaces = {one.name: spec.namespace(one, prefix) for one in environments}
    ranges = _by_namespace(cluster.list("v1", "LimitRange"), _maximum)
    quotas = _by_namespace(cluster.list("v1", "ResourceQuota"), lambda one: one.get("spec", {}).get("hard") or {})
    nodes = [one for one in cluster.list("v1", "Node") if not one.get("spec", {}).get("unschedulable")]
    return Room(
        {name: ranges[namespace] for name, namespace in namespaces.items() if namespace in ranges},
        {name: quotas[namespace] for name, namespace in namespaces.items() if namespace in quotas},
        tuple(one["status"]["allocatable"] for one in nodes if one.get("status", {}).get("allocatable")),
    )


def _maximum(limit_range: Json) -> dict[str, str]:
    items = limit_range.get("spec", {}).get("limits") or []
    found: dict[str, str] = {}
    for item in items:
        if item.get("type") == "Container":
            found |= item.get("max") or {}
    return found


def _by_namespace(objects: Sequence[Json], content: Callable[[Json], dict[str, str]]) -> dict[str, dict[str, str]]:
    """What objects say, by their namespace; where several are in one, the smaller amount holds."""
    found: dict[str, dict[str, str]] = {}
    for one in objects:
        held = found.setdefault(one["metadata"]["namespace"], {})
        for name, value in content(one).items():
            if name not in held or quantity.parse(str(value)) < quantity.parse(held[name]):
                held[name] = str(value)
    return found
