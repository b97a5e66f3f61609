"""`podenv migrate`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from podenv.catalogue.environment import Catalogue
from podenv.cli import output
from podenv.cli.choice import PYTHON, AsJson, checked_python, home, shown
from podenv.errors import CatalogueNotFound
from podenv.migrate import changes as edits
from podenv.migrate import plan as planning
from podenv.migrate.findings import Migration, Proposal


def migrate(
    files: Annotated[list[Path], typer.Argument(metavar="DAGFILE...", help="DAG files, or folders of them.")],
    write: Annotated[
        bool, typer.Option("--write", help="Make the environments and edit the files. Without it nothing is written.")
    ] = False,
    python: Annotated[
        str,
        typer.Option(
            metavar="X.Y",
            callback=checked_python,
            help="The Python of tasks that name none. Default: the one of podenv.",
            show_default=False,
        ),
    ] = PYTHON,
    json: AsJson = False,
) -> None:
    """Change DAG files that have environments in other ways.

    Reads @task.virtualenv, @task.external_python, @task.kubernetes and the operators PythonVirtualenvOperator,
    ExternalPythonOperator and KubernetesPodOperator; proposes environments (tasks with the same needs share one) and
    shows what would change. No DAG file is executed. It names by line what it cannot change, and what you should look
    at. The exit code is 1 when a file could not be read or written; the other files are handled all the same.

    \b
    Example:  podenv migrate dags/etl.py
              podenv migrate dags --python 3.12 --write
              podenv migrate dags --json | jq -r '.left[] | "\\(.file):\\(.line) \\(.why)"'
    """
    found = _dag_files(files)
    migration = planning.plan(found, _catalogue(found), python=python)
    if write:
        planning.write(migration)
    if json:
        output.as_json(_json(migration, write=write))
    else:
        _show(migration, write=write)
    failed = [change for change in migration.files if change.error is not None]
    for change in failed:
        output.error(str(change.error))
    if failed:
        raise typer.Exit(1)


def _dag_files(paths: Iterable[Path]) -> list[Path]:
    found: dict[Path, None] = {}
    for path in paths:
        inside = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        found |= dict.fromkeys(one for one in inside if path == one or not _is_hidden(one.relative_to(path)))
    return list(found)


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") or part == "__pycache__" for part in path.parts)


def _catalogue(files: list[Path]) -> Path:
    """Where the DAG files look for environments; a new envs/ is made here, where it is above all of them."""
    if not files:
        return home()
    try:
        return Catalogue.find(files[0].resolve().parent).root
    except CatalogueNotFound:
        new = home()
        for file in files:
            if not file.resolve().is_relative_to(new.parent.resolve()):
                raise CatalogueNotFound(
                    f"{file} would not find {new}: DAG files look for envs/ in their folder and above it. "
                    "Go to the project's folder, or name the folder: `podenv --catalogue PROJECT/envs migrate ...`."
                ) from None
        return new


def _show(migration: Migration, *, write: bool) -> None:
    changed = [change for change in migration.files if change.changed]
    new = [proposal for proposal in migration.proposals if proposal.new is not None]
    if not write:
        for change in changed:
            output.diff(edits.diff(change, shown(change.file)))
        for proposal in new:
            output.diff(planning.diff_of_new(migration, proposal, shown(migration.catalogue)))
    if migration.proposals:
        rows = [_cells(proposal) for proposal in migration.proposals]
        output.table(("ENVIRONMENT", "", "PYTHON", "HOLDS", "TASKS"), rows)
    _show_lines(migration, "Look at:", [(one.file, one.line, one.text) for one in migration.remarks])
    left = [(one.file, one.line, f"{one.what}: {one.why}") for one in migration.left]
    _show_lines(migration, "Stays as it is:", left)
    _show_end(migration, write=write)


def _cells(proposal: Proposal) -> tuple[str, ...]:
    content = proposal.content
    holds = content.image or " ".join(content.requirements) or "no packages"
    tasks = " ".join(dict.fromkeys(task.name for task in proposal.tasks))
    return proposal.name, "new" if proposal.new else "exists", content.python, holds, tasks


def _show_lines(migration: Migration, title: str, lines: list[tuple[Path, int, str]]) -> None:
    if not lines:
        return
    changes = {change.file: change for change in migration.files}
    output.say(f"\n{title}")
    for file, line, text in lines:
        output.say(f"  {shown(file)}:{planning.line_after(changes[file], line)}: {text}.")


def _show_end(migration: Migration, *, write: bool) -> None:
    tasks = sum(len(proposal.tasks) for proposal in migration.proposals)
    files = [change for change in migration.files if change.changed]
    read = sum(change.error is None for change in migration.files)
    output.say("")
    if not tasks:
        if read or not migration.files:
            output.say(f"Nothing to do: {_count(read, 'file')} read, no task to carry over.")
        return
    new = [proposal.name for proposal in migration.proposals if proposal.new is not None]
    what = f"{_count(tasks, 'task')} in {_count(len(files), 'file')}, {_count(len(new), 'new environment')}"
    if not write:
        output.say(f"{what}. Nothing was written: `--write` does it.")
        return
    written = [change for change in migration.files if change.written]
    output.say(f"{what}: {len(written)} of {_count(len(files), 'file')} edited. Next:")
    output.say(f"  1. podenv lock {' '.join(proposal.name for proposal in migration.proposals)}")
    output.say("  2. podenv check, which finds imports that a lock does not have")
    output.say("  3. podenv run DAG (its id), which installs what it needs")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _json(migration: Migration, *, write: bool) -> dict[str, Any]:
    changes = {change.file: change for change in migration.files}
    return {
        "catalogue": str(migration.catalogue),
        "write": write,
        "environments": [
            {
                "name": proposal.name,
                "new": proposal.new is not None,
                **asdict(proposal.content),
                "tasks": [
                    {"file": str(t.file), "line": t.line, "what": t.what, "name": t.name} for t in proposal.tasks
                ],
            }
            for proposal in migration.proposals
        ],
        "files": [
            {
                "file": str(change.file),
                "diff": edits.diff(change, str(change.file)) if change.changed or change.written else "",
                "written": change.written,
                "error": str(change.error) if change.error else None,
            }
            for change in migration.files
        ],
        "remarks": [
            {"file": str(one.file), "line": planning.line_after(changes[one.file], one.line), "text": one.text}
            for one in migration.remarks
        ],
        "left": [
            {
                "file": str(one.file),
                "line": planning.line_after(changes[one.file], one.line),
                "what": one.what,
                "why": one.why,
            }
            for one in migration.left
        ],
    }
