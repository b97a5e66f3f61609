"""`podenv check`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from podenv.call import beside
from podenv.catalogue.environment import Catalogue, Environment
from podenv.catalogue.rules import RULES, SEVERITIES, Severity
from podenv.check import writers
from podenv.check.findings import Finding, Report
from podenv.check.graph import Graph
from podenv.check.rules.limits import Room
from podenv.check.run import ASKED_FOR, Options
from podenv.check.run import check as run_check
from podenv.cli import output
from podenv.cli.choice import complete, no_environment, readable
from podenv.cli.target import DEFAULT_PREFIX, Context, Kubeconfig, Prefix, clusters
from podenv.errors import CatalogueNotFound, PodenvError, SettingError, nearest

IMPOSSIBLE = 2  # exit code: something could not be checked
_STYLES: dict[Severity, str] = {"error": "bold red", "warning": "yellow", "note": "cyan"}


class Format(Enum):
    """How the report is written."""

    TEXT = "text"
    JSON = "json"
    GITHUB = "github"
    SARIF = "sarif"


class FailOn(Enum):
    """What makes the exit code 1."""

    ERROR = "error"
    WARNING = "warning"
    NEVER = "never"


def _rules(value: str) -> str:
    for rule in value.split(","):
        if rule.strip() not in RULES:
            raise typer.BadParameter(
                f"there is no rule {rule.strip()!r}.{nearest(rule.strip(), RULES)} Known are {', '.join(RULES)}."
            )
    return value


def check(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", help="DAG files, or folders of them. Default: dags/ beside the catalogue."),
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option("--env", metavar="NAME", help="Only this environment; may be repeated.", autocompletion=complete),
    ] = None,
    select: Annotated[
        list[str] | None,
        typer.Option(metavar="RULES", parser=_rules, help="Only these rules, with commas between them."),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="RULES", parser=_rules, help="Not these rules, with commas between them."),
    ] = None,
    probe: Annotated[
        bool,
        typer.Option(
            "--probe",
            help="Also import what the tasks import, in virtual environments: exact, with the memory it takes.",
        ),
    ] = False,
    dag_graph: Annotated[
        bool,
        typer.Option("--dag-graph", help="Also load the DAGs with Airflow: what feeds what, mapped limits."),
    ] = False,
    cluster: Annotated[
        bool, typer.Option("--cluster", help="Also ask the clusters for their limit ranges, quotas and nodes.")
    ] = False,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    namespace_prefix: Prefix = DEFAULT_PREFIX,
    format: Annotated[Format, typer.Option(help="How the findings are written.")] = Format.TEXT,
    fail_on: Annotated[FailOn, typer.Option(help="The lowest severity that makes the exit code 1.")] = FailOn.ERROR,
    no_sync: Annotated[
        bool,
        typer.Option("--no-sync", help="Do not unpack locks that are not unpacked yet. Nothing is downloaded then."),
    ] = False,
) -> None:
    """Check tasks against the locks of their environments.

    The DAG files are read, not imported; no cluster and no Python of the environment is needed. A lock is unpacked
    once, for the image's platform, from uv's cache or the package index.

    An error is certain to fail in the pod; a warning is what a type checker thinks of an object; a note is advice. `#
    podenv: ignore[rule]` on a line, or on the `def` of a task, hides findings; so does `check.ignore` in an
    environment's values. The exit code is 0 without errors, 1 with errors (see --fail-on), 2 when something could not
    be checked.

    \b
    Example:  podenv check
              podenv check dags/etl.py --env data-cleaning
              podenv check --select import,stdlib --no-sync
              podenv check --format sarif > podenv.sarif
    """
    began = time.monotonic()
    rules = _chosen(select, ignore, asked=[*(["memory"] if probe else []), *(["edge-type"] if dag_graph else [])])
    try:
        catalogue = Catalogue.find()
        chosen_paths = _paths(paths, catalogue)
        names, folders = _environments(env, catalogue), roots(chosen_paths, catalogue)
        asked = readable(catalogue, names or catalogue.names()) if cluster else []
        rooms, untold = _rooms(asked, context, kubeconfig, namespace_prefix)
        graph = _graph(chosen_paths) if dag_graph else None
    except PodenvError as error:
        output.error(str(error))
        raise typer.Exit(IMPOSSIBLE) from None
    options = Options(
        names, rules, sync=not no_sync, rooms=rooms, untold=untold, graph=graph, probe=probe, roots=folders
    )
    with output.waiting("checking") as (_, doing):
        report = run_check(chosen_paths, catalogue, options, log=doing)
    _write(report, format, time.monotonic() - began)
    code = exit_code(report, fail_on.value)
    if code:
        raise typer.Exit(code)


def exit_code(report: Report, fail_on: str) -> int:
    """0 where nothing is wrong, 1 with findings that count, 2 where something could not be checked."""
    failing = {"error": ("error",), "warning": ("error", "warning"), "never": ()}[fail_on]
    if any(one.severity in failing for one in report.findings):
        return 1
    return IMPOSSIBLE if any(one.failed for one in report.skipped) else 0


def roots(paths: Sequence[Path], catalogue: Catalogue) -> list[Path]:
    """The folders whose modules travel with a task: those that a setting names, else those of the DAG files.

    For files in it, dags/ beside the catalogue; and the folders in PYTHONPATH. Raises `SettingError`.
    """
    configured = os.environ.get("PODENV_CODE") or os.environ.get("AIRFLOW__PODENV__CODE")
    if configured:
        return beside.folders(configured)
    found = [path if path.is_dir() else path.parent for path in paths]
    dags = catalogue.root.parent / "dags"
    if any(path.absolute().is_relative_to(dags) for path in paths):
        found.insert(0, dags)
    found += [Path(one) for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one and Path(one).is_dir()]
    return list(dict.fromkeys(folder.absolute() for folder in found))


def _rooms(
    environments: Sequence[Environment], context: str | None, kubeconfig: Path | None, prefix: str
) -> tuple[dict[str, Room], list[str]]:
    """What the clusters of ``environments`` allow, and what they do not say. Raises `ReleaseError`."""
    if not environments:
        return {}, []
    from podenv.release.room import rooms  # most often no cluster is asked

    return rooms(clusters(context, kubeconfig, prefix), environments)


def _graph(paths: Sequence[Path]) -> Graph:
    """The DAGs of the folder that is checked, as Airflow loads them. Raises `SettingError`."""
    from podenv.cli.dags import prepare
    from podenv.dagrun import folder as dagfolder
    from podenv.dagrun.graph import graph

    folders = [path for path in paths if path.is_dir()]
    if len(folders) != 1 or len(paths) != 1:
        raise SettingError("--dag-graph loads one folder of DAGs; name one, and no single files.")
    prepare("check --dag-graph", folders[0])
    return graph(dagfolder.read(folders[0]))


def _chosen(select: Iterable[str] | None, ignore: Iterable[str] | None, *, asked: list[str]) -> tuple[str, ...]:
    def each(given: Iterable[str] | None) -> list[str]:
        return [rule.strip() for text in given or () for rule in text.split(",")]

    wanted = each(select) or [rule for rule in RULES if rule not in ASKED_FOR or rule in asked]
    return tuple(rule for rule in wanted if rule not in each(ignore))


def _paths(paths: Sequence[Path] | None, catalogue: Catalogue) -> list[Path]:
    chosen = list(paths or [catalogue.root.parent / "dags"])
    for path in chosen:
        if not path.exists():
            raise SettingError(f"There is no {path}; name the folder of the DAG files, or one of them.")
        if not path.is_dir() and path.suffix != ".py":
            raise SettingError(f"{path} is not a .py file, and no other is read; name a DAG file, or a folder of them.")
    return chosen


def _environments(names: Sequence[str] | None, catalogue: Catalogue) -> list[str]:
    known = catalogue.names()
    for name in names or ():
        if name not in known:
            raise catalogue.refusal(name)
    if not known:
        raise CatalogueNotFound(no_environment(catalogue.root))
    return list(dict.fromkeys(names or ()))


def _write(report: Report, format: Format, seconds: float) -> None:
    if format is Format.JSON:
        output.text(writers.as_json(report))
    elif format is Format.SARIF:
        output.text(writers.as_sarif(report, version=version("podenv")))
    elif format is Format.GITHUB:
        output.text(writers.as_github(report))
    else:
        for one in report.findings:
            show(one)
    if format is not Format.JSON and format is not Format.SARIF:
        _summary(report, seconds)


def show(one: Finding, *, stderr: bool = False) -> None:
    """Print a finding: where, what, and below it what to do."""
    console = output.console(stderr=stderr)
    place = f"{one.file}:{one.line}:{one.column}: "
    kind = (f"{one.severity}[{one.rule}]", _STYLES[one.severity])
    console.print(Text.assemble((place, "bold"), kind, f": {one.message}"), soft_wrap=True)
    if one.remedy:
        console.print(Text(f"  {one.remedy}", style="dim"), soft_wrap=True)


def _summary(report: Report, seconds: float) -> None:
    by_why: dict[tuple[str, bool], list[str]] = {}
    for one in report.skipped:
        by_why.setdefault((one.why, one.failed), []).append(one.rule)
    for (why, failed), rules in by_why.items():
        what = "" if rules == ["all"] else f" {', '.join(dict.fromkeys(rules))}:"
        output.say(f"{'could not check' if failed else 'not checked'}:{what} {why}", stderr=True)
    counts = [(report.count(severity), severity) for severity in SEVERITIES]
    found = ", ".join(_count(count, name) for count, name in counts if count) or "nothing found"
    files = len({one.file for one in report.findings})
    where = f" in {_count(files, 'file')}" if files else ""
    tasks, environments = _count(report.tasks, "task"), _count(report.environments, "environment")
    looked = f"{tasks} in {environments}"
    output.say(f"{found}{where}; {looked} checked in {output.seconds(seconds)}.", stderr=True)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


check.__doc__ = f"{check.__doc__}\n    \b\n    Rules:\n" + "".join(
    f"      {name:<22} {rule.severity:<8} {rule.finds}\n" for name, rule in RULES.items()
)
