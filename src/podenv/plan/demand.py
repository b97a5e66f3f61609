"""What an environment asks for, in a form that can be laid together with what another one asks for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from podenv.catalogue.environment import Environment
from podenv.lock import indexes, lockfile, packages, platforms, projectfiles, requirements, sources
from podenv.lock.projectfiles import Pyproject

Basis = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Demand:
    """Requirements that one lock has to satisfy.

    ``lines`` are the requirements, ``limits`` the constraints, ``from_source`` the packages that may be built.
    """

    lines: frozenset[str] = frozenset()
    limits: frozenset[str] = frozenset()
    from_source: frozenset[str] = frozenset()

    def __or__(self, other: Demand) -> Demand:
        return Demand(self.lines | other.lines, self.limits | other.limits, self.from_source | other.from_source)

    @property
    def whole(self) -> frozenset[str]:
        """All that narrows the choice of versions: another demand with more of it is at least as hard to satisfy."""
        return self.lines | {f"-c {one}" for one in self.limits}

    def only(self, parts: Iterable[str]) -> Demand:
        """The demand with those ``parts`` of `whole`."""
        kept = set(parts)
        limits = {one.removeprefix("-c ") for one in kept if one.startswith("-c ")}
        return Demand(frozenset(kept & self.lines), frozenset(limits & self.limits), self.from_source)


def of(environment: Environment) -> Demand:
    """What the environment asks for. A source that says more than requirements counts as it is locked.

    What the project's own packages need counts too. Starts no program. Raises `RequirementsMissing`,
    `RequirementsInvalid`, `PackageUnusable`, and `LockMissing` where the lock counts.
    """
    requested = sources.read(environment)
    kind = sources.kind(environment)
    plain = kind == "requirements.in" or (kind == "pyproject.toml" and not _settings(requested.lines))
    if not plain:
        return locked(environment)
    lines, limits = set[str](), set[str]()
    own = packages.of(environment)
    for package in own:
        about = projectfiles.load(package.folder / "pyproject.toml", Pyproject).project
        if about is None or "dependencies" in about.dynamic:
            return locked(environment)  # only a build can tell them
        asked = [str(Requirement(one)) for one in about.dependencies]
        lines.update(one for one in asked if name(one) not in {other.name for other in own})
    for where, line in requested.lines:
        with suppress(InvalidRequirement):  # an option, or what podenv notes of a source
            (limits if where == "-c" else lines).add(str(requirements.parse(line)))
    return Demand(frozenset(lines), frozenset(limits), frozenset([*requested.no_binary, *requested.git]))


def locked(environment: Environment) -> Demand:
    """Exactly what the lock holds. Raises `LockMissing`."""
    lines, from_source = set[str](), set[str]()
    for line in _logical_lines(environment):
        option, _, value = line.partition(" ")
        if option == "--no-binary":
            from_source.add(canonicalize_name(value))
        with suppress(InvalidRequirement):
            lines.add(str(requirements.parse(line)))
    return Demand(frozenset(lines), frozenset(), frozenset(from_source))


def basis(environment: Environment) -> Basis:
    """What two environments need alike before they can share an image: (what it is, what it is here)."""
    image = environment.spec.image
    own = ""
    if image.external:
        own = f"built elsewhere for {environment.name}"
    elif image.containerfile:
        own = f"built by the Containerfile of {environment.name}"
    return (
        ("Python", environment.python),
        ("image", own or "built by podenv"),
        ("base image", image.base or "podenv's own"),
        ("platforms", ", ".join(platforms.of(environment))),
        ("package indexes", _indexes(environment)),
    )


def name(line: str) -> str:
    """The normalised name of the package in a line of a demand."""
    return canonicalize_name(Requirement(line.removeprefix("-c ")).name)


def _indexes(environment: Environment) -> str:
    """A name for the indexes that the values name."""
    if indexes.fingerprint(environment) == "none":
        return "none in the values"
    named = [one.name for one in environment.spec.indexes] or [environment.spec.image.index]
    mark = hashlib.sha256(indexes.fingerprint(environment).encode()).hexdigest()[:8]
    return f"{', '.join(filter(None, named)) or 'those of its project'} ({mark})"


def _settings(lines: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """What a project tells uv beside its dependencies."""
    return next((dict(json.loads(text)) for kind, text in lines if kind == "tool.uv"), {})


def _logical_lines(environment: Environment) -> Iterator[str]:
    text = lockfile.read(environment).decode(errors="replace")
    return (line for _, line in requirements.logical_lines(text))
