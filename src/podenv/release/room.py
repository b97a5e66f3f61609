"""What clusters allow the tasks of environments: limit ranges, quotas and the size of nodes; three requests each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from podenv.catalogue import quantity
from podenv.catalogue.environment import Environment
from podenv.check.rules.limits import Room
from podenv.errors import AccessRefused, ReleaseError
from podenv.release import Releases
from podenv.release.cluster import Json
from podenv.release.clusters import Clusters, place


def rooms(clusters: Clusters, environments: Iterable[Environment]) -> tuple[dict[str, Room], list[str]]:
    """What there is for each environment in its cluster, by name, and what clusters do not say, each with why.

    Raises `ReleaseError` where the only cluster does not answer.
    """
    found: dict[str, Room] = {}
    untold: list[str] = []
    for releases, members, answer in clusters.each(environments, room):
        if isinstance(answer, ReleaseError):
            names = ", ".join(one.name for one in members)
            untold.append(f"what the cluster of {place(releases)} allows {names}: {answer}")
        else:
            found |= answer[0]
            untold += [f"what the {what} of {place(releases)} allow: {why}" for what, why in answer[1].items()]
    return found, untold


def room(releases: Releases, environments: Sequence[Environment]) -> tuple[dict[str, Room], dict[str, str]]:
    """What one cluster has for each environment, by name, and what this user may not read there, with why."""
    namespaces = releases.places(environments)
    refused: dict[str, str] = {}

    def read(kind: str, what: str, *, of: Iterable[str] = ("",)) -> list[Json]:
        try:
            return releases.cluster.list_in("v1", kind, of)
        except AccessRefused as error:
            refused[what] = str(error)
            return []

    ranges = _by_namespace(read("LimitRange", "limit ranges", of=namespaces.values()), _maximum)
    quotas = _by_namespace(
        read("ResourceQuota", "quotas", of=namespaces.values()), lambda one: one.get("spec", {}).get("hard") or {}
    )
    nodes = [one for one in read("Node", "nodes") if not one.get("spec", {}).get("unschedulable")]
    sizes = tuple(one["status"]["allocatable"] for one in nodes if one.get("status", {}).get("allocatable"))
    return {
        name: Room(ranges.get(namespace, {}), quotas.get(namespace, {}), sizes)
        for name, namespace in namespaces.items()
    }, refused


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
