"""`podenv template`, `podenv release-files`: manifests for a GitOps tool."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from podenv.catalogue.environment import Catalogue, Environment
from podenv.cli import output
from podenv.cli.choice import AsJson, chosen, complete, shown
from podenv.cli.deploy import print_changes
from podenv.cli.target import DEFAULT_PREFIX, Prefix, releases
from podenv.release import files
from podenv.release.files import FileChange, Rendered

_DONE = {"add": "written", "change": "changed", "remove": "removed"}


def _kubernetes(value: str) -> str:
    if value and not re.fullmatch(r"v?1\.[0-9]+(\.[0-9]+)?", value):
        raise typer.BadParameter(f"{value!r} is not a valid version of Kubernetes; write it like 1.34.")
    return value


def template(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The environment to print.", autocompletion=complete)
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All environments, into --out.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="With --all: where each gets a folder of its own.")
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="With --all: ask no registry; all digests must be in images.lock.")
    ] = False,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="With --all: ask the registry for all digests again.")
    ] = False,
    namespace_prefix: Prefix = DEFAULT_PREFIX,
    kubernetes: Annotated[
        str,
        typer.Option(
            "--kubernetes",
            metavar="VERSION",
            callback=_kubernetes,
            help="Of the cluster: below 1.35, a Job keeps idle pods. Default: the newest that helm knows; with --all "
            "that of images.lock, at first 1.35.",
        ),
    ] = "",
) -> None:
    """Print manifests for a GitOps tool, or write all of them.

    They are rendered here, without the cluster; the registry is asked for the image's digest. The first one is the
    environment's own namespace, with its Pod Security labels; a namespace that environments share is left out. Hooks
    are left out too, since only Helm runs them. What is applied in this way has no Helm release. Change it where it
    comes from, not by `podenv deploy`, `rollback` or `uninstall`. `podenv status` and `podenv diff` understand it.

    With --all, each environment gets FOLDER/NAME/manifests.yaml. FOLDER/images.lock keeps the digests: the registry is
    asked only for images that it does not have, and the same repository gives the same files. Where one environment
    fails, nothing is written. The files of environments that are no more are removed; other files are never touched.

    \b
    Example:  podenv template data-cleaning --kubernetes 1.34 | kubectl apply -f -
              podenv template --all --out deploy
              podenv template --all --out deploy --offline
    """
    if every != (out is not None) or every == (name is not None):
        raise typer.BadParameter("name one environment, or write all with `--all --out FOLDER`.")
    if not every and (offline or refresh):
        raise typer.BadParameter("--offline and --refresh go with --all.")
    if offline and refresh:
        raise typer.BadParameter("--refresh asks the registry, which --offline forbids.")
    target = releases(None, None, namespace_prefix)
    if out is None:
        catalogue, (one,) = chosen([name or ""])
        environment = catalogue[one]
        output.text(target.template(environment, target.spec_of(environment), kubernetes=kubernetes))
        return
    catalogue, names = chosen(None)
    _check_folder(out, catalogue)
    found = files.read(out, kubernetes=kubernetes)

    def render(environment: Environment) -> Rendered:
        ref = found.resolved(target, environment, offline=offline, refresh=refresh)
        return found.render(target, environment, ref)

    rendered = _all(catalogue, names, render)
    if len(rendered) < len(names):
        output.say(
            f"{len(names) - len(rendered)} of {len(names)} environments failed; nothing was written.", stderr=True
        )
        raise typer.Exit(1)
    for change in found.write(rendered):
        place = out / change.environment
        stays = change.action == "remove" and place.exists()
        more = f"; {shown(place)} stays, since it holds other files" if stays else ""
        output.say(f"{change.environment}: {_DONE[change.action]}{more}")
    output.say(f"{len(rendered)} environment{'' if len(rendered) == 1 else 's'} in {shown(out)}")


def release_files(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="What `podenv template --all --out` wrote.", file_okay=False)
    ],
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 if something would change, for CI.")] = False,
    namespace_prefix: Prefix = DEFAULT_PREFIX,
    json: AsJson = False,
) -> None:
    """Show what `podenv template --out` would change.

    It needs neither registry nor cluster, and changes nothing. For an image whose digest is not in images.lock yet, it
    names the image. Contents of Secrets, and variables whose names say that they are secret, are masked.

    \b
    Example:  podenv release-files deploy --check
    """
    catalogue, names = chosen(None)
    if not (folder / files.IMAGES).is_file():
        raise typer.BadParameter(
            f"there is no {shown(folder / files.IMAGES)}; `podenv template --all --out {shown(folder)}` writes it."
        )
    found = files.read(folder)
    target = releases(None, None, namespace_prefix)
    rendered = _all(catalogue, names, lambda environment: found.expected(target, environment))
    changes = found.changes(rendered, present=names)
    if json:
        output.as_json([asdict(one) for one in changes])
    else:
        for one in changes:
            _show(one)
        if not changes and len(rendered) == len(names):
            output.say(f"{shown(folder)}: nothing changes")
    if changes and check:
        output.say(f"Run `podenv template --all --out {shown(folder)}`, and commit what it writes.", stderr=True)
    if len(rendered) < len(names) or (changes and check):
        raise typer.Exit(1)


def _all(catalogue: Catalogue, names: list[str], render: Callable[[Environment], Rendered]) -> list[Rendered]:
    """Those that could be rendered; the errors of the others are shown."""

    def show(outcome: output.Outcome[Rendered]) -> None:
        if outcome.error is not None:
            output.error(str(outcome.error))

    outcomes = output.side_by_side(names, lambda name, say: render(catalogue[name]), show)
    return [outcome.value for outcome in outcomes if outcome.value is not None]


def _check_folder(out: Path, catalogue: Catalogue) -> None:
    if out.exists() and not out.is_dir():
        raise typer.BadParameter(f"{out} is not a folder.", param_hint="--out")
    if out.resolve().is_relative_to(catalogue.root.resolve()):
        raise typer.BadParameter(f"{out} is in the catalogue; choose another folder, like deploy.", param_hint="--out")


def _show(change: FileChange) -> None:
    name = change.environment
    if change.action != "change":
        output.say(f"{name}: its files would be {'written' if change.action == 'add' else 'removed'}")
        return
    if change.images:
        before, after = change.images
        output.say(f"{name}: image {before or 'none'} becomes {after}")
    print_changes(name, list(change.objects))
    if not change.objects and not change.images:
        output.say(f"{name}: the same objects would be written in another way")
