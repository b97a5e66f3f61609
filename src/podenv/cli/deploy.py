"""`podenv deploy`, `podenv up`, `podenv diff`, `podenv template`, `podenv values`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Annotated

import typer
import yaml
from rich.text import Text

from podenv import lock
from podenv.catalogue.environment import Catalogue, Environment
from podenv.cli import output
from podenv.cli.choice import AsJson, Names, chosen, complete
from podenv.cli.target import DEFAULT_PREFIX, Context, Kubeconfig, Prefix, releases
from podenv.errors import PodenvError
from podenv.image.build import Images, Options
from podenv.release import TIMEOUT, Deployed, Releases, masking
from podenv.release import diff as differing
from podenv.release.diff import Change

AT_ONCE = 4  # helm is busy on the machine for half of the time that it takes
_STYLES = {"+": "green", "-": "red", "@": "cyan"}
_Name = Annotated[str, typer.Argument(metavar="NAME", help="Its name.", autocompletion=complete)]
_Timeout = Annotated[
    float,
    typer.Option("--timeout", metavar="SECONDS", min=1, help="For nodes to pull the image, where pre-pull is on."),
]
_Concurrency = Annotated[
    int, typer.Option("--concurrency", metavar="N", min=1, max=64, help="Environments at the same time.")
]


def deploy(
    names: Names = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Ask the cluster what would happen, and change nothing.")
    ] = False,
    timeout: _Timeout = TIMEOUT,
    concurrency: _Concurrency = AT_ONCE,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    namespace_prefix: Prefix = DEFAULT_PREFIX,
    json: AsJson = False,
) -> None:
    """Roll environments out: one Helm release each.

    Only what changed: values, lock, image, chart, or objects in the cluster that are not as the release has them. One
    that fails is as before and stops no other. The images must be in the registry (`podenv build --push`).

    \b
    Example:  podenv deploy
              podenv deploy model-training --dry-run
    """
    catalogue, wanted = chosen(names)
    target = releases(context, kubeconfig, namespace_prefix)
    _roll_out(
        target, catalogue, wanted, dry_run=dry_run, timeout=timeout, concurrency=concurrency, build=False, json=json
    )


def up(
    names: Names = None,
    timeout: _Timeout = TIMEOUT,
    concurrency: _Concurrency = AT_ONCE,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    namespace_prefix: Prefix = DEFAULT_PREFIX,
    json: AsJson = False,
) -> None:
    """Bring all up to date: check locks, build, push, deploy.

    \b
    Example:  podenv up
              podenv up data-cleaning
    """
    catalogue, wanted = chosen(names)
    target = releases(context, kubeconfig, namespace_prefix)
    target.images = Images(Options(push=True))
    _roll_out(target, catalogue, wanted, dry_run=False, timeout=timeout, concurrency=concurrency, build=True, json=json)


def _roll_out(
    target: Releases,
    catalogue: Catalogue,
    names: Sequence[str],
    *,
    dry_run: bool,
    timeout: float,
    concurrency: int,
    build: bool,
    json: bool,
) -> None:
    states = target.survey(target.places(readable(catalogue, names)))

    def work(name: str, say: output.Say) -> Deployed:
        environment = catalogue[name]
        if build:
            lock.check(environment)
            target.images.build(environment, say=say)
        wanted = target.wanted(environment)
        if dry_run:
            return target.preview(wanted, states[name])
        return target.deploy(wanted, states[name], timeout=timeout, say=say)

    outcomes = output.side_by_side(names, work, lambda outcome: _show(outcome, json=json), at_once=concurrency)
    if json:
        output.as_json([_as_dict(outcome) for outcome in outcomes])
    else:
        _summary(outcomes, dry_run=dry_run)
    failed = sum(outcome.error is not None for outcome in outcomes)
    if failed:
        if len(names) > 1:
            output.say(f"{failed} of {len(names)} environments could not be deployed.", stderr=True)
        raise typer.Exit(1)


def readable(catalogue: Catalogue, names: Sequence[str]) -> list[Environment]:
    """Those whose files are in order; what is wrong with another one is said where its turn comes."""
    found = []
    for name in names:
        with suppress(PodenvError):
            found.append(catalogue[name])
    return found


def _show(outcome: output.Outcome[Deployed], *, json: bool) -> None:
    if outcome.error is not None:
        output.error(str(outcome.error))
    elif outcome.value is not None:
        for warning in outcome.value.warnings:
            output.say(f"warning: {outcome.name}: {warning}", stderr=True)
        if not json and outcome.value.action != "unchanged":
            output.say(f"{outcome.name}: {outcome.value.action}{output.took(outcome.seconds)}", stderr=True)


def _summary(outcomes: Sequence[output.Outcome[Deployed]], *, dry_run: bool) -> None:
    rows = []
    for outcome in outcomes:
        value = outcome.value
        if value is None:
            rows.append((outcome.name, "failed", "-", "-", "-"))
        else:
            result = f"would be {value.action}" if dry_run and value.action != "unchanged" else value.action
            rows.append((outcome.name, result, str(value.revision), value.namespace, short(value.digest)))
    output.table(("ENVIRONMENT", "RESULT", "REVISION", "NAMESPACE", "IMAGE"), rows)


def _as_dict(outcome: output.Outcome[Deployed]) -> dict[str, object]:
    value = asdict(outcome.value) if outcome.value else {"environment": outcome.name, "action": "failed"}
    return value | {"seconds": round(outcome.seconds, 3), "error": str(outcome.error) if outcome.error else None}


def short(digest: str) -> str:
    """A digest for people: its first 12 hex digits."""
    return digest.removeprefix("sha256:")[:12] or "-"


def diff(
    names: Names = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    namespace_prefix: Prefix = DEFAULT_PREFIX,
    json: AsJson = False,
) -> None:
    """Show what a deploy would change, object by object.

    The new objects come from a dry run on the server. Contents of Secrets, and variables whose names say that they are
    secret, are masked. What others changed in the cluster is in `podenv status`.

    \b
    Example:  podenv diff model-training
    """
    catalogue, wanted = chosen(names)
    target = releases(context, kubeconfig, namespace_prefix)
    states = target.survey(target.places(readable(catalogue, wanted)))

    def work(name: str, say: output.Say) -> list[Change]:
        say("asks the API server")
        order = target.wanted(catalogue[name])
        deployed = states[name].deployed
        return differing.between(deployed.objects if deployed else [], target.rendered(order, states[name]))

    def show(outcome: output.Outcome[list[Change]]) -> None:
        if outcome.error is not None:
            output.error(str(outcome.error))
        elif not json:
            _print_changes(outcome.name, outcome.value or [])

    outcomes = output.side_by_side(wanted, work, show)
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


def _print_changes(name: str, changes: list[Change]) -> None:
    if not changes:
        output.say(f"{name}: nothing changes")
        return
    for change in changes:
        output.say(f"{name}: {change.action} {change.object}")
        for line in change.lines:
            output.console().print(Text(line, style=_STYLES.get(line[:1], "")), soft_wrap=True)


def template(
    name: _Name,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    namespace_prefix: Prefix = DEFAULT_PREFIX,
) -> None:
    """Print an environment's manifests, for a GitOps tool.

    They are rendered here; the cluster is not asked, the registry is (for the image's digest). The namespace is not
    among them.

    \b
    Example:  podenv template data-cleaning > deploy/data-cleaning.yaml
    """
    catalogue, _ = chosen([name])
    target = releases(context, kubeconfig, namespace_prefix)
    output.text(target.template(target.wanted(catalogue[name])))


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
    environment = catalogue[name]
    made = releases(None, None, DEFAULT_PREFIX).wanted(environment).values
    if not reveal:
        made, hidden = masking.masked_values(made)
        if hidden:
            output.say(f"warning: {', '.join(hidden)} masked; --reveal shows them.", stderr=True)
    if json:
        output.as_json(made)
    else:
        output.text(yaml.safe_dump(made, sort_keys=False, allow_unicode=True, width=1000))
