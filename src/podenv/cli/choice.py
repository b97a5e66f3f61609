"""Which environments a command is about."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from podenv.catalogue.environment import Catalogue, Environment
from podenv.catalogue.names import is_python_version
from podenv.errors import CatalogueNotFound, PodenvError


def complete(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names for the shell to complete; none where there is no catalogue."""
    chosen = _root(ctx).params.get("catalogue")
    with suppress(PodenvError, OSError):
        catalogue = Catalogue(Path(chosen)) if chosen else Catalogue.find()
        return [name for name in catalogue.names() if name.startswith(incomplete)]
    return []


def _root(ctx: Any) -> Any:
    return ctx.find_root()


PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"  # of an environment that names none
Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAME", help="Environments; all when none is named.", autocompletion=complete),
]
DagsFolder = Annotated[
    Path | None,
    typer.Option(
        "--dags",
        metavar="FOLDER",
        envvar="AIRFLOW__CORE__DAGS_FOLDER",
        help="The folder of the DAG files. Default: dags/ beside the catalogue.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")]


def no_environment(root: Path) -> str:
    """What to say of a catalogue that is empty."""
    return f"There is no environment in {root} yet; make one with `podenv --catalogue {root} new NAME --python X.Y`."


def chosen(names: Sequence[str] | None) -> tuple[Catalogue, list[str]]:
    """The catalogue and the names in it that are meant, each once.

    Raises `Catalogue.refusal` before anything is done for another one, and `CatalogueNotFound`.
    """
    catalogue = Catalogue.find()
    known = catalogue.names()
    for name in names or ():
        if name not in known:
            raise catalogue.refusal(name)
    wanted = list(dict.fromkeys(names or known))
    if not wanted:
        raise CatalogueNotFound(no_environment(catalogue.root))
    return catalogue, wanted


def readable(catalogue: Catalogue, names: Sequence[str]) -> list[Environment]:
    """The environments whose files are in order; the error of another one is shown when its turn comes."""
    found = []
    for name in names:
        with suppress(PodenvError):
            found.append(catalogue[name])
    return found


def home() -> Path:
    """The catalogue for something new: the folder that is named, else the nearest, else ./envs; it may be missing."""
    named = os.environ.get("PODENV_CATALOGUE")
    if named:
        return Path(named).expanduser().absolute()
    try:
        return Catalogue.find().root
    except CatalogueNotFound:
        return Path.cwd() / "envs"


def shown(path: Path) -> str:
    """``path`` as a person here would name it."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def checked_python(value: str) -> str:
    """``value`` when it is a Python version that an environment can have."""
    if not is_python_version(value):
        raise typer.BadParameter(
            f"{value!r} is not a Python version that podenv can use; "
            "write it like 3.13: 3.8 or newer, no patch release."
        )
    return value
