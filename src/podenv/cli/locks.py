"""`podenv lock`."""

from __future__ import annotations

from typing import Annotated

import typer

from podenv import image
from podenv import lock as locking
from podenv.catalogue.environment import Catalogue
from podenv.cli import output
from podenv.cli.choice import AsJson, Names, chosen
from podenv.errors import PodenvError
from podenv.image import base
from podenv.image.build import Images


def lock(
    names: Names = None,
    upgrade: Annotated[
        bool, typer.Option("--upgrade", help="Take the newest versions that are allowed, and today's base image.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 1 and name each lock that is not fresh.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Write the locks: every version and hash.

    The packages that you ask for are in requirements.in, or in the pyproject.toml, uv.lock or pylock.toml that `source`
    in values.yaml names. The lock is requirements.txt. It holds for image.platform and this project's laptops
    (`platforms`): each package has a wheel for all of them. A fresh lock is left alone; in a stale one, the versions
    that still fit are kept. A line `--no-binary NAME` in requirements.in lets one package be built from source; `NAME @
    git+https://...@REF` takes one from a repository, at its commit; `packages` in values.yaml builds in folders of this
    project.

    \b
    Example:  podenv lock
              podenv lock data-cleaning --upgrade
              podenv lock --check        (in CI: no network, no change)
    """
    if check and upgrade:
        raise typer.BadParameter("give one of --check and --upgrade.")
    catalogue, wanted = chosen(names)
    if check:
        _check(catalogue, wanted, json=json)
    else:
        _resolve(catalogue, wanted, upgrade=upgrade, json=json)


def _check(catalogue: Catalogue, names: list[str], *, json: bool) -> None:
    wrong: dict[str, str] = {}
    for name in names:
        try:
            locking.check(catalogue[name])
            if ref := image.base_to_pin(catalogue[name]):
                base.pinned(catalogue[name], ref)
        except PodenvError as error:
            wrong[name] = str(error)
    if json:
        output.as_json([{"name": name, "fresh": name not in wrong, "why": wrong.get(name, "")} for name in names])
    else:
        for name, why in wrong.items():
            output.error(f"{name}: {why}")
        output.say(f"{len(names) - len(wrong)} of {len(names)} locks are fresh.")
    if wrong:
        raise typer.Exit(1)


def _resolve(catalogue: Catalogue, names: list[str], *, upgrade: bool, json: bool) -> None:
    warnings: dict[str, list[str]] = {name: [] for name in names}

    images = Images()
    pinned: dict[str, bool] = dict.fromkeys(names, False)

    def work(name: str, say: output.Say) -> bool:
        def on_line(line: str) -> None:
            say(line)
            if line.startswith("warning: "):
                warnings[name].append(line.removeprefix("warning: "))

        changed = locking.resolve(catalogue[name], upgrade=upgrade, on_line=on_line)
        say("asks for the base image")
        state, why = images.pin(catalogue[name], upgrade=upgrade)
        pinned[name] = state == "pinned"
        if state == "unknown":
            has_pin = base.file(catalogue[name]).exists()
            left = "stays at the digest in base.lock" if has_pin else "is not pinned by a digest"
            warnings[name].append(f"the base image {left}: {why}")
        return changed

    def show(outcome: output.Outcome[bool]) -> None:
        for warning in dict.fromkeys(warnings[outcome.name]):
            output.say(f"warning: {outcome.name}: {warning}", stderr=True)
        if outcome.error is not None:
            output.error(str(outcome.error))
        elif not json:
            count = len(locking.pinned(catalogue[outcome.name]))
            state = f"locked, {count} package{'s' * (count != 1)}" if outcome.value else "unchanged"
            moved = ", base image pinned" if pinned[outcome.name] else ""
            output.say(f"{outcome.name}: {state}{moved}{output.duration(outcome.seconds)}")

    outcomes = output.side_by_side(names, work, show)
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    if json:
        output.as_json(
            [
                {
                    "name": outcome.name,
                    "changed": bool(outcome.value),
                    "basePinned": pinned[outcome.name],
                    "seconds": round(outcome.seconds, 3),
                    "error": str(outcome.error) if outcome.error else None,
                }
                for outcome in outcomes
            ]
        )
    if failed:
        if len(names) > 1:
            output.say(f"{len(failed)} of {len(names)} environments could not be locked.", stderr=True)
        raise typer.Exit(1)
