"""`podenv outdated`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import typer

from podenv.cli import output
from podenv.cli.choice import AsJson, Names, chosen
from podenv.cli.plan import counted
from podenv.image.build import Images
from podenv.plan import outdated as finding
from podenv.plan.oracle import Oracle
from podenv.plan.outdated import Base, Outdated


def outdated(names: Names = None, json: AsJson = False) -> None:
    """Show newer packages and base images.

    It resolves each environment again, as `podenv lock --upgrade` does, and writes nothing. A base image has moved when
    its tag stands for another image than the one in base.lock, or, where there is none, the one that the environment's
    image was built from. The exit code is 1 when something could not be looked at.

    \b
    Example:  podenv outdated
              podenv outdated data-cleaning --json
    """
    catalogue, environments = chosen(names)
    with output.waiting("asking the package index") as (_, doing):
        found = finding.outdated(catalogue, environments, Oracle(), Images(), say=doing)
    if json:
        output.as_json([asdict(one) for one in found])
    else:
        _show(found)
    for one in found:
        if one.why:
            output.error(f"{one.environment}: {one.why}")
    if not all(one.is_known for one in found):
        raise typer.Exit(1)


def _show(found: Sequence[Outdated]) -> None:
    rows = [(one.environment, change.package, change.before, change.after) for one in found for change in one.packages]
    if rows:
        output.table(("ENVIRONMENT", "PACKAGE", "LOCKED", "ALLOWED"), rows)
    for one in found:
        if words := _about(one.environment, one.base):
            output.say(f"{one.environment}: {words}")
    packages = counted(sum(len(one.packages) for one in found), "package")
    bases = counted(sum(one.base.state == "moved" for one in found), "base image")
    output.say(f"{packages} and {bases} of {counted(len(found), 'environment')} could be newer.")


def _about(environment: str, base: Base) -> str:
    if base.state == "moved":
        takes = (
            f"podenv lock {environment} --upgrade" if base.is_pinned else f"podenv build {environment} --refresh --push"
        )
        return (
            f"its base image {base.reference} is another one now ({_short(base.built_from)} -> {_short(base.now)}); "
            f"`{takes}` takes it."
        )
    if base.state == "unknown":
        return f"it is not known if its base image has moved: {base.why.rstrip('.')}."
    return ""


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]
