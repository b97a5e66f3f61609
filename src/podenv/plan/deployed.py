"""Which images run tasks now, and what is in them: PodTemplates, and what their releases have recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from podenv import lock
from podenv.catalogue import names
from podenv.catalogue.environment import Catalogue
from podenv.errors import AccessRefused, PodenvError
from podenv.plan.held import versions
from podenv.release import Releases, records
from podenv.release.cluster import Json
from podenv.release.records import Record


@dataclass(frozen=True)
class Deployed:
    """One environment in the cluster.

    ``image`` is what the next task runs in, ``lock`` the hash of the lock that it was made from (empty where that is
    not known), ``revision`` that of its Helm release (0 without one). ``packages``: name -> version, which is empty
    where the release names the package alone; None where nothing says what is in the image.
    """

    environment: str
    namespace: str
    image: str
    lock: str
    revision: int
    packages: Mapping[str, str] | None = field(default=None)


def read(releases: Releases, catalogue: Catalogue, only: Sequence[str] = ()) -> dict[str, Deployed]:
    """What is deployed, by the environment's name: those of the catalogue, and others below the same prefix.

    ``only``: just these. Raises `NoCluster`, `AccessRefused`.
    """
    places = _places(releases, catalogue, only)
    templates = {}
    for one in _templates(releases, places):
        name, namespace = one["metadata"]["labels"][names.ENVIRONMENT_LABEL], one["metadata"]["namespace"]
        ours = places.get(name) == namespace
        if ours or (not only and name not in places and namespace.startswith(releases.target.prefix)):
            templates[name] = one
    found = {name: one["metadata"]["namespace"] for name, one in templates.items()}
    recorded: dict[str, Record] = {}
    with suppress(AccessRefused):  # whoever may not read Secrets still sees images and the hashes of locks
        each = records.read(releases.cluster, found)
        recorded = {one.name: one for of_one in each.values() for one in of_one if _counts(one)}
    return {name: _deployed(catalogue, templates[name], recorded.get(name)) for name in sorted(templates)}


def _places(releases: Releases, catalogue: Catalogue, only: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in only or catalogue.names():
        with suppress(PodenvError):  # its values are wrong: what is deployed of it is found by its label
            found |= releases.places([catalogue[name]])
    return found


def _templates(releases: Releases, places: Mapping[str, str]) -> list[Json]:
    def of(namespace: str = "") -> list[Json]:
        return releases.cluster.list("v1", "PodTemplate", namespace=namespace, labels=names.ENVIRONMENT_LABEL)

    try:
        return of()
    except AccessRefused:
        return [one for namespace in sorted(set(places.values())) for one in of(namespace)]


def _deployed(catalogue: Catalogue, template: Json, record: Record | None) -> Deployed:
    metadata = template["metadata"]
    annotations = metadata.get("annotations") or {}
    name, lock_hash = metadata["labels"][names.ENVIRONMENT_LABEL], annotations.get(names.LOCK_ANNOTATION, "")
    digest = annotations.get(names.DIGEST_ANNOTATION, "")
    packages = _of_lock(catalogue, name, lock_hash)
    if packages is None and record is not None and record.digest == digest:
        packages = record.packages or None
    return Deployed(
        environment=name,
        namespace=metadata["namespace"],
        image=template["template"]["spec"]["containers"][0]["image"],
        lock=lock_hash,
        revision=record.revision if record is not None else 0,
        packages=packages,
    )


def _counts(record: Record) -> bool:
    return record.status == "deployed" and record.is_of_podenv


def _of_lock(catalogue: Catalogue, name: str, lock_hash: str) -> dict[str, str] | None:
    """What the lock here holds, where the image was made from the same."""
    with suppress(PodenvError):
        environment = catalogue[name]
        if lock_hash and lock.lock_hash(environment) == lock_hash:
            return versions(environment)
    return None
