"""What `podenv check` is certain of, for the commands that are about to use an environment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from podenv.catalogue.environment import Catalogue
from podenv.errors import CertainToFail

if TYPE_CHECKING:
    from podenv.check.findings import Finding

NoCheck = Annotated[
    bool, typer.Option("--no-check", help="Go on although `podenv check` knows that a task is certain to fail.")
]
_SHOWN_FINDINGS = 3  # that one message quotes


def faults(catalogue: Catalogue) -> dict[str, list[Finding]]:
    """The errors in the DAG files beside the catalogue, by environment; none where there are no DAG files."""
    folder = catalogue.root.parent / "dags"
    if not folder.is_dir():
        return {}
    from podenv.check.run import certain

    found = defaultdict(list)
    for one in certain([folder], catalogue, roots=[folder]):
        found[one.environment].append(one)
    return dict(found)


def refuse(environment: str, known: Mapping[str, list[Finding]]) -> None:
    """Raise `CertainToFail` for an environment whose tasks cannot run in it."""
    if environment in known:
        raise CertainToFail(f"Environment {environment!r}: {_message(known[environment])}")


def refuse_run(dag: str, file: Path, catalogue: Catalogue, *, folder: Path) -> None:
    """Raise `CertainToFail` for a DAG of ``file`` with a task that cannot run in its environment."""
    from podenv.check.run import certain

    found = [one for one in certain([file], catalogue, roots=[folder]) if one.dag in ("", dag)]
    if found:
        raise CertainToFail(_message(found))


def _message(found: list[Finding]) -> str:
    quoted = " ".join(f"{one.file}:{one.line}: {one.message} {one.remedy}" for one in found[:_SHOWN_FINDINGS])
    more = f" ({len(found) - _SHOWN_FINDINGS} more: `podenv check`.)" if len(found) > _SHOWN_FINDINGS else ""
    return f"Certain to fail, {quoted}{more} Correct that, or go on with --no-check."
