"""The program: its commands, the options of all of them, and how it ends."""

from __future__ import annotations

import os
import signal
import sys
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from podenv.cli import dags, deploy, environments, images, locks, output, release, venvs


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        with output.failures():
            return super().invoke(ctx)


app = typer.Typer(
    name="podenv",
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode=None,  # texts of users stand in messages; brackets in them are no markup
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"podenv {version('podenv')}")
        raise typer.Exit


@app.callback()
def _options(
    ctx: typer.Context,
    catalogue: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="The envs/ folder. Default: PODENV_CATALOGUE, else the nearest envs/ here or above.",
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Every task of an Airflow pipeline in an environment of its own: locked, with its own Python.

    \b
    Begin:    podenv new etl --python 3.13, then write packages into envs/etl/requirements.in
    Lock:     podenv lock
    Install:  podenv sync
    Run:      podenv run multi_env_dag
    """
    if catalogue is None:
        return
    if not catalogue.is_dir() and ctx.invoked_subcommand != "new":
        raise typer.BadParameter(f"there is no folder {catalogue}.", param_hint="--catalogue")
    # DAG files look the catalogue up by themselves, and must find the same.
    os.environ["PODENV_CATALOGUE"] = str(catalogue.absolute())


app.command("list")(environments.list_)
app.command()(environments.new)
app.command()(locks.lock)
app.command()(venvs.sync)
app.command()(venvs.prune)
app.command()(images.build)
app.command()(images.verify)
app.command()(images.sbom)
app.command()(deploy.deploy)
app.command()(deploy.up)
app.command()(deploy.diff)
app.command()(deploy.template)
app.command()(deploy.values)
app.command()(release.status)
app.command()(release.history)
app.command()(release.rollback)
app.command("test")(release.run_test)
app.command()(release.uninstall)
app.command()(dags.run)
app.command()(dags.usage)
app.command()(environments.schema)


def run() -> None:
    """Run the program and end the process."""

    def terminated(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)  # as an exception, so that programs which were started are ended first

    signal.signal(signal.SIGTERM, terminated)
    app()
