"""Whose release, and whose objects: podenv changes what was made from its own chart, and nothing else."""

from __future__ import annotations

from podenv.errors import Conflict, ReleaseForeign, ReleaseMissing
from podenv.release import applied, chart
from podenv.release.applied import Applied
from podenv.release.cluster import Cluster
from podenv.release.records import Record

_WAYS_BACK = {"Argo CD": "`argocd app history` shows them.", "Flux": "`flux events` and the Git log show them."}
_OTHER_WAY = "The Git log of the manifests shows them."


def check_chart(record: Record) -> None:
    """Raise `ReleaseForeign` if a release was made from another chart."""
    if not record.is_of_podenv:
        raise ReleaseForeign(
            f"Release {record.name!r} in namespace {record.namespace!r} is of chart {record.chart}, not of podenv's "
            f"{chart.NAME}, and stays as it is. Give the environment another name (`git mv envs/{record.name} "
            f"envs/NAME`) or set another `namespace` in its values."
        )


def check_unapplied(found: Applied | None, name: str, namespace: str) -> None:
    """Raise `Conflict` if something other than Helm applies the environment."""
    if found is not None:
        raise Conflict(
            f"Environment {name!r} in namespace {namespace!r} is applied by {found.owner}, without a Helm release that "
            "podenv could upgrade; change it there (`podenv diff` shows what is not applied yet). To have podenv "
            "deploy it, first remove those objects where they come from."
        )


def missing(cluster: Cluster, name: str, namespace: str) -> ReleaseMissing:
    """The error for an environment without a release."""
    found = applied.look(cluster, name, namespace)
    if found is not None:
        shown_by = _WAYS_BACK.get(found.owner.tool, _OTHER_WAY)
        return ReleaseMissing(
            f"Environment {name!r} has no Helm release in namespace {namespace!r}: it is applied by {found.owner}. Its "
            f"revisions are there. {shown_by} To go back, revert that commit in Git."
        )
    return ReleaseMissing(
        f"Environment {name!r} has no release in namespace {namespace!r}; `podenv deploy {name}` makes it."
    )
