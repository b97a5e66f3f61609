"""`podenv affected`, and the packages of `podenv diff --lock`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from podenv import lock
from podenv.catalogue.environment import Catalogue
from podenv.cli import output
from podenv.cli.choice import AsJson, DagsFolder, chosen, readable, shown
from podenv.cli.plan import NoSync, counted, listed, read_uses, use_json
from podenv.cli.target import DEFAULT_PREFIX, Context, Kubeconfig, Prefix, clusters
from podenv.errors import LockStale, PodenvError, ReleaseError
from podenv.plan import advisories, held, lockdiff
from podenv.plan import affected as blast
from podenv.plan import deployed as deploying
from podenv.plan.advisories import Question
from podenv.plan.affected import Hit
from podenv.plan.deployed import Deployed
from podenv.plan.lockdiff import LockDiff
from podenv.plan.uses import Uses
from podenv.release.clusters import Clusters

UNTOLD = 2  # exit code where something could not be told
_NoCluster = Annotated[bool, typer.Option("--no-cluster", help="Do not ask what is deployed.")]


def affected(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="PACKAGE[VERSIONS]|FILE...",
            help="A package like urllib3 or 'urllib3<2.2.2', an id, an OSV file, or a list of ids or packages.",
        ),
    ],
    folder: DagsFolder = None,
    no_sync: NoSync = False,
    no_cluster: _NoCluster = False,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    prefix: Prefix = DEFAULT_PREFIX,
    json: AsJson = False,
) -> None:
    """Show what a package reaches: locks, images, tasks.

    An id is looked up in the working folder, those of a list beside it: ID.json, or all.zip, which is OSV's archive of
    PyPI. No advisory is downloaded. The cluster of the kubeconfig says what is deployed. The exit code is 0 when
    nothing is affected, 1 when something is, 2 when nothing was found and something could not be looked at.

    \b
    Example:  podenv affected 'urllib3<2.2.2'
              podenv affected GHSA-34jh-p97f-mpxf.json --json | jq -r '.hits[].environment'
    """
    try:
        questions = advisories.questions(what)
        catalogue, names = chosen(None)
    except PodenvError as error:
        output.error(str(error))
        raise typer.Exit(UNTOLD) from None
    notes: list[str] = []
    with output.waiting("reading the DAG files") as (_, doing):
        uses = read_uses(catalogue, folder, sync=not no_sync, doing=doing)
        locked = _locked(catalogue, names, notes)
        there = None
        if not no_cluster:
            doing("asking the cluster what is deployed")
            there = _deployed(clusters(context, kubeconfig, prefix), catalogue, notes)
    unseen = blast.unseen(there or {})
    if unseen:
        notes.append(f"Nothing says what is in the deployed image of {', '.join(unseen)}.")
    files = {name: shown(catalogue.root / name / "requirements.txt") for name in locked}
    hits = blast.hits(questions, locked, there or {}, uses, files)
    if json:
        _print_json(questions, hits, uses, notes, deployed=there is not None)
    else:
        for question in questions:
            for line in _lines(question, [one for one in hits if one.question == question.text]):
                output.say(line)
    for note in [*uses.notes, *notes]:
        output.say(f"note: {note}", stderr=True)
    untold = unseen or len(locked) < len(names) or any(not one.is_certain for one in hits)
    if any(one.is_certain for one in hits):
        raise typer.Exit(1)
    if untold:
        raise typer.Exit(UNTOLD)


def _locked(catalogue: Catalogue, names: Sequence[str], notes: list[str]) -> dict[str, dict[str, tuple[str, ...]]]:
    """What the locks hold, name -> package -> versions; what is wrong with them becomes a note."""
    found = {}
    for name in names:
        try:
            found[name] = held.everywhere(catalogue[name])
            lock.check(catalogue[name])
        except LockStale as error:
            notes.append(str(error))
        except PodenvError as error:
            external = name in catalogue and _is_external(catalogue, name)
            if external:
                found[name] = {}
            else:
                notes.append(f"{name} is not judged: {error}")
    return found


def _is_external(catalogue: Catalogue, name: str) -> bool:
    with suppress(PodenvError):
        return bool(catalogue[name].spec.image.external)
    return False


def _deployed(target: Clusters, catalogue: Catalogue, notes: list[str]) -> dict[str, Deployed] | None:
    try:
        found, away = _in_clusters(target, catalogue, catalogue.names(), others=True)
    except ReleaseError as error:
        notes.append(f"What is deployed is not known: {error}")
        return None
    notes += [f"What is deployed is not known: {error}" for error in away.values()]
    return found


def _in_clusters(
    target: Clusters, catalogue: Catalogue, names: Sequence[str], *, others: bool = False
) -> tuple[dict[str, Deployed], dict[str, ReleaseError]]:
    """What is deployed of ``names``, and the errors of those whose cluster does not tell it.

    ``others``: where there is one cluster, also what is deployed there and not in the catalogue.
    """
    known = readable(catalogue, names)
    if others and len(groups := target.groups(known)) < 2:
        at = groups[0][0] if groups else target.current
        return deploying.read(at, catalogue), {}
    return target.ask(known, lambda at, members: deploying.read(at, catalogue, [one.name for one in members]))


def _lines(question: Question, hits: Sequence[Hit]) -> Iterable[str]:
    if not hits:
        yield f"{question.text}: no environment holds it."
        return
    tasks = {str(use) for one in hits for use in one.uses}
    yield f"{question.text}: {counted(len(hits), 'environment')}, {counted(len(tasks), 'task')}"
    for one in hits:
        yield f"  {one.environment}"
        if one.locked:
            yield f"    lock: {', '.join(one.locked)} in {one.lock}"
        if one.deployed:
            yield f"    deployed: {one.deployed} in {one.image} (namespace {one.namespace})"
        if one.importing:
            yield f"    imported by: {listed(one.importing)}"
        if one.uses:
            yield f"    tasks that run with it: {listed(one.uses)}"


def _print_json(
    questions: Sequence[Question], hits: Sequence[Hit], uses: Uses, notes: Sequence[str], *, deployed: bool
) -> None:
    output.as_json(
        {
            "questions": [one.text for one in questions],
            "hits": [
                {key: value for key, value in asdict(one).items() if key != "uses"}
                | {"tasks": [use_json(use) for use in one.uses], "importing": [str(use) for use in one.importing]}
                for one in hits
            ],
            "deployed_known": deployed,
            "notes": [*uses.notes, *notes],
        }
    )


def lock_diff(target: Clusters, names: Sequence[str] | None, folder: Path | None, *, json: bool) -> None:
    """Show the packages that a deploy would add, remove or change, and the tasks that import them."""
    catalogue, environments = chosen(names)
    with output.waiting("reading the DAG files") as (_, doing):
        uses = read_uses(catalogue, folder, sync=True, doing=doing)
        doing("asking the cluster what is deployed")
        there, away = _in_clusters(target, catalogue, environments)
    rows = []
    for name in environments:
        try:
            if name in away:
                raise away[name]
            found = lockdiff.of(catalogue[name], there.get(name), uses)
        except PodenvError as error:
            rows.append({"environment": name, "error": str(error)})
            output.error(f"{name}: {error}")
            continue
        rows.append(_lock_diff_json(found))
        for note in found.notes:
            output.say(f"note: {name}: {note}", stderr=True)
        if not json:
            _show_lock_diff(found)
    if json:
        output.as_json(rows)
    if any(row["error"] for row in rows):
        raise typer.Exit(1)


def _show_lock_diff(found: LockDiff) -> None:
    if not found.changes:
        output.say(f"{found.environment}: no package changes")
        return
    output.say(f"{found.environment}: {counted(len(found.changes), 'package')}")
    rows = [
        (one.package, one.what, one.before or "-", one.after or "-", listed(one.importing) or "-")
        for one in found.changes
    ]
    output.table(("PACKAGE", "CHANGE", "DEPLOYED", "LOCKED", "IMPORTED BY"), rows)


def _lock_diff_json(found: LockDiff) -> dict[str, Any]:
    changes = [asdict(one) | {"importing": [str(use) for use in one.importing]} for one in found.changes]
    return asdict(found) | {"changes": changes, "error": None}
