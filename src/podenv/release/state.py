"""The state of releases: what Helm has recorded, and how the cluster differs from that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from podenv.catalogue import names
from podenv.release import applied, manifest, nodes, ownership, pool, records
from podenv.release.applied import Applied
from podenv.release.cluster import Cluster, Json
from podenv.release.records import Record
from podenv.release.spec import ReleaseSpec

_PARALLEL_REQUESTS = 8  # one for each kind of object
_WORDS: dict[str, Literal["lacks", "was changed", "was added to"]] = {
    "missing": "lacks", "changed": "was changed", "added": "was added to",
}  # fmt: skip
Key = tuple[str, tuple[str, str, str]]  # namespace; group, kind and name


@dataclass(frozen=True)
class Drift:
    """One way in which an object differs from the release: ``what`` happened, ``path`` says where, ``by`` says who.

    Who is the field manager's name, or empty where that is not recorded.
    """

    object: str
    what: Literal["is gone", "lacks", "was changed", "was added to"]
    path: str = ""
    by: str = ""

    @property
    def is_missing(self) -> bool:
        """True if something of the release is missing; putting it back undoes no change of others."""
        return self.what in ("is gone", "lacks")

    @property
    def is_for_now(self) -> bool:
        """True for a number of idle pods that podenv set until the next deploy."""
        return self.by == pool.MANAGER

    def __str__(self) -> str:
        where = f"{self.object} {self.what}: {self.path}" if self.path else f"{self.object} {self.what}"
        return f"{where} (by {self.by})" if self.by else where


@dataclass(frozen=True)
class State:
    """One release: its newest record, the deployed one, and how the cluster differs from the latter."""

    latest: Record | None = None
    deployed: Record | None = None
    drift: tuple[Drift, ...] = ()
    live: tuple[tuple[Json, Json], ...] = ()
    """The deployed record's objects, each as rendered and as it is; missing ones are left out."""
    applied: Applied | None = None
    """What something other than Helm applied, where there is no record; ``drift`` is then from its objects alone."""

    @property
    def pending(self) -> bool:
        """True if a change has begun and has not ended."""
        return self.latest is not None and self.latest.status in records.PENDING

    @property
    def foreign(self) -> Record | None:
        """A record that was made from another chart than podenv's; None if there is none, and the release is ours."""
        return next((one for one in (self.latest, self.deployed) if one and not one.is_of_podenv), None)

    def is_settled(self, spec: ReleaseSpec, *, repair: bool = False) -> bool:
        """True if the deployed revision was made from ``spec``, nothing drifted, and pre-pull nodes hold the image.

        Without ``repair`` only what is missing, or changed until the next deploy, counts as drifted, with it also what
        others changed or added by hand.
        """
        if self.deployed is None or self.latest is not self.deployed:
            return False
        if any(repair or one.is_missing or one.is_for_now for one in self.drift):
            return False
        warm = all(nodes.is_warm(live) for _, live in self.live if live["kind"] == "DaemonSet")
        return warm and not spec.differences(self.deployed)


def survey(cluster: Cluster, places: dict[str, str]) -> dict[str, State]:
    """The state of each release in ``places`` (name -> namespace).

    One request for the records, one for each kind of object; where the user may not list all namespaces, one for each
    of them. The objects of other charts are not read. Where Helm has no record, the objects alone are looked at.
    Raises `NoCluster`, `AccessRefused`.
    """
    found = records.read(cluster, places)
    deployed = {name: next((one for one in of_one if one.status == "deployed"), None) for name, of_one in found.items()}
    live = _live(cluster, [record for record in deployed.values() if record is not None and record.is_of_podenv])
    unrecorded = applied.survey(cluster, {name: places[name] for name, of_one in found.items() if not of_one})
    states = {name: State(drift=tuple(drift_of(one)), applied=one) for name, one in unrecorded.items()}
    for name, of_one in found.items():
        if name in states:
            continue
        record = deployed[name]
        pairs = tuple(_pairs(record, live)) if record is not None and record.is_of_podenv else ()
        drift = dict.fromkeys(one for rendered, actual in pairs for one in _drift(rendered, actual))
        present = tuple((rendered, actual) for rendered, actual in pairs if actual is not None)
        states[name] = State(of_one[0] if of_one else None, record, tuple(drift), present)
    return states


def drift_of(found: Applied, rendered: Sequence[Json] = ()) -> Iterator[Drift]:
    """How applied objects differ from what was applied.

    Where ``rendered`` was made from the same values, they are compared with that, and it is seen if one is gone.
    """
    known = rendered if found.is_of(rendered) else ()
    sent = {manifest.identity(item): item for item in (*found.objects(known), *known)}
    live = {manifest.identity(item): item for item in found.live}
    for identity, item in sent.items():
        if identity in live or _is_labelled(item):
            yield from _drift(item, live.get(identity))


def _pairs(record: Record, live: dict[Key, Json]) -> Iterator[tuple[Json, Json | None]]:
    for rendered in record.objects:
        identity = manifest.identity(rendered)
        actual = live.get((_namespace(rendered, record.namespace), identity))
        yield rendered, actual or live.get(("", identity))  # an object without a namespace


def _namespace(item: Json, otherwise: str) -> str:
    return str(item["metadata"].get("namespace") or otherwise)


def _drift(rendered: Json, live: Json | None) -> Iterator[Drift]:
    title = manifest.title(rendered)
    if live is None:
        yield Drift(title, "is gone")
        return
    for one in ownership.differences(rendered, live):
        if pool.is_number_of_others(rendered, one.path):
            continue
        yield Drift(title, _WORDS[one.kind], manifest.dotted(one.path, live), one.manager)


def _live(cluster: Cluster, deployed: list[Record]) -> dict[Key, Json]:
    """The records' objects as the cluster has them."""
    rendered = [(record, item) for record in deployed for item in record.objects]
    labelled = {(item["apiVersion"], item["kind"]) for _, item in rendered if _is_labelled(item)}
    namespaces = {record.namespace for record in deployed}
    found: dict[Key, Json] = {}
    with ThreadPoolExecutor(_PARALLEL_REQUESTS, thread_name_prefix="podenv-survey") as pool:
        listed = pool.map(
            lambda kind: cluster.list_in(kind[0], kind[1], namespaces, labels=names.ENVIRONMENT_LABEL), sorted(labelled)
        )
        for items in listed:
            found.update({(item["metadata"].get("namespace", ""), manifest.identity(item)): item for item in items})
        others = [(record, item) for record, item in rendered if not _is_labelled(item)]
        gotten = pool.map(lambda one: _get(cluster, one[0].namespace, one[1]), others)
        for (record, item), actual in zip(others, gotten, strict=True):
            if actual is not None:
                found[_namespace(item, record.namespace), manifest.identity(item)] = actual
    return found


def _is_labelled(item: Json) -> bool:
    """True if the environment's label finds it; objects of ``extraObjects`` need not have it."""
    return names.ENVIRONMENT_LABEL in (item["metadata"].get("labels") or {})


def _get(cluster: Cluster, namespace: str, item: Json) -> Json | None:
    if not cluster.knows(item["apiVersion"], item["kind"]):
        return None
    place = _namespace(item, namespace)
    return cluster.get(cluster.path(item["apiVersion"], item["kind"], place, item["metadata"]["name"]))
