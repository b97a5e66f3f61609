"""Helm's records of releases, read from where Helm keeps them: one Secret for each revision.

The form is that of Helm 3 and 4 (https://github.com/helm/helm/blob/main/pkg/storage/driver/secrets.go): the key
``release`` holds base64 of gzip of JSON; labels hold name, status and revision.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from packaging.utils import canonicalize_name

from podenv.catalogue import names
from podenv.errors import AccessRefused
from podenv.release import chart, manifest
from podenv.release.cluster import Cluster, Json, selector

PENDING = ("pending-install", "pending-upgrade", "pending-rollback", "uninstalling")


@dataclass(frozen=True)
class Record:
    """One revision of a release. ``mark`` is the last revision of the release that podenv deployed; 0 if none."""

    name: str
    namespace: str
    revision: int
    status: str
    mark: int
    content: Json

    @property
    def is_left_by_podenv(self) -> bool:
        """True if podenv began this pending change. Helm hands a mark on to every later revision."""
        return self.mark == self.revision if self.status in ("pending-install", "pending-upgrade") else self.mark > 0

    @property
    def chart(self) -> str:
        """Its chart with the version, like ``airflow-1.22.0``."""
        metadata = (self.content.get("chart") or {}).get("metadata") or {}
        return f"{metadata.get('name', 'unknown')}-{metadata.get('version', 'unknown')}"

    @property
    def is_of_podenv(self) -> bool:
        """True if it was made from podenv's chart, by podenv, by plain helm or by a GitOps tool."""
        metadata = (self.content.get("chart") or {}).get("metadata") or {}
        return metadata.get("name") == chart.NAME and f"{names.ENVIRONMENT_LABEL}: " in self.manifest

    @property
    def updated(self) -> str:
        """When it was made, as Helm writes it."""
        return str(self.content.get("info", {}).get("last_deployed", ""))

    @property
    def description(self) -> str:
        """Helm's description of it."""
        return str(self.content.get("info", {}).get("description", ""))

    @property
    def values(self) -> Json:
        """The values that it was made from, without the chart's defaults."""
        return self.content.get("config") or {}

    @property
    def digest(self) -> str:
        """The digest of its image; empty if the release names a tag instead."""
        return str((self.values.get("image") or {}).get("digest") or "")

    @property
    def lock(self) -> str:
        """The hash of the lock that its image was made from; empty if it is not recorded."""
        return str((self.values.get("lock") or {}).get("hash") or "")

    @property
    def packages(self) -> dict[str, str]:
        """Normalised name -> version of what is in its image; empty for a version that is not recorded."""
        recorded = (self.values.get("lock") or {}).get("packages") or []
        return dict(sorted(_named(str(one)) for one in recorded))

    @property
    def manifest(self) -> str:
        """The objects as Helm rendered them."""
        return str(self.content.get("manifest", ""))

    @cached_property
    def objects(self) -> list[Json]:
        """The objects of the manifest, parsed; hooks are left out."""
        return manifest.parse(self.manifest)


def entry(name: str, version: str) -> str:
    """A package as releases record it; ``version`` is an address where it was not taken from an index."""
    return f"{name} @ {version}" if "://" in version else f"{name}=={version}"


def _named(entry: str) -> tuple[str, str]:
    """The name and the version in an entry. Releases that an earlier podenv made hold names alone."""
    name, _, version = entry.partition(" @ ") if " @ " in entry else entry.partition("==")
    return canonicalize_name(name), version


def read(cluster: Cluster, places: dict[str, str], *, history: bool = False) -> dict[str, list[Record]]:
    """The records of releases, newest first: of each name in ``places`` (name -> namespace).

    Without ``history``, only those that say how a release is now. One request for all where the user may list Secrets
    in all namespaces, else one for each namespace.
    """
    labels: dict[str, str | Iterable[str]] = {"owner": "helm", "name": sorted(places)}
    if not history:
        labels["status"] = ("deployed", "failed", *PENDING)
    found: dict[str, list[Record]] = {name: [] for name in places}
    if not places:
        return found
    for secret in _secrets(cluster, sorted(set(places.values())), selector(labels)):
        record = _decode(secret)
        if places.get(record.name) == record.namespace:
            found[record.name].append(record)
    for records in found.values():
        records.sort(key=lambda record: -record.revision)
    return found


def _secrets(cluster: Cluster, namespaces: list[str], labels: str) -> list[Json]:
    if len(namespaces) > 1:
        try:
            return cluster.list("v1", "Secret", labels=labels)
        except AccessRefused:
            pass  # the user may still be allowed to read these namespaces
    each = (cluster.list("v1", "Secret", namespace=namespace, labels=labels) for namespace in namespaces)
    return [secret for secrets in each for secret in secrets]


def _decode(secret: Json) -> Record:
    labels = secret["metadata"]["labels"]
    packed = base64.b64decode(base64.b64decode(secret["data"]["release"]))
    content: dict[str, Any] = json.loads(gzip.decompress(packed))
    return Record(
        name=labels["name"],
        namespace=secret["metadata"]["namespace"],
        revision=int(labels["version"]),
        status=labels["status"],
        mark=int(labels.get(names.REVISION_LABEL, "0")),
        content=content,
    )
