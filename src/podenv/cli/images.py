"""`podenv build`, `podenv verify`, `podenv sbom`."""

from __future__ import annotations

from typing import Annotated

import typer

from podenv.catalogue.environment import Catalogue
from podenv.cli import output
from podenv.cli.choice import AsJson, Names, chosen, complete
from podenv.errors import BuildFailed
from podenv.image import attested, settings
from podenv.image import sbom as bills
from podenv.image import verify as verifying
from podenv.image.attested import Attested
from podenv.image.build import Built, Images, Options
from podenv.image.verify import Verified

PARALLEL_BUILDS = 16  # most of them wait for a registry; builds themselves are as many as there are cores
Platform = Annotated[str | None, typer.Option(metavar="OS/ARCH", help="Like linux/arm64; goes before values.")]
_STATES = {"there": "there already", "pushed": "pushed", "built": "built, not pushed", "external": "external, there"}


def build(
    names: Names = None,
    push: Annotated[bool, typer.Option("--push", help="Bring the images into the registry.")] = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Build also images that the registry has.")] = False,
    refresh: Annotated[
        bool,
        typer.Option(
            "--refresh", help="Rebuild with today's system packages, and today's base image where it is not pinned."
        ),
    ] = False,
    platform: Platform = None,
    json: AsJson = False,
) -> None:
    """Build the images of environments.

    The tag says what is in an image, and the registry is asked first: an image that it has is not built again. The
    registry comes from image.registry or PODENV_REGISTRY, logins from `buildah login` (or podman, docker).

    \b
    Example:  podenv build --push
              podenv build model-training --refresh --push
    """
    catalogue, wanted = chosen(names)
    images = Images(Options(push=push, rebuild=rebuild, refresh=refresh, platform=platform))

    def work(name: str, say: output.Say) -> Built:
        def warn(text: str) -> None:
            output.say(f"warning: {name}: {text}", stderr=True)

        return images.build(catalogue[name], say=say, warn=warn)

    def show(outcome: output.Outcome[Built]) -> None:
        if outcome.error is not None:
            output.error(str(outcome.error))
        elif not json and outcome.value is not None:
            output.say(f"{outcome.name}: {_told(outcome.value)} ({output.seconds(outcome.seconds)})")

    outcomes = output.side_by_side(wanted, work, show, at_once=PARALLEL_BUILDS)
    if json:
        output.as_json([_built(outcome) for outcome in outcomes])
    _end(outcomes, "could not be built")


def _told(built: Built) -> str:
    digest = f" {built.digest}" if built.digest else ""
    lacking = f", {built.lacking}" if built.lacking else ""
    return f"{_STATES[built.state]}, {built.ref}{digest}{lacking}"


def _built(outcome: output.Outcome[Built]) -> dict[str, object]:
    value, failure = outcome.value, outcome.error
    log = value.log if value else failure.log if isinstance(failure, BuildFailed) else None
    return {
        "name": outcome.name,
        "state": value.state if value else "failed",
        "image": str(value.ref) if value else None,
        "digest": value.digest if value else None,
        "log": str(log) if log else None,
        "seconds": round(outcome.seconds, 3),
        "error": str(failure) if failure else None,
    }


def verify(
    names: Names = None,
    signature: Annotated[
        bool, typer.Option("--signature", help="Check who signed the images and what is attached, by cosign.")
    ] = False,
    platform: Platform = None,
    json: AsJson = False,
) -> None:
    """Look into the images: are they what the locks say?

    Inside each image: exactly the packages of the lock are installed; every file is as its package recorded it; every
    top-level module can be imported; the Python is the one of the values. It looks at the image in the registry, else
    at the one on this machine; of several platforms at this machine's, else at the first.

    With --signature it looks at the registry instead: a signature of whom image.signature names, a bill of materials,
    and a provenance that is about this image.

    \b
    Example:  podenv verify
              podenv verify --platform linux/arm64
              podenv verify --signature
    """
    if signature and platform:
        raise typer.BadParameter("give it without --signature, which looks at all.", param_hint="--platform")
    catalogue, wanted = chosen(names)
    images = Images()
    if signature:
        _verify_signatures(catalogue, wanted, images, json=json)
        return

    def work(name: str, say: output.Say) -> Verified:
        return verifying.verify(catalogue[name], images, platform=platform, say=say)

    outcomes = output.side_by_side(wanted, work, lambda outcome: None)
    if json:
        output.as_json([_verified(outcome) for outcome in outcomes])
    else:
        output.table(("NAME", "RESULT", "PYTHON", "PACKAGES", "MODULES", "IMAGE"), [_row(one) for one in outcomes])
    for outcome in outcomes:
        for difference in outcome.value.differences if outcome.value else ():
            output.error(f"{outcome.name}: {difference}.")
        if outcome.error is not None:
            output.error(f"{outcome.name}: {outcome.error}")
    if not all(outcome.value and outcome.value.holds for outcome in outcomes):
        raise typer.Exit(1)


def _verify_signatures(catalogue: Catalogue, wanted: list[str], images: Images, *, json: bool) -> None:
    def work(name: str, say: output.Say) -> Attested:
        return attested.verify(catalogue[name], images)

    outcomes = output.side_by_side(wanted, work, lambda outcome: None)
    rows = []
    for outcome in outcomes:
        found = outcome.value
        holds = found is not None and not found.differences
        image, wrong = (str(found.ref), list(found.differences)) if found else ("-", [str(outcome.error)])
        rows.append({"name": outcome.name, "holds": holds, "image": image, "differences": wrong})
    if json:
        output.as_json(rows)
    else:
        table = [(str(row["name"]), "success" if row["holds"] else "failed", str(row["image"])) for row in rows]
        output.table(("NAME", "RESULT", "IMAGE"), table)
        for outcome in outcomes:
            for difference in outcome.value.differences if outcome.value else (outcome.error,):
                output.error(f"{outcome.name}: {difference}")
    if not all(row["holds"] for row in rows):
        raise typer.Exit(1)


def _row(outcome: output.Outcome[Verified]) -> tuple[str, ...]:
    if outcome.value is None:
        return outcome.name, "failed", "-", "-", "-", "-"
    value = outcome.value
    result = "success" if value.holds else "failed"
    return outcome.name, result, value.python, str(value.packages), str(value.modules), str(value.ref)


def _verified(outcome: output.Outcome[Verified]) -> dict[str, object]:
    value = outcome.value
    return {
        "name": outcome.name,
        "holds": value.holds if value else False,
        "image": str(value.ref) if value else None,
        "python": value.python if value else None,
        "packages": value.packages if value else None,
        "modules": value.modules if value else None,
        "differences": list(value.differences) if value else [],
        "seconds": round(outcome.seconds, 3),
        "error": str(outcome.error) if outcome.error else None,
    }


def _end(outcomes: list[output.Outcome[Built]], what: str) -> None:
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    if failed:
        if len(outcomes) > 1:
            output.say(f"{len(failed)} of {len(outcomes)} images {what}.", stderr=True)
        raise typer.Exit(1)


def sbom(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The environment.", autocompletion=complete)],
    platform: Platform = None,
) -> None:
    """Print an environment's bill of materials.

    CycloneDX 1.6, from the lock: each package that the image holds, with the hashes that the lock accepts.

    \b
    Example:  podenv sbom model-training > model-training.cdx.json
    """
    environment = Catalogue.find()[name]
    output.as_json(bills.bill(environment, settings(environment, platform=platform).platform))
