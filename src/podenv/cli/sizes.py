"""`podenv sizes`."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from podenv import lock
from podenv.catalogue.environment import Catalogue
from podenv.cli import output
from podenv.cli.choice import AsJson, DagsFolder, shown
from podenv.cli.target import Yes
from podenv.dagrun import history
from podenv.errors import CatalogueNotFound, PodenvError, SettingError
from podenv.usage import plot as plotting
from podenv.usage import sizing
from podenv.usage.airflowapi import AirflowApi, Login
from podenv.usage.runs import Sizes, Spread, TaskSizes
from podenv.usage.text import cores_text, seconds_text, size_text, sizes_text

if TYPE_CHECKING:
    from podenv.sizes.writing import Edits

_UNITS = {"h": 1, "d": 24, "w": 168}  # hours
_EMPTY = (
    "No run of a task in an environment is known from the last {since}. `podenv run` keeps what tasks used here; "
    "Airflow keeps it of the last 30 runs of each DAG, which --airflow URL reads."
)


def _since(text: str) -> datetime:
    match = re.fullmatch(r"([1-9][0-9]{0,5})([hdw])", text)
    if match is None:
        raise typer.BadParameter(f"{text!r} is not a span of time; write it like 12h, 30d or 8w.")
    return datetime.now(UTC) - timedelta(hours=int(match[1]) * _UNITS[match[2]])


def _picture(text: str) -> Path:
    file = Path(text)
    plotting.check(file)
    return file


def sizes(
    dag: Annotated[str | None, typer.Argument(metavar="DAG", help="The id of a DAG; all when none is named.")] = None,
    since: Annotated[
        str, typer.Option(metavar="SPAN", help="Only runs that began so long ago at most: 12h, 30d, 8w.")
    ] = "30d",
    airflow: Annotated[
        str,
        typer.Option(
            metavar="URL", envvar="PODENV_AIRFLOW_URL", show_default=False,
            help="The address of Airflow, whose REST API is read; without it the runs of `podenv run` here.",
        ),
    ] = "",
    token: Annotated[
        str,
        typer.Option(metavar="TOKEN", envvar="PODENV_AIRFLOW_TOKEN", show_default=False, help="A token of its API."),
    ] = "",
    user: Annotated[
        str,
        typer.Option(
            metavar="NAME", envvar="PODENV_AIRFLOW_USER", show_default=False,
            help="A user of Airflow, in place of a token; the password is in PODENV_AIRFLOW_PASSWORD, or asked for.",
        ),
    ] = "",
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", parser=_picture, help="Draw use against limits, as FILE.svg or FILE.png."),
    ] = None,
    write: Annotated[
        bool,
        typer.Option(
            "--write", help="Show the proposals as a diff of DAG files and of environments' values, then ask and edit."
        ),
    ] = False,
    yes: Yes = False,
    folder: DagsFolder = None,
    json: AsJson = False,
) -> None:  # fmt: skip
    """Show what each task used, and what to give it.

    Runs, memory, CPU and time (the middle, the 95th percentile, the highest), what was given, the GiB-hours that were
    reserved and not used, how often it was out of memory, and a proposal. Mapped tasks count together. Only runs on the
    lock in force count; three are needed for a proposal.

    RULE

    With --write a task that is given memory= or cpu= by its own call gets the proposal there. Where no call says it,
    the environment's resources.limits in values.yaml get the largest proposal of its tasks, if each of them has one.
    What cannot be edited (a computed value, a loop) is named. Memory that is auto stays.

    \b
    Example:  podenv sizes
              podenv sizes multi_env_dag --airflow https://airflow.example.com --user ada
              podenv sizes --plot sizes.svg
              podenv sizes --write
              podenv sizes --json | jq -r '.tasks[] | "\\(.task) \\(.proposed_memory)"'
    """
    begin = _since(since)
    if yes and not write:
        raise typer.BadParameter("it goes with --write.", param_hint="--yes")
    found = Sizes(_locks())
    if airflow:
        login = Login(airflow, token, "" if token else user, "" if token or not user else _password(user))
        _read(found, dag, begin, login)
    elif (catalogue := _catalogue()) is not None:
        found.add(history.runs(catalogue.root, dag, begin))
    tasks = found.tasks()
    edits = _edits(tasks, folder) if write else None
    if json:
        told = {"since": begin.isoformat(), "runs": found.runs, "tasks": [asdict(task) for task in tasks]}
        output.as_json(told if edits is None else {**told, **_json(edits)})
    elif tasks:
        _show(tasks)
    else:
        output.say(_EMPTY.format(since=since))
    if plot is not None and not any(task.memory or task.cpu for task in tasks):
        output.say("Nothing was measured, so nothing is drawn.", stderr=True)
    elif plot is not None:
        plotting.draw(tasks, plot, title=f"What tasks used in the last {since}")
    if edits is not None:
        _write(edits, yes=yes, quiet=json)


sizes.__doc__ = (sizes.__doc__ or "").replace("RULE", sizing.RULE)


def _read(found: Sizes, dag: str | None, begin: datetime, login: Login) -> None:
    with output.waiting(f"reading runs from {login.url}") as (_, doing):

        def progress(read: int, total: int | None) -> None:
            doing(f"{read:,} runs read" + (f" of {total:,}" if total is not None else ""))

        found.add(AirflowApi(login).runs(dag, begin, progress=progress))


def _edits(tasks: Sequence[TaskSizes], folder: Path | None) -> Edits:
    catalogue = Catalogue.find(folder)
    folder = folder or catalogue.root.parent / "dags"
    if not folder.is_dir():
        raise SettingError(f"There is no folder {folder}; name the folder of the DAG files with --dags.")
    from podenv.sizes import writing

    return writing.plan(tasks, folder, catalogue)


def _write(edits: Edits, *, yes: bool, quiet: bool) -> None:
    """Show the edits, ask, and make them; each file wholly or not at all."""
    from podenv.migrate import changes

    if not quiet:
        if edits.left:
            output.say("\nBy hand:")
        for one in edits.left:
            output.say(f"  {one.where}: {one.what}; {one.why}.")
        output.say("")
        for change in edits.files:
            output.diff(changes.diff(change, shown(change.file)))
    if not edits.files:
        if not quiet:
            output.say("Nothing to write.")
        return
    count = f"{len(edits.files)} file{'s' * (len(edits.files) != 1)}"
    if not yes:
        output.agree(f"Write {count}?")
    for change in edits.files:
        changes.put(change, again="run `podenv sizes --write` again")
    if not quiet:
        output.say(f"{count} written. Next: podenv check, then podenv deploy for environments whose values changed.")


def _json(edits: Edits) -> dict[str, Any]:
    from podenv.migrate import changes

    return {
        "files": [{"file": str(one.file), "diff": changes.diff(one, str(one.file))} for one in edits.files],
        "left": [asdict(one) for one in edits.left],
    }


def _password(user: str) -> str:
    given = os.environ.get("PODENV_AIRFLOW_PASSWORD")
    if given is not None or not sys.stdin.isatty():
        return given or ""
    return str(typer.prompt(f"Password of {user}", hide_input=True, err=True))


def _catalogue() -> Catalogue | None:
    try:
        return Catalogue.find()
    except CatalogueNotFound:
        return None


def _locks() -> Callable[[str], str | None]:
    """The lock in force of an environment of the catalogue here; None for others."""
    catalogue = _catalogue()
    if catalogue is None:
        return lambda _: None
    known: dict[str, str | None] = {}

    def lock_of(name: str) -> str | None:
        if name not in known:
            try:
                known[name] = lock.lock_hash(catalogue[name]) if name in catalogue else None
            except PodenvError:  # no lock yet
                known[name] = None
        return known[name]

    return lock_of


def _show(tasks: list[TaskSizes]) -> None:
    columns = ("DAG", "TASK", "RUNS", "MEMORY p50/p95/max", "OF", "CPU p50/p95/max", "OF", "TIME p50/p95/max", "WASTED",
               "OUT OF MEMORY", "PROPOSED")  # fmt: skip
    output.table(columns, [_cells(task) for task in tasks])
    notes = []
    if others := sum(task.other_lock for task in tasks):
        notes.append(f"{_count(others)} on another lock than the one in force {_left(others)}.")
    if odd := sum(task.odd for task in tasks):
        notes.append(f"The times of {_count(odd)} cannot be right (a clock was set), and are left out.")
    for note in notes:
        output.say(note)


def _cells(task: TaskSizes) -> tuple[str, ...]:
    memory, cpu, seconds = (_figures(one) for one in (task.memory, task.cpu, task.seconds))
    proposal = ", ".join(
        f"{name} {value}" for name, value in (("memory", task.proposed_memory), ("cpu", task.proposed_cpu)) if value
    )
    return (
        task.dag,
        task.task,
        str(task.runs),
        sizes_text(memory) if memory else "-",
        size_text(task.memory_limit) if task.memory_limit else "-",
        " / ".join(map(cores_text, cpu)) if cpu else "-",
        cores_text(task.cpu_limit) if task.cpu_limit else "-",
        seconds_text(seconds) if seconds else "-",
        f"{task.wasted_gib_hours:.2g} GiB h" if task.wasted_gib_hours else "-",
        _memory_ends(task),
        proposal or f"- ({task.why})",
    )


def _memory_ends(task: TaskSizes) -> str:
    parts = [f"grown {task.growths}x" if task.growths else "", f"killed {task.kills}x" if task.kills else ""]
    return ", ".join(part for part in parts if part) or "-"


def _figures(spread: Spread | None) -> list[float]:
    return [spread.p50, spread.p95, spread.max] if spread else []


def _count(number: int) -> str:
    return f"{number:,} run{'s' * (number != 1)}"


def _left(number: int) -> str:
    return "is left out" if number == 1 else "are left out"
