"""Write proposed environments into a new folder, to be looked at, locked and taken over by hand."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from podenv.catalogue.environment import DEFAULTS, VALUES, Catalogue
from podenv.catalogue.values import dump, read
from podenv.errors import PlanNotWritten
from podenv.plan import differing
from podenv.plan.proposals import Proposal

_LIMITS = "constraints.txt"


def write(proposals: Sequence[Proposal], catalogue: Catalogue, folder: Path) -> list[Path]:
    """Make ``folder``, a catalogue of the proposals without locks; returns the folders of its environments.

    It is made beside its place and moved there whole. Raises `PlanNotWritten`.
    """
    target = folder.expanduser().absolute()
    check(catalogue, target)
    beside = target.with_name(f".{target.name}.new-{os.getpid()}")
    try:
        beside.mkdir(parents=True)
        _write_all(proposals, catalogue, beside, target)
        if target.exists():
            target.rmdir()  # an empty one
        beside.rename(target)
    except OSError as error:
        raise PlanNotWritten(f"{target} cannot be written: {error.strerror}; name another folder.") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return [target / one.name for one in proposals]


def check(catalogue: Catalogue, folder: Path) -> None:
    """Return if a plan may be written there; raises `PlanNotWritten`."""
    target = folder.expanduser().absolute()
    if target.resolve().is_relative_to(catalogue.root.resolve()):
        raise PlanNotWritten(
            f"{target} is in the catalogue {catalogue.root}, which a plan does not change; name another folder."
        )
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise PlanNotWritten(f"{target} is not a folder; name another one.")
    if target.is_dir() and next(target.iterdir(), None) is not None:
        raise PlanNotWritten(
            f"{target} is not empty, and nothing in it is overwritten; remove it, or name a new folder."
        )


def _write_all(proposals: Sequence[Proposal], catalogue: Catalogue, folder: Path, target: Path) -> None:
    defaults: dict[str, object] = {}
    file = catalogue.root / DEFAULTS
    if file.is_file():
        shutil.copyfile(file, folder / DEFAULTS)
        defaults = read(file)
    for one in proposals:
        own = folder / one.name
        own.mkdir()
        values = differing.merged([catalogue[name].values for name in one.environments])
        own_values = {key: value for key, value in values.items() if defaults.get(key) != value}
        if packages := _packages(one, catalogue, target / one.name):
            own_values["packages"] = packages
        (own / VALUES).write_text(_comments(one) + dump(own_values))
        (own / "requirements.in").write_text(_requirements(one))
        if one.demand.limits:
            (own / _LIMITS).write_text("".join(f"{line}\n" for line in sorted(one.demand.limits)))


def _packages(one: Proposal, catalogue: Catalogue, folder: Path) -> list[str]:
    """The project's own packages, as seen from ``folder``."""
    environments = [catalogue[name] for name in one.environments]
    found = {(each.folder / path).resolve() for each in environments for path in each.spec.packages}
    return sorted(os.path.relpath(path, folder) for path in found)


def _comments(one: Proposal) -> str:
    lines = [f"# Proposed by `podenv plan` for {', '.join(one.environments)}."]
    if one.differing:
        lines.append(f"# They do not have these values alike, so they are left out here: {', '.join(one.differing)}.")
    return "".join(f"{line}\n" for line in lines)


def _requirements(one: Proposal) -> str:
    limits = [f"-c {_LIMITS}"] if one.demand.limits else []
    options = [f"--no-binary {name}" for name in sorted(one.demand.from_source)]
    return "".join(f"{line}\n" for line in [*sorted(one.demand.lines), *limits, *options])
