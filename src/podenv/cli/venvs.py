"""`podenv sync`."""

from __future__ import annotations

import typer

from podenv import venv
from podenv.cli import output
from podenv.cli.choice import AsJson, Names, chosen


def sync(names: Names = None, json: AsJson = False) -> None:
    """Make the local virtual environments.

    There is one for each lock, in the user's cache. One that exists already is left alone.

    \b
    Example:  podenv sync
              podenv sync model-training --json | jq -r '.[0].path'
    """
    catalogue, wanted = chosen(names)

    def work(name: str, say: output.Say) -> venv.Synced:
        return venv.sync(catalogue[name], log=say)

    def show(outcome: output.Outcome[venv.Synced]) -> None:
        if outcome.error is not None:
            output.error(str(outcome.error))
        elif not json and outcome.value is not None:
            state = "made" if outcome.value.created else "ready"
            output.say(f"{outcome.name}: {state}{output.duration(outcome.seconds)}")

    outcomes = output.side_by_side(wanted, work, show)
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    if json:
        output.as_json([_as_dict(outcome) for outcome in outcomes])
    if failed:
        if len(wanted) > 1:
            output.say(f"{len(failed)} of {len(wanted)} environments could not be made.", stderr=True)
        raise typer.Exit(1)


def _as_dict(outcome: output.Outcome[venv.Synced]) -> dict[str, object]:
    value = outcome.value
    return {
        "name": outcome.name,
        "path": str(value.path) if value else None,
        "created": value.created if value else False,
        "seconds": round(outcome.seconds, 3),
        "error": str(outcome.error) if outcome.error else None,
    }
