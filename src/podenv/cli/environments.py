"""`podenv init`, `podenv list`, `podenv new`, `podenv schema`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from podenv import lock, venv
from podenv.catalogue import project, scaffold
from podenv.catalogue.environment import Catalogue, Environment
from podenv.catalogue.names import check_environment_name, lock_key
from podenv.catalogue.project import ProjectFile
from podenv.catalogue.scaffold import NewEnvironment
from podenv.catalogue.spec import json_schema
from podenv.cli import output
from podenv.cli.choice import PYTHON, AsJson, checked_python, home, no_environment, shown
from podenv.errors import InvalidName, LockError, LockMissing, LockStale, PodenvError


class Ci(Enum):
    """Whose CI recipe a project gets."""

    GITHUB = "github"
    GITLAB = "gitlab"
    NONE = "none"


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

    LOCK is fresh, stale, missing or invalid; LOCAL says whether the local virtual environment is ready; PACKAGES are
    those asked for in requirements.in.

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
        lock.content_hash(environment)
    except LockMissing as error:
        return "missing", str(error)
    except LockStale as error:
        return "stale", str(error)
    except LockError as error:
        return "invalid", str(error)
    return "fresh", ""


def _is_ready(environment: Environment) -> bool:
    return venv.is_complete(venv.venvs_folder() / lock_key(environment.python, lock.content_hash(environment)))


def _cells(row: Row) -> tuple[str, ...]:
    local = "ready" if row.ready else "-"
    return row.name, row.python or "-", row.lock, local, " ".join(row.packages) or "-", row.description


def _name(value: str) -> str:
    try:
        return check_environment_name(value)
    except InvalidName as error:
        raise typer.BadParameter(str(error)) from None


def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The project.")] = Path(),
    python: Annotated[
        str,
        typer.Option(
            metavar="X.Y",
            callback=checked_python,
            help="The Python of the example and of CI. Default: the one of podenv.",
            show_default=False,
        ),
    ] = PYTHON,
    ci: Annotated[
        Ci | None,
        typer.Option(help="The service to make a CI recipe for. Default: what the project's files and git remote say."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Start a project in an empty folder, or beside DAGs.

    Makes envs/ with an example environment, a DAG that uses it, a schema for editors, a CI recipe and a pre-commit
    hook, each where it is missing. .gitignore and .pre-commit-config.yaml get the lines that they lack; no other file
    that exists is changed.

    \b
    Example:  podenv init
              podenv init ~/pipelines --python 3.12 --ci gitlab
    """
    root = folder.expanduser().absolute()
    files = project.plan(root, python=python, version=version("podenv"), ci=ci.value if ci else None)
    project.write(files)
    if json:
        output.as_json([{"file": str(file.path), "state": file.state, "remedy": file.remedy} for file in files])
    else:
        _show_project(root, files)


def _show_project(root: Path, files: list[ProjectFile]) -> None:
    done = [file for file in files if file.state in ("made", "added to")]
    for file in files:
        if file.state != "unchanged":
            output.say(f"{file.state:<9} {file.path.relative_to(root)}{f': {file.remedy}' if file.remedy else ''}")
    if not done:
        output.say("Nothing to do: the project has all that podenv needs.")
        return
    example = any(file.path.name == f"{project.DAG}.py" and file.state == "made" for file in files)
    output.say("Next:")
    if root != Path.cwd():
        output.say(f"  cd {shown(root)}")
    output.say("  podenv lock")
    output.say(f"  podenv run {project.DAG}" if example else "  podenv usage")


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
    output.say(f"Made {shown(folder)} with values.yaml and requirements.in. Next:")
    output.say(f"  1. write its packages into {shown(folder / 'requirements.in')}")
    output.say(f"  2. podenv lock {name}")
    output.say(f"  3. podenv sync {name}, then use it in a DAG: @task.env({name!r})".replace("'", '"'))


def schema() -> None:
    """Print the JSON schema of values.yaml, for an editor.

    \b
    Example:  podenv schema > envs/values.schema.json
    """
    output.as_json(json_schema())
