"""How releases are: what Helm remembers, and whether the cluster still has it so."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from podenv.catalogue import names
from podenv.errors import AccessRefused
from podenv.release import manifest, nodes, records
from podenv.release.cluster import Cluster, Json
from podenv.release.records import Record

_AT_ONCE = 8  # requests; each kind of object is one
Key = tuple[str, tuple[str, str, str]]  # namespace, and what tells objects of one release apart


@dataclass(frozen=True)
class Drift:
    """One way in which an object is not as the release has it: ``what`` is gone, changed or added, ``path`` where."""

    object: str
    what: str
    path: str = ""

    def __str__(self) -> str:
        return f"{self.object} {self.what}: {self.path}" if self.path else f"{self.object} {self.what}"


@dataclass(frozen=True)
class State:
    """One release: its newest record, the one that is deployed, and how the cluster differs from the latter."""

    latest: Record | None = None
    deployed: Record | None = None
    drift: tuple[Drift, ...] = ()
    live: tuple[tuple[Json, Json], ...] = ()
    """The deployed record's objects, each as rendered and as it is; a missing one is not among them."""

    @property
    def pending(self) -> bool:
        """Whether a change was begun and not ended."""
        return self.latest is not None and self.latest.status in records.PENDING

    def is_settled(self, inputs: str) -> bool:
        """Whether nothing is to be done for a release that should be made from ``inputs``; nodes that pull are."""
        if self.deployed is None or self.latest is not self.deployed or self.drift:
            return False
        warm = all(nodes.is_warm(live) for _, live in self.live if live["kind"] == "DaemonSet")
        return warm and self.deployed.inputs == inputs


def survey(cluster: Cluster, places: dict[str, str]) -> dict[str, State]:
    """The state of each release in ``places`` (name -> namespace).

    One call for the records, one for each kind of object; where the user may not list all namespaces, one for each of
    them. Raises `NoCluster`, `AccessRefused`.
    """
    found = {name: read[:] for name, read in records.read(cluster, places).items()}
    deployed = {
        name: next((record for record in of_one if record.status == "deployed"), None) for name, of_one in found.items()
    }
    live = _live(cluster, [record for record in deployed.values() if record is not None])
    states = {}
    for name, of_one in found.items():
        record = deployed[name]
        pairs = tuple(_pairs(record, live)) if record else ()
        drift = tuple(one for rendered, there in pairs for one in _drift(rendered, there))
        kept = tuple((rendered, there) for rendered, there in pairs if there is not None)
        states[name] = State(of_one[0] if of_one else None, record, drift, kept)
    return states


def _pairs(record: Record, live: dict[Key, Json]) -> Iterator[tuple[Json, Json | None]]:
    for rendered in record.objects:
        identity = manifest.identity(rendered)
        there = live.get((_namespace(rendered, record), identity))
        yield rendered, there or live.get(("", identity))  # what lives in no namespace


def _namespace(item: Json, record: Record) -> str:
    return str(item["metadata"].get("namespace") or record.namespace)


def _drift(rendered: Json, live: Json | None) -> Iterator[Drift]:
    title = manifest.title(rendered)
    if live is None:
        yield Drift(title, "is gone")
        return
    for path, wanted, _ in manifest.changes(rendered, live):
        yield Drift(title, "has one more" if wanted is manifest.ABSENT else "was changed", manifest.dotted(path))
    for path in manifest.additions(rendered, live):
        yield Drift(title, "was added to", manifest.dotted(path))


def _live(cluster: Cluster, deployed: list[Record]) -> dict[Key, Json]:
    """What the cluster has of the records' objects."""
    wanted = [(record, item) for record in deployed for item in record.objects]
    labelled = {(item["apiVersion"], item["kind"]) for _, item in wanted if _is_ours(item)}
    namespaces = {record.namespace for record in deployed}
    found: dict[Key, Json] = {}
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="podenv-survey") as pool:
        for items in pool.map(lambda kind: _list(cluster, kind, namespaces), sorted(labelled)):
            found.update({(item["metadata"].get("namespace", ""), manifest.identity(item)): item for item in items})
        others = [(record, item) for record, item in wanted if not _is_ours(item)]
        for (record, item), there in zip(others, pool.map(lambda one: _get(cluster, *one), others), strict=True):
            if there is not None:
                found[_namespace(item, record), manifest.identity(item)] = there
    return found


def _is_ours(item: Json) -> bool:
    """Whether the environment's label finds it; objects that a person added need not have it."""
    return names.ENVIRONMENT_LABEL in (item["metadata"].get("labels") or {})


def _list(cluster: Cluster, kind_of: tuple[str, str], namespaces: set[str]) -> list[Json]:
    api_version, kind = kind_of

    def of(namespace: str = "") -> list[Json]:
        items = cluster.list(api_version, kind, namespace=namespace, labels=names.ENVIRONMENT_LABEL)
        return [{**item, "apiVersion": api_version, "kind": kind} for item in items]  # a list's items have neither

    if len(namespaces) > 1:
        try:
            return of()
        except AccessRefused:
            pass  # the user may well read these namespaces and no others
    return [item for namespace in sorted(namespaces) for item in of(namespace)]


def _get(cluster: Cluster, record: Record, item: Json) -> Json | None:
    if not cluster.knows(item["apiVersion"], item["kind"]):
        return None
    namespace = _namespace(item, record)
    return cluster.get(cluster.path(item["apiVersion"], item["kind"], namespace, item["metadata"]["name"]))
