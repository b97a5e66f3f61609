"""`podenv chart push`: the chart in a registry."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from podenv import origin
from podenv.catalogue.environment import DEFAULTS, Catalogue
from podenv.catalogue.values import read
from podenv.cli import output
from podenv.cli.choice import AsJson
from podenv.errors import CatalogueNotFound, SettingError
from podenv.image.registry import is_plain
from podenv.release import publish

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    add_completion=False,
    help="Put the chart of environments into a registry.",
)


@app.callback()
def _group() -> None:
    """Put the chart of environments into a registry."""


@app.command("push")
def push(
    registry: Annotated[
        str | None,
        typer.Argument(
            metavar="[REGISTRY]",
            help="Like ghcr.io/acme. Default: PODENV_REGISTRY, else image.registry of envs/defaults.yaml.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace another chart of this version that is there.")
    ] = False,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="The chart's home and source, an https address; '' names none. Default: that of git's remote origin.",
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Package the chart and push it as an OCI artefact, with helm.

    Its version is that of podenv. If the same chart is there already, nothing is pushed. helm needs a login of its own:
    `helm registry login`. On localhost and for PODENV_PLAIN_HTTP it talks without TLS, and so must `helm install`, with
    --plain-http.

    \b
    Example:  podenv chart push
              podenv chart push ghcr.io/acme/charts
    """
    chosen = (registry or _registry()).removeprefix("oci://").strip("/")
    if source and not source.startswith(("https://", "http://")):
        raise typer.BadParameter(f"{source!r} is not a web address like https://git.example.com/data/pipelines.")
    named = _source() if source is None else source
    plain = [host.strip() for host in os.environ.get("PODENV_PLAIN_HTTP", "").split(",") if host.strip()]
    plain_http = is_plain(chosen.partition("/")[0], plain)
    done = publish.push(chosen, source=named, plain_http=plain_http, overwrite=overwrite)
    if json:
        output.as_json(asdict(done))
    else:
        what = "is there already" if done.state == "there" else "pushed"
        output.say(f"{done.address}:{done.version}: {what}")


def _source() -> str:
    try:
        folder = Catalogue.find().root
    except CatalogueNotFound:
        folder = Path.cwd()
    found = origin.page(folder)
    if not found:
        output.say(f"No home or source in the chart: git names no web address as origin of {folder}.", stderr=True)
    return found


def _registry() -> str:
    if named := os.environ.get("PODENV_REGISTRY"):
        return named
    try:
        defaults = read(Catalogue.find().root / DEFAULTS)
    except (CatalogueNotFound, FileNotFoundError):
        defaults = {}
    if found := (defaults.get("image") or {}).get("registry"):
        return str(found)
    raise SettingError(
        "No registry is named: write `podenv chart push REGISTRY`, or set PODENV_REGISTRY or image.registry in "
        "envs/defaults.yaml."
    )
