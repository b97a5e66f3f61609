"""Whose release, and whose objects: podenv changes what was made from its own chart, and nothing else."""

from __future__ import annotations

from podenv.catalogue import names
from podenv.errors import Conflict, ReleaseForeign, ReleaseMissing
from podenv.release import chart
from podenv.release.cluster import Cluster, Json
from podenv.release.records import Record

_RELEASE_NAME = "meta.helm.sh/release-name"


def check_chart(record: Record) -> None:
    """Raise `ReleaseForeign` if a release was made from another chart."""
    if not record.is_of_podenv:
        raise ReleaseForeign(
            f"Release {record.name!r} in namespace {record.namespace!r} is of chart {record.chart}, not of podenv's "
            f"{chart.NAME}, and stays as it is. Give the environment another name (`git mv envs/{record.name} "
            f"envs/NAME`) or set another `namespace` in its values."
        )


def applied_without_helm(cluster: Cluster, name: str, namespace: str) -> Json | None:
    """The PodTemplate of an environment that was applied by something other than Helm; None if there is none."""
    found = cluster.get(cluster.path("v1", "PodTemplate", namespace, name))
    if found is None or _RELEASE_NAME in (found["metadata"].get("annotations") or {}):
        return None
    return found if names.ENVIRONMENT_LABEL in (found["metadata"].get("labels") or {}) else None


def check_objects(cluster: Cluster, name: str, namespace: str) -> None:
    """Raise `Conflict` if an environment without a release was applied without Helm."""
    if applied_without_helm(cluster, name, namespace) is not None:
        raise Conflict(
            f"Environment {name!r} was applied to namespace {namespace!r} without Helm, as a GitOps tool or `kubectl "
            f"apply` does; change it there. To have podenv deploy it, first remove those objects where they come from."
        )


def missing(cluster: Cluster, name: str, namespace: str) -> ReleaseMissing:
    """The error for an environment without a release."""
    if applied_without_helm(cluster, name, namespace) is not None:
        return ReleaseMissing(
            f"Environment {name!r} has no Helm release in namespace {namespace!r}: it was applied without Helm, as a "
            "GitOps tool or `kubectl apply` does; change it there."
        )
    return ReleaseMissing(
        f"Environment {name!r} has no release in namespace {namespace!r}; `podenv deploy {name}` makes it."
    )
