"""Why two cannot share: the smallest set of requirements that clash, and what uv says of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from podenv.catalogue.environment import Environment
from podenv.plan import demand as demands
from podenv.plan.demand import Demand
from podenv.plan.members import Member
from podenv.plan.oracle import Oracle, conclusion, suspects
from podenv.plan.search import smallest


@dataclass(frozen=True)
class Side:
    """One requirement, or one setting, of a clash, and the environments that have it."""

    requirement: str
    environments: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.requirement} ({', '.join(self.environments)})"


@dataclass(frozen=True)
class Clash:
    """Why ``environments`` cannot share one. Without any one of its ``sides`` there is no clash.

    ``why``: "settings" of their images, such as the Python, or "versions" on ``python``. ``words`` are uv's.
    """

    environments: tuple[str, ...]
    why: Literal["settings", "versions"]
    sides: tuple[Side, ...]
    python: str = ""
    words: str = ""

    def __str__(self) -> str:
        if len(self.sides) == 1:
            return f"{self.sides[0]} cannot be had on Python {self.python}"
        return " against ".join(map(str, self.sides))


def of_settings(members: Sequence[Member]) -> list[Clash]:
    """What of their images differs: one clash for each setting that has several values."""
    found = []
    for at, (what, _) in enumerate(demands.basis(members[0].subject) if members else ()):
        having: dict[str, list[str]] = {}
        for member in members:
            having.setdefault(demands.basis(member.subject)[at][1], []).extend(member.environments)
        if len(having) > 1:
            sides = tuple(Side(f"{what} {value}", _names(names)) for value, names in sorted(having.items()))
            found.append(Clash(_names(name for side in sides for name in side.environments), "settings", sides))
    return found


def of_versions(members: Sequence[Member], oracle: Oracle, *, subject: Environment | None = None) -> Clash | None:
    """The smallest set of their requirements that clash; None where that is not known, or they do not clash.

    ``subject``: ask for an environment like this one, whatever theirs are.
    """
    subject = subject or members[0].subject
    whole = _together(members)
    parts = sorted(whole.whole)

    def clashes(chosen: frozenset[int]) -> bool:
        return oracle.ask(subject, whole.only(parts[at] for at in chosen)).verdict == "clashes"

    answer = oracle.ask(subject, whole)
    if answer.verdict != "clashes":
        return None
    named = set(suspects(answer.words, parts))
    core = smallest(range(len(parts)), clashes, suspects=[at for at, part in enumerate(parts) if part in named])
    chosen = sorted(parts[at] for at in core)
    words = oracle.ask(subject, whole.only(chosen)).words
    having = _owners(members)
    sides = [Side(part.replace("-c ", "constraint "), having[part]) for part in chosen]
    sides.sort(key=lambda side: (side.environments, side.requirement))
    names = _names(name for one in members for name in one.environments)
    return Clash(names, "versions", tuple(sides), subject.python, conclusion(words))


def _together(members: Sequence[Member]) -> Demand:
    found = Demand()
    for one in members:
        found |= one.demand
    return found


def _owners(members: Sequence[Member]) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for one in members:
        for part in one.demand.whole:
            found.setdefault(part, []).extend(one.environments)
    return {part: _names(names) for part, names in found.items()}


def _names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))
