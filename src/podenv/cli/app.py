"""The program: its commands, the options of all of them, and how it ends."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from podenv.cli import output

# Loaded when they are used: what talks to a cluster must not slow down `podenv list`.
COMMANDS = {
    "list": "environments:list_",
    "init": "environments:init",
    "new": "environments:new",
    "migrate": "migrate:migrate",
    "doctor": "doctor:doctor",
    "lock": "locks:lock",
    "check": "check:check",
    "sync": "venvs:sync",
    "prune": "prune:prune",
    "build": "images:build",
    "verify": "images:verify",
    "sbom": "images:sbom",
    "deploy": "deploy:deploy",
    "up": "deploy:up",
    "diff": "deploy:diff",
    "template": "template:template",
    "release-files": "template:release_files",
    "values": "deploy:values",
    "chart": "chart:app",
    "rights": "rights:rights",
    "status": "release:status",
    "warm": "release:warm",
    "history": "release:history",
    "rollback": "release:rollback",
    "test": "release:run_test",
    "uninstall": "release:uninstall",
    "run": "dags:run",
    "ui": "dags:ui",
    "usage": "dags:usage",
    "sizes": "sizes:sizes",
    "plan": "plan:plan",
    "affected": "affected:affected",
    "outdated": "outdated:outdated",
    "exchange": "exchange:app",
    "schema": "environments:schema",
}


class _Commands(TyperGroup):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: Any = dict.fromkeys(COMMANDS)  # their names, for the help and "Did you mean"

    def get_command(self, ctx: Any, name: str) -> Any:
        if name not in COMMANDS:
            return None
        module, _, function = COMMANDS[name].partition(":")
        found = getattr(import_module(f"podenv.cli.{module}"), function)
        if isinstance(found, typer.Typer):  # a group of commands
            group = typer.main.get_command(found)
            group.name = name
            return group
        one = typer.Typer(rich_markup_mode=None, add_completion=False)
        one.command(name)(found)
        return typer.main.get_command(one)

    def invoke(self, ctx: Any) -> Any:
        with output.failures():
            return super().invoke(ctx)


app = typer.Typer(
    name="podenv",
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode=None,  # texts of users stand in messages; brackets in them are not markup
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
    Begin:    podenv init; for DAGs that exist: podenv migrate dags
    Make:     podenv new etl --python 3.13, then write packages into envs/etl/requirements.in
    Lock:     podenv lock
    Install:  podenv sync
    Run:      podenv run multi_env_dag
    """
    if catalogue is None:
        return
    if not catalogue.is_dir() and ctx.invoked_subcommand not in ("init", "new", "migrate"):
        raise typer.BadParameter(f"there is no folder {catalogue}.", param_hint="--catalogue")
    # DAG files look the catalogue up by themselves, and must find the same.
    os.environ["PODENV_CATALOGUE"] = str(catalogue.absolute())


def run() -> None:
    """Run the program and end the process."""

    def terminated(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)  # as an exception, so that programs which were started are ended first

    signal.signal(signal.SIGTERM, terminated)
    output.open_streams()
    app()
