"""`podenv plan`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from packaging.requirements import InvalidRequirement, Requirement

from podenv.catalogue.environment import Catalogue
from podenv.cli import output
from podenv.cli.choice import AsJson, DagsFolder, Names, chosen, shown
from podenv.image.build import Images
from podenv.plan import members, planning, uses, writing
from podenv.plan import upgrade as upgrading
from podenv.plan.members import NotJudged
from podenv.plan.oracle import Oracle
from podenv.plan.planning import Plan
from podenv.plan.proposals import Change, Proposal
from podenv.plan.upgrade import Upgrade
from podenv.plan.uses import Use, Uses

NoSync = Annotated[
    bool, typer.Option("--no-sync", help="Do not unpack locks that are not here yet; fewer imports are known then.")
]
_STATES = {
    "has it": "has it already",
    "possible": "its lock can have it",
    "breaks": "breaks its lock",
    "not available": "this version cannot be had there",
    "unknown": "uv cannot say",
}
_MOST_SHOWN_WORDS = 6  # tasks, or packages, that a line names


def plan(
    names: Names = None,
    from_imports: Annotated[
        bool,
        typer.Option(
            "--from-imports", help="Group what the code of each task imports, not what whole environments ask for."
        ),
    ] = False,
    write: Annotated[
        Path | None,
        typer.Option("--write", metavar="FOLDER", help="Write the proposed environments into this new folder."),
    ] = None,
    upgrade: Annotated[
        Any,
        typer.Option(
            "--upgrade",
            metavar="NAME==VERSION",
            parser=lambda text: _version_of(text),
            help="Instead, show what this version of a package would reach, and which locks it breaks.",
        ),
    ] = None,
    forget: Annotated[bool, typer.Option("--forget", help="Forget today's answers of uv, and ask it again.")] = False,
    folder: DagsFolder = None,
    no_sync: NoSync = False,
    json: AsJson = False,
) -> None:
    """Find the fewest environments for all tasks.

    uv says which requirements one lock can satisfy; the number is proven to be the lowest, or its bounds are given. For
    environments that cannot share, it names the smallest set of requirements that clash. Environments share only with
    the same Python, base image, platforms and indexes. No environment is changed. The exit code is 1 when some
    environment could not be judged, or --upgrade breaks a lock.

    \b
    Example:  podenv plan
              podenv plan data-cleaning model-training        (why can these two not share?)
              podenv plan --upgrade numpy==2.4.0
              podenv plan --from-imports --write proposed
    """
    if upgrade is not None and (from_imports or write is not None):
        raise typer.BadParameter("give it without --from-imports and --write.", param_hint="--upgrade")
    catalogue, environments = chosen(names)
    if upgrade is not None:
        _upgrade(catalogue, environments, upgrade, folder, sync=not no_sync, json=json)
        return
    if write is not None:
        writing.check(catalogue, write)
    with output.waiting("reading the DAG files") as (_, doing):
        found = read_uses(catalogue, folder, sync=not no_sync, doing=doing)
        make = members.of_imports if from_imports else members.of_environments
        given, wrong = make(catalogue, environments, found)
        oracle = Oracle(forget=forget)
        made = planning.plan(catalogue, given, oracle, images=Images(), say=lambda text: doing(f"plan: {text}"))
    written = writing.write(made.proposals, catalogue, write) if write is not None else []
    not_judged = [*wrong, *made.not_judged]
    notes = [*found.notes, *made.notes]
    if json:
        output.as_json(_json(made) | {"not_judged": [asdict(one) for one in not_judged], "notes": notes})
    else:
        _show(made, written)
    if _say(notes, not_judged):
        raise typer.Exit(1)


def _version_of(text: str) -> Requirement:
    try:
        wanted = Requirement(text)
    except InvalidRequirement:
        raise typer.BadParameter(f"{text!r} is not a package with a version; write it like numpy==2.4.0.") from None
    if not wanted.specifier or wanted.url:
        raise typer.BadParameter(f"{text!r} names no version; write it like {wanted.name}==2.4.0.")
    return wanted


def _upgrade(
    catalogue: Catalogue, names: Sequence[str], wanted: Requirement, folder: Path | None, *, sync: bool, json: bool
) -> None:
    with output.waiting("reading the DAG files") as (_, doing):
        found = read_uses(catalogue, folder, sync=sync, doing=doing)
        oracle = Oracle(on_ask=lambda: doing(f"asking uv about {wanted}"))
        made = upgrading.upgrade(catalogue, names, wanted, found, oracle)
    notes = [*found.notes, *made.notes]
    if json:
        output.as_json(_upgrade_json(made) | {"notes": notes})
    else:
        for line in _upgrade_lines(made):
            output.say(line)
    failed = _say(notes, made.not_judged)
    if failed or made.breaks or any(one.state == "unknown" for one in made.reached):
        raise typer.Exit(1)


def _say(notes: Sequence[str], not_judged: Sequence[NotJudged]) -> bool:
    """Print to stderr what could not be seen and judged; True if something failed."""
    for note in notes:
        output.say(f"note: {note}", stderr=True)
    for one in not_judged:
        if one.failed:
            output.error(f"{one.environment} is not judged: {one.why}")
        else:
            output.say(f"note: {one.environment} is not judged: {one.why}", stderr=True)
    return any(one.failed for one in not_judged)


def _upgrade_lines(made: Upgrade) -> Iterable[str]:
    if not made.reached:
        yield f"{made.requirement} reaches no environment: no lock holds {Requirement(made.requirement).name}."
    for one in made.reached:
        yield f"{one.environment}: {_STATES[one.state]} (it holds {one.before})"
        if one.clash is not None:
            yield f"  {one.clash}"
        for line in one.words.splitlines():
            yield f"      {line}"
        if one.changes:
            yield f"  its lock would change: {listed(map(_moved, one.changes))}"
        yield f"  runs {_tasks(one.uses)}"
        if one.importing:
            yield f"  imported by: {listed(one.importing)}"
    if made.reached and made.untouched:
        yield f"Not touched: {', '.join(made.untouched)}."


def _upgrade_json(made: Upgrade) -> dict[str, Any]:
    return {
        "requirement": made.requirement,
        "reached": [
            {
                "environment": one.environment,
                "state": one.state,
                "before": one.before,
                "changes": [asdict(change) for change in one.changes],
                "clash": None if one.clash is None else asdict(one.clash) | {"text": str(one.clash)},
                "words": one.words,
                "tasks": [use_json(use) for use in one.uses],
                "importing": [str(use) for use in one.importing],
            }
            for one in made.reached
        ],
        "untouched": list(made.untouched),
        "not_judged": [asdict(one) for one in made.not_judged],
    }


def read_uses(catalogue: Catalogue, folder: Path | None, *, sync: bool, doing: output.Say) -> Uses:
    """The tasks in the folder of DAG files that is named, else in dags/ beside the catalogue."""
    return uses.read(catalogue, folder or catalogue.root.parent / "dags", sync=sync, log=doing)


def listed(words: Iterable[object], *, most: int = _MOST_SHOWN_WORDS) -> str:
    """Words in a row; of many, the first and how many more there are."""
    every = list(dict.fromkeys(map(str, words)))
    more = len(every) - most
    return ", ".join(every if more <= 0 else [*every[:most], f"and {more} more"])


def use_json(one: Use) -> dict[str, Any]:
    """A task, for a program."""
    packages = None if one.packages is None else sorted(one.packages)
    return asdict(one) | {"packages": packages}


def counted(number: int, what: str) -> str:
    """``1 task``, ``2 tasks``."""
    return f"{number} {what}{'s' * (number != 1)}"


def _show(made: Plan, written: Sequence[Path]) -> None:
    before = len({name for one in made.proposals for name in one.environments})
    output.say(_headline(made, before))
    for one in made.proposals:
        output.say("")
        for line in _lines(one):
            output.say(line)
        if any(each.uses for each in made.proposals):
            tasks = dict.fromkeys(map(str, one.uses))
            output.say(
                f"  an upgrade of it touches {counted(len(tasks), 'task')}{': ' if tasks else ''}{listed(tasks)}"
            )
    if made.clashes or made.apart:
        output.say("\nWhat keeps them apart:")
    for clash in made.clashes:
        output.say(f"  {clash}")
        for line in clash.words.splitlines():
            output.say(f"      {line}")
    for one_side, other in made.apart:
        output.say(f"  only the Python: what {one_side} and {other} ask for fits into one lock of the same Python")
    if written:
        output.say(f"\nWritten: {', '.join(map(shown, written))}. Lock them with:")
        output.say(f"  podenv --catalogue {shown(written[0].parent)} lock")


def _headline(made: Plan, before: int) -> str:
    number = len(made.proposals)
    if not number:
        return "Nothing could be judged."
    proof = "no fewer do" if made.is_proven else f"fewer may do, but at least {made.at_least} are needed"
    if number == before:
        return f"{counted(number, 'environment')}: {proof}."
    return f"{counted(before, 'environment')} could be {number}: {proof}."


def _lines(one: Proposal) -> Iterable[str]:
    size = f", {output.size(one.wheel_bytes)} of wheels" if one.wheel_bytes is not None else ""
    what = f"Python {one.python}, {counted(len(one.packages), 'package')}{size}"
    if len(one.environments) == 1:
        yield f"{one.name} stays by itself ({what})" if one.name == one.environments[0] else f"{one.name} ({what})"
    else:
        yield f"{_and(one.environments)} can share one lock ({what})"
        saved = "not known:" if one.saved.bytes is None else f"about {output.size(one.saved.bytes)}, by"
        yield f"  image size saved: {saved} {one.saved.basis}"
        for environment in one.environments:
            moved = [_moved(change) for change in one.changes if change.environment == environment]
            if moved:
                yield f"  {environment} would change: {listed(moved)}"
        if one.differing:
            yield f"  values that they do not have alike: {', '.join(one.differing)}"


def _tasks(uses: Sequence[Use]) -> str:
    """How many tasks there are, and their names."""
    tasks = dict.fromkeys(map(str, uses))
    return counted(len(tasks), "task") + (f": {listed(tasks)}" if tasks else "")


def _and(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _moved(one: Change) -> str:
    return f"{one.package} {one.before or 'none'} -> {one.after or 'none'}"


def _json(made: Plan) -> dict[str, Any]:
    return {
        "environments": len(made.proposals),
        "at_least": made.at_least,
        "proven": made.is_proven,
        "proposals": [_proposal_json(one) for one in made.proposals],
        "clashes": [asdict(one) | {"text": str(one)} for one in made.clashes],
        "apart_by_python_alone": [list(one) for one in made.apart],
        "asked": made.asked,
    }


def _proposal_json(one: Proposal) -> dict[str, Any]:
    return {
        "name": one.name,
        "python": one.python,
        "environments": list(one.environments),
        "tasks": [use_json(use) for use in one.uses],
        "requirements": sorted(one.demand.lines),
        "constraints": sorted(one.demand.limits),
        "no_binary": sorted(one.demand.from_source),
        "packages": one.packages,
        "changes": [asdict(change) for change in one.changes],
        "values_that_differ": list(one.differing),
        "wheel_bytes": one.wheel_bytes,
        "saved_bytes": one.saved.bytes,
        "saved_basis": one.saved.basis,
    }
