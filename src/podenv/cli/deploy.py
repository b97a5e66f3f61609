"""`podenv deploy`, `podenv up`, `podenv diff`, `podenv values`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from podenv import lock
from podenv.catalogue.environment import Environment
from podenv.catalogue.values import dump
from podenv.cli import certain, output
from podenv.cli.affected import lock_diff
from podenv.cli.certain import NoCheck
from podenv.cli.choice import AsJson, DagsFolder, Names, chosen, complete, readable
from podenv.cli.target import DEFAULT_PREFIX, Context, Kubeconfig, Prefix, Yes, clusters, releases
from podenv.errors import ReleaseError
from podenv.image.build import Images, Options
from podenv.release import PULL_SECONDS, DeployResult, Releases, masking
from podenv.release import diff as differing
from podenv.release.clusters import Clusters
from podenv.release.diff import Change
from podenv.release.state import State

PARALLEL_DEPLOYS = 4  # for half of its time, helm keeps a core busy
_STYLES = {"+": "green", "-": "red", "@": "cyan"}
_Name = Annotated[str, typer.Argument(metavar="NAME", help="Its name.", autocompletion=complete)]
_Timeout = Annotated[
    float,
    typer.Option(
        "--timeout", metavar="SECONDS", min=1, help="How long nodes may take to pull the image, where pre-pull is on."
    ),
]
_Concurrency = Annotated[
    int, typer.Option("--concurrency", metavar="N", min=1, max=64, help="How many environments at the same time.")
]


def deploy(
    names: Names = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Ask the cluster what would happen, and change nothing.")
    ] = False,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Also take back what others changed, and what people added by hand. It lists them and asks first.",
        ),
    ] = False,
    yes: Yes = False,
    timeout: _Timeout = PULL_SECONDS,
    concurrency: _Concurrency = PARALLEL_DEPLOYS,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    namespace_prefix: Prefix = DEFAULT_PREFIX,
    no_check: NoCheck = False,
    json: AsJson = False,
) -> None:
    """Roll environments out: one Helm release each.

    A release is deployed again where values, lock, image or chart changed, or where something of it is missing in the
    cluster. What others changed in its objects stays (`podenv status` shows it), unless a deploy sets that field again
    or --repair takes it back; what controllers added is never removed. An environment whose deploy fails stays as it
    was; the others are deployed all the same. The images must be in the registry (`podenv build --push`).

    \b
    Example:  podenv deploy
              podenv deploy model-training --dry-run
              podenv deploy model-training --repair
    """
    catalogue, environments = chosen(names)
    faults = {} if no_check else certain.faults(catalogue)
    target = clusters(context, kubeconfig, namespace_prefix)
    states, away = target.survey(readable(catalogue, environments))
    if repair:
        _agree_to_repair(states, yes=yes or dry_run, json=json)

    def work(name: str, say: output.Say) -> DeployResult:
        certain.refuse(name, faults)
        there = _at(target, catalogue[name], away)
        spec = there.spec_of(catalogue[name])
        if dry_run:
            return there.preview(spec, states[name], repair=repair)
        return there.deploy(spec, states[name], repair=repair, timeout=timeout, say=say)

    _roll_out(environments, work, dry_run=dry_run, concurrency=concurrency, json=json)


def up(
    names: Names = None,
    timeout: _Timeout = PULL_SECONDS,
    concurrency: _Concurrency = PARALLEL_DEPLOYS,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    namespace_prefix: Prefix = DEFAULT_PREFIX,
    no_check: NoCheck = False,
    json: AsJson = False,
) -> None:
    """Bring all up to date: check locks, build, push, deploy.

    \b
    Example:  podenv up
              podenv up data-cleaning
    """
    catalogue, environments = chosen(names)
    faults = {} if no_check else certain.faults(catalogue)
    target = clusters(context, kubeconfig, namespace_prefix)
    target.images = Images(Options(push=True))
    states, away = target.survey(readable(catalogue, environments))

    def work(name: str, say: output.Say) -> DeployResult:
        environment = catalogue[name]
        certain.refuse(name, faults)
        there = _at(target, environment, away)
        if states[name].foreign is None:  # its error needs no build
            lock.check(environment)
            target.images.build(environment, say=say)
        return there.deploy(there.spec_of(environment), states[name], timeout=timeout, say=say)

    _roll_out(environments, work, dry_run=False, concurrency=concurrency, json=json)


def _at(target: Clusters, environment: Environment, away: Mapping[str, ReleaseError]) -> Releases:
    """The releases of the environment's cluster. Raises its error where it does not answer."""
    if environment.name in away:
        raise away[environment.name]
    return target.of(environment)


def _agree_to_repair(states: Mapping[str, State], *, yes: bool, json: bool) -> None:
    """Say what a repair takes back, before anything is done, and ask."""
    lines = [f"{name}: {one}" for name, known in states.items() if not known.applied for one in known.drift]
    if not lines:
        return
    output.say("Takes back:", stderr=json)
    for line in lines:
        output.say(line, stderr=json)
    if not yes:
        output.agree("Take all of this back?")


def _roll_out(
    names: Sequence[str],
    work: Callable[[str, output.Say], DeployResult],
    *,
    dry_run: bool,
    concurrency: int,
    json: bool,
) -> None:
    outcomes = output.side_by_side(
        names, work, lambda outcome: _show(outcome, dry_run=dry_run, json=json), at_once=concurrency
    )
    if json:
        output.as_json([_as_dict(outcome) for outcome in outcomes])
    else:
        _summary(outcomes, dry_run=dry_run)
    failed = sum(outcome.error is not None for outcome in outcomes)
    if failed:
        if len(names) > 1:
            output.say(f"{failed} of {len(names)} environments could not be deployed.", stderr=True)
        raise typer.Exit(1)


def _show(outcome: output.Outcome[DeployResult], *, dry_run: bool, json: bool) -> None:
    if outcome.error is not None:
        output.error(str(outcome.error))
    elif outcome.value is not None:
        would_be = "would be " if dry_run else ""
        for warning in (*outcome.value.warnings, *_about_others(outcome.value, would_be)):
            output.say(f"warning: {outcome.name}: {warning}", stderr=True)
        if not json and outcome.value.action != "unchanged":
            output.say(
                f"{outcome.name}: {would_be}{outcome.value.action}{output.duration(outcome.seconds)}", stderr=True
            )


def _about_others(result: DeployResult, would_be: str) -> Iterator[str]:
    """Lines about the changes of others that a deploy took back, or left."""
    for one in result.taken_back:
        yield f"{would_be}taken back: {one}"
    for one in result.left:
        yield f"{one}; `podenv deploy {result.environment} --repair` takes that back"


def _summary(outcomes: Sequence[output.Outcome[DeployResult]], *, dry_run: bool) -> None:
    rows = []
    for outcome in outcomes:
        value = outcome.value
        if value is None:
            rows.append((outcome.name, "failed", "-", "-", "-"))
        else:
            result = f"would be {value.action}" if dry_run and value.action != "unchanged" else value.action
            rows.append((outcome.name, result, str(value.revision), value.namespace, short(value.digest)))
    output.table(("ENVIRONMENT", "RESULT", "REVISION", "NAMESPACE", "IMAGE"), rows)


def _as_dict(outcome: output.Outcome[DeployResult]) -> dict[str, object]:
    value = asdict(outcome.value) if outcome.value else {"environment": outcome.name, "action": "failed"}
    return value | {"seconds": round(outcome.seconds, 3), "error": str(outcome.error) if outcome.error else None}


def short(digest: str) -> str:
    """A digest for people: its first 12 hex digits."""
    return digest.removeprefix("sha256:")[:12] or "-"


def diff(
    names: Names = None,
    lock: Annotated[
        bool, typer.Option("--lock", help="Compare packages: those of the deployed image with those of the lock here.")
    ] = False,
    folder: DagsFolder = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    namespace_prefix: Prefix = DEFAULT_PREFIX,
    json: AsJson = False,
) -> None:
    """Show what a deploy would change, object by object.

    The new objects come from a dry run on the server. For an environment that a GitOps tool or kubectl applied, they
    are those of `podenv template`, beside what was applied. Contents of Secrets, and variables whose names say that
    they are secret, are masked. What others changed in the cluster is in `podenv status`. With --lock it shows the
    packages instead, and the tasks that import them.

    \b
    Example:  podenv diff model-training
              podenv diff --lock model-training
    """
    if lock:
        lock_diff(clusters(context, kubeconfig, namespace_prefix), names, folder, json=json)
        return
    catalogue, environments = chosen(names)
    target = clusters(context, kubeconfig, namespace_prefix)
    states, away = target.survey(readable(catalogue, environments))

    def work(name: str, say: output.Say) -> list[Change]:
        say("asks the API server")
        there = _at(target, catalogue[name], away)
        spec = there.spec_of(catalogue[name])
        known = states[name]
        rendered = there.rendered(spec, known)
        if known.applied is not None:
            return known.applied.changes(rendered)
        return differing.between(known.deployed.objects if known.deployed else [], rendered)

    def show(outcome: output.Outcome[list[Change]]) -> None:
        if outcome.error is not None:
            output.error(str(outcome.error))
        elif not json:
            print_changes(outcome.name, outcome.value or [])

    outcomes = output.side_by_side(environments, work, show)
    if json:
        output.as_json(
            [
                {
                    "environment": outcome.name,
                    "changes": [asdict(change) for change in outcome.value or []],
                    "error": str(outcome.error) if outcome.error else None,
                }
                for outcome in outcomes
            ]
        )
    if any(outcome.error for outcome in outcomes):
        raise typer.Exit(1)


def print_changes(name: str, changes: Sequence[Change]) -> None:
    """Print changes as a diff."""
    if not changes:
        output.say(f"{name}: nothing changes")
        return
    for change in changes:
        output.say(f"{name}: {change.action} {change.object}")
        for line in change.lines:
            output.console().print(Text(line, style=_STYLES.get(line[:1], "")), soft_wrap=True)


def values(
    name: _Name,
    reveal: Annotated[
        bool, typer.Option("--reveal", help="Show variables whose names say that they are secret.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Print what Helm gets: all values and the image's digest.

    \b
    Example:  podenv values data-cleaning --reveal | helm upgrade --install data-cleaning charts/airflow-env -f - -n ...
    """
    catalogue, _ = chosen([name])
    shown = releases(None, None, DEFAULT_PREFIX).spec_of(catalogue[name]).values
    if not reveal:
        shown, hidden = masking.masked_values(shown)
        if hidden:
            output.say(f"warning: {', '.join(hidden)} masked; --reveal shows them.", stderr=True)
    if json:
        output.as_json(shown)
    else:
        output.text(dump(shown))
