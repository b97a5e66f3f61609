"""`podenv list`, `podenv new`, `podenv schema`."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from podenv import lock, venv
from podenv.catalogue import scaffold
from podenv.catalogue.environment import Catalogue, Environment
from podenv.catalogue.names import check_environment_name, lock_key
from podenv.catalogue.scaffold import NewEnvironment
from podenv.catalogue.spec import json_schema
from podenv.cli import output
from podenv.cli.choice import AsJson, checked_python, home, no_environment
from podenv.errors import InvalidName, LockError, LockMissing, LockStale, PodenvError


@dataclass(frozen=True)
class Row:
    """One environment as `podenv list` shows it; ``lock`` is fresh, stale, missing or invalid, ``why`` says why."""

    name: str
    python: str
    lock: str
    why: str
    ready: bool
    packages: list[str]
    description: str


def list_(json: AsJson = False) -> None:
    """Show all environments.

    LOCK is fresh, stale, missing or invalid; LOCAL says whether the local virtual environment is ready; PACKAGES
    are those asked for in requirements.in.

    \b
    Example:  podenv list
              podenv list --json | jq -r '.[] | select(.lock != "fresh") | .name'
    """
    catalogue = Catalogue.find()
    rows = [_row(catalogue, name) for name in catalogue.names()]
    if json:
        output.as_json([asdict(row) for row in rows])
    elif rows:
        columns = ("NAME", "PYTHON", "LOCK", "LOCAL", "PACKAGES", "DESCRIPTION")
        output.table(columns, [_cells(row) for row in rows])
    else:
        output.say(no_environment(catalogue.root))
    invalid = [row for row in rows if row.lock == "invalid"]
    for row in invalid:
        output.error(row.why)
    if invalid:
        raise typer.Exit(1)


def _row(catalogue: Catalogue, name: str) -> Row:
    try:
        environment = catalogue[name]
    except PodenvError as error:
        return Row(name, "", "invalid", str(error), ready=False, packages=[], description="")
    state, why = _lock_state(environment)
    return Row(
        name=name,
        python=environment.python,
        lock=state,
        why=why,
        ready=state == "fresh" and _is_ready(environment),
        packages=[] if state == "invalid" else lock.direct(environment),
        description=environment.spec.description,
    )


def _lock_state(environment: Environment) -> tuple[str, str]:
    try:
        lock.check(environment)
    except LockMissing as error:
        return "missing", str(error)
    except LockStale as error:
        return "stale", str(error)
    except LockError as error:
        return "invalid", str(error)
    return "fresh", ""


def _is_ready(environment: Environment) -> bool:
    return venv.is_complete(venv.venvs_folder() / lock_key(environment.python, lock.lock_hash(environment)))


def _cells(row: Row) -> tuple[str, ...]:
    local = "ready" if row.ready else "-"
    return row.name, row.python or "-", row.lock, local, " ".join(row.packages) or "-", row.description


def _name(value: str) -> str:
    try:
        return check_environment_name(value)
    except InvalidName as error:
        raise typer.BadParameter(str(error)) from None


def new(
    name: Annotated[
        str, typer.Argument(metavar="NAME", callback=_name, help="Its name: lower-case letters, digits and '-'.")
    ],
    python: Annotated[str, typer.Option(metavar="X.Y", callback=checked_python, help="Its Python, like 3.13.")],
    description: Annotated[str, typer.Option(metavar="TEXT", help="One line for people.")] = "",
) -> None:
    """Make a new environment to edit.

    That is a folder with values.yaml and requirements.in. It goes into the catalogue that is found (see --catalogue),
    else into envs/ here, which is made.

    \b
    Example:  podenv new etl --python 3.13 --description "Loads the raw tables"
              podenv --catalogue project/envs new etl --python 3.13
    """
    folder = scaffold.create(home(), NewEnvironment(name, python, description))
    shown = Path(os.path.relpath(folder))
    shown = shown if shown.parts[0] != ".." else folder
    output.say(f"Made {shown} with values.yaml and requirements.in. Next:")
    output.say(f"  1. write its packages into {shown / 'requirements.in'}")
    output.say(f"  2. podenv lock {name}")
    output.say(f"  3. podenv sync {name}, then use it in a DAG: @task.env({name!r})".replace("'", '"'))


def schema() -> None:
    """Print the JSON schema of values.yaml, for an editor.

    \b
    Example:  podenv schema > envs/values.schema.json
    """
    output.as_json(json_schema())
