"""`podenv prune`: what is left of environments and tasks that ended."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Annotated, Any

import typer

from podenv.catalogue.environment import Catalogue
from podenv.cli import output
from podenv.cli.choice import AsJson
from podenv.cli.target import DEFAULT_PREFIX, Context, Kubeconfig, Prefix, clusters
from podenv.release import leftovers
from podenv.release.leftovers import Leftovers, TaskPod
from podenv.venv import prune as venvs

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def age(text: str) -> float:
    match = re.fullmatch(r"(\d+)([smhd])", text)
    if match is None:
        raise typer.BadParameter("write a number and a unit, like 90m, 24h or 7d.")
    return float(int(match[1]) * _UNITS[match[2]])


def prune(
    pods: Annotated[
        bool, typer.Option("--pods", help="Delete pods in the cluster that ended and that no worker came for.")
    ] = False,
    older_than: Annotated[
        Any,
        typer.Option(
            "--older-than",
            metavar="AGE",
            parser=age,
            help="With --pods: only those that ended at least so long ago: 90m, 24h, 7d. Until then retries find them.",
        ),
    ] = "24h",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --pods: show them, and delete none.")] = False,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    prefix: Prefix = DEFAULT_PREFIX,
    json: AsJson = False,
) -> None:
    """Remove unused virtual environments, or leftover pods.

    Without --pods: the local virtual environments. One is in use when a lock asks for it, in any catalogue that was
    synced on this machine.

    With --pods: the pods of this catalogue's environments. A pod is left over when its worker was killed and no later
    try of its task came; a pod that its task keeps (on_finish_action) stays. Pods that still run are shown, not
    deleted: a worker may follow them.

    \b
    Example:  podenv prune
              podenv prune --pods --older-than 6h --dry-run
    """
    if not pods:
        _prune_venvs(json=json)
        return
    found = clusters(context, kubeconfig, prefix)
    with output.waiting("looking for pods"):
        each = [
            leftovers.prune(at.cluster, at.places(members), older_than=older_than, dry_run=dry_run)
            for at, members in found.groups(Catalogue.find())
        ]
    left = Leftovers(tuple(one for of in each for one in of.ended), tuple(one for of in each for one in of.alive))
    if json:
        output.as_json({**asdict(left), "dry_run": dry_run})
        return
    _show_pods(left, "would be deleted" if dry_run else "deleted")


def _show_pods(left: Leftovers, deleted: str) -> None:
    rows = [*((one, deleted) for one in left.ended), *((one, "left: it has not ended") for one in left.alive)]
    if rows:
        columns = ("ENVIRONMENT", "POD", "TASK", "AGE", "WHAT")
        output.table(columns, [(*_cells(one), what) for one, what in rows])
    output.say(f"{len(left.ended)} {deleted}; {len(left.alive)} left.")


def _cells(one: TaskPod) -> tuple[str, str, str, str]:
    return one.environment, f"{one.namespace}/{one.name}", one.task, f"{one.age_seconds / 3600:.1f} h"


def _prune_venvs(*, json: bool) -> None:
    pruned = venvs.prune()
    if json:
        removed = [{**asdict(one), "path": str(one.path)} for one in pruned.removed]
        output.as_json(
            {"removed": removed, "freed_bytes": pruned.freed_bytes, "kept": pruned.kept, "in_use": pruned.in_use}
        )
        return
    for one in pruned.removed:
        output.say(f"removed {one.path} ({output.size(one.freed_bytes)})")
    for key in pruned.in_use:
        output.say(f"left {key}: a process is using it")
    output.say(
        f"{len(pruned.removed)} removed, {output.size(pruned.freed_bytes)} freed; "
        f"{len(pruned.kept) + len(pruned.in_use)} left."
    )
