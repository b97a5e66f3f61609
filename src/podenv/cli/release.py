"""`podenv status`, `podenv warm`, `podenv history`, `podenv rollback`, `podenv test`, `podenv uninstall`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from podenv.catalogue.spec.warm import MOST_IDLE
from podenv.cli import output
from podenv.cli.choice import AsJson, Names, chosen, complete, readable
from podenv.cli.deploy import short
from podenv.cli.target import DEFAULT_PREFIX, Context, Kubeconfig, Prefix, Yes, clusters
from podenv.errors import PodenvError, ReleaseTestFailed
from podenv.release import PULL_SECONDS, Releases, manifest
from podenv.release.records import Record
from podenv.release.rollback import RollbackPlan
from podenv.release.status import NOT_DEPLOYED, UNKNOWN, Status
from podenv.release.status import status as read_status

_Name = Annotated[str, typer.Argument(metavar="NAME", help="Its name.", autocompletion=complete)]
TEST_SECONDS = 300.0  # the image may have to be pulled first


def status(
    names: Names = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    namespace_prefix: Prefix = DEFAULT_PREFIX,
    json: AsJson = False,
) -> None:
    """Show what is deployed, its health, and its drift.

    Drift is any difference between the lock in the repository, the image, the release, the objects in the cluster and
    the running pods. What controllers, operators or policies added to an object is not drift. The lock is "unknown"
    where a release was made without podenv and does not record it. What Argo CD, Flux or kubectl applied is told from
    the objects alone, beside what `podenv template` renders now. Environments of several clusters (cluster.context) are
    shown together; where a cluster does not answer their state is "unknown", and the exit code is 1.

    \b
    Example:  podenv status
              podenv status --json | jq -r '.[] | select(.drift != []) | .environment'
    """
    catalogue, environments = chosen(names)
    found = readable(catalogue, environments)
    rows, away = read_status(clusters(context, kubeconfig, namespace_prefix), found)
    if json:
        output.as_json([asdict(row) for row in rows])
    else:
        columns = ["ENVIRONMENT", "STATE", "REVISION", "IMAGE", "LOCK", "SINCE", "HEALTH", "DRIFT"]
        cells = [_cells(row) for row in rows]
        for column, more in (("WARM", [row.warm for row in rows]), ("CLUSTER", [row.cluster for row in rows])):
            if any(more):
                columns.append(column)
                cells = [(*of_one, one or "-") for of_one, one in zip(cells, more, strict=True)]
        output.table(columns, cells)
        for row in rows:
            for one in row.drift:
                output.say(f"{row.environment}: {one}")
    in_order = {environment.name for environment in found}
    broken = [name for name in environments if name not in in_order]
    for name in broken:
        try:
            catalogue[name]
        except PodenvError as failure:
            output.error(str(failure))
    for error in away.values():
        output.error(str(error))
    if broken or away:
        raise typer.Exit(1)


def _cells(row: Status) -> tuple[str, ...]:
    if row.state in (NOT_DEPLOYED, UNKNOWN):
        return row.environment, row.state, "-", "-", "-", "-", "-", "-"
    drift = str(len(row.drift)) if row.drift else "none"
    state = f"applied by {row.owner.partition(' (')[0]}" if row.owner else row.state
    return (
        row.environment, state, str(row.revision or "-"), short(row.digest), short(row.lock), _since(row.since),
        row.health, drift,
    )  # fmt: skip


def _since(text: str) -> str:
    """Helm's time (nanoseconds, with an offset) for people, in UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text or "-"
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def warm(
    name: _Name,
    idle: Annotated[
        int | None, typer.Option("--idle", metavar="N", min=0, max=MOST_IDLE, help="How many, until the next deploy.")
    ] = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    namespace_prefix: Prefix = DEFAULT_PREFIX,
    json: AsJson = False,
) -> None:
    """Show idle pods, or change their number for now.

    A task takes an idle pod, whose runtime is loaded, instead of a new one. The values say how many there are
    (`warm.idle`), and the next deploy takes another number back. Where they say null, KEDA, a schedule or this command
    owns the number, and no deploy changes it.

    \b
    Example:  podenv warm model-training
              podenv warm model-training --idle 16
    """
    target, namespace = _find(name, context, kubeconfig, namespace_prefix)
    found, asked_for = target.idle_pods(name, namespace, idle)
    if json:
        where = {"environment": name, "namespace": namespace}
        output.as_json(where | {"ready": found.ready, "wanted": found.wanted, "why": found.why, "asked_for": asked_for})
        return
    output.say(f"{name}: {found}{': ' if found.why else ''}{found.why}")
    if asked_for is None:
        output.say(f"{name}: `warm.idle` is null: no deploy changes the number")
    elif asked_for != found.wanted:
        output.say(f"{name}: the next deploy takes that back to {asked_for}")


def history(
    name: _Name,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    namespace_prefix: Prefix = DEFAULT_PREFIX,
    json: AsJson = False,
) -> None:
    """Show the revisions of an environment's release.

    \b
    Example:  podenv history model-training
    """
    target, namespace = _find(name, context, kubeconfig, namespace_prefix)
    rows = [_revision(record) for record in target.own_history(name, namespace)]
    if json:
        output.as_json(rows)
        return
    columns = ("REVISION", "STATE", "IMAGE", "LOCK", "SINCE", "DESCRIPTION")
    cells = [
        (
            str(row["revision"]), str(row["state"]), short(str(row["digest"])), short(str(row["lock"])),
            _since(str(row["since"])), str(row["description"]),
        )
        for row in rows
    ]  # fmt: skip
    output.table(columns, cells)


def _revision(record: Record) -> dict[str, object]:
    return {
        "revision": record.revision,
        "state": record.status,
        "digest": record.digest,
        "lock": record.lock,
        "since": record.updated,
        "description": record.description,
    }


def rollback(
    name: _Name,
    revision: Annotated[
        int | None, typer.Argument(metavar="[REVISION]", min=1, help="Default: the last one that was deployed before.")
    ] = None,
    yes: Yes = False,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout",
            metavar="SECONDS",
            min=1,
            help="How long nodes may take to pull the image, where pre-pull is on.",
        ),
    ] = PULL_SECONDS,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    namespace_prefix: Prefix = DEFAULT_PREFIX,
    json: AsJson = False,
) -> None:
    """Go back to an earlier revision; shows first what changes.

    The next task runs on its image. The whole release goes back, not only the image: access, limits, quota, network
    policy, variables, resources. It says first what differs, and asks where somebody would lose access (if Airflow may
    no longer launch pods, every task fails). The repository is not changed; `podenv status` shows the difference, and
    the next `podenv deploy` rolls forward.

    \b
    Example:  podenv rollback model-training
              podenv rollback model-training 3
    """
    target, namespace = _find(name, context, kubeconfig, namespace_prefix)
    plan = target.rollback_plan(name, namespace, revision)
    for line in _consequences(plan):
        output.say(f"{name}: {line}", stderr=json)
    if plan.lost_access and not yes:
        output.agree("Tasks that they launch would fail. Go back all the same?")
    record = target.rollback(plan, timeout=timeout)
    if json:
        changes = {"changes": plan.changes, "lost_access": plan.lost_access}
        output.as_json(_revision(record) | changes)
    else:
        output.say(f"{name}: {record.description.lower()}, as revision {record.revision}; image {short(record.digest)}")


def _consequences(plan: RollbackPlan) -> Iterator[str]:
    """The changes of a rollback, in lines for people."""
    current, goal = plan.current, plan.goal
    images = "the same image"
    if current.digest != goal.digest:
        images = f"image {short(current.digest)} becomes {short(goal.digest)}"
    yield f"from revision {current.revision} back to {goal.revision}: {images}"
    yield from plan.changes
    yield from plan.lost_access


def run_test(
    name: _Name,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=1, help="How long the pod may take.")
    ] = TEST_SECONDS,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    namespace_prefix: Prefix = DEFAULT_PREFIX,
    json: AsJson = False,
) -> None:
    """Run the release's test pod.

    It looks at the Python of the image and imports every package. A pod that passed is deleted; one that failed stays
    to be looked at, until the next test or `podenv uninstall`.

    \b
    Example:  podenv test model-training
    """
    target, namespace = _find(name, context, kubeconfig, namespace_prefix)
    left: list[str] = []
    failure, log = None, ""
    try:
        log = target.test(name, namespace, timeout=timeout, say=left.append)
    except ReleaseTestFailed as error:
        failure, log = error, error.log
    if json:
        output.as_json({"environment": name, "passed": failure is None, "log": log})
    else:
        output.text(log)
        if failure is None:
            output.say(f"{name}: the test passed")
    for line in left:
        output.say(f"{name}: {line}", stderr=True)
    if failure is not None:
        raise failure


def uninstall(
    name: _Name,
    yes: Yes = False,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    namespace_prefix: Prefix = DEFAULT_PREFIX,
    json: AsJson = False,
) -> None:
    """Remove an environment's release, if you agree.

    Its folder, its image and its namespace stay; tasks of it fail until it is deployed again.

    \b
    Example:  podenv uninstall model-training
    """
    target, namespace = _find(name, context, kubeconfig, namespace_prefix)
    newest = target.own_history(name, namespace)[0]
    objects = [manifest.title(item) for item in newest.objects]
    for line in (
        f"Removes release {name!r} in namespace {namespace!r} with its objects: {', '.join(objects)}.",
        f"The namespace stays; `kubectl delete namespace {namespace}` removes it with all that is in it.",
    ):
        output.say(line, stderr=json)
    if not yes:
        output.agree("Remove them?")
    target.uninstall(name, namespace)
    if json:
        output.as_json({"environment": name, "namespace": namespace, "removed": objects})
    else:
        output.say(f"{name}: removed")


def _find(name: str, context: str | None, kubeconfig: Kubeconfig, prefix: str) -> tuple[Releases, str]:
    """The releases, and the namespace of one."""
    catalogue, _ = chosen([name])
    target = clusters(context, kubeconfig, prefix).of(catalogue[name])
    return target, target.places([catalogue[name]])[name]
