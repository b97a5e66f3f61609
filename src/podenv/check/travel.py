"""What of its file, and of the modules beside it, travels with a task's function; and what cannot."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field

from podenv.check.sources import Source, Sources
from podenv.check.tasks import Task


@dataclass(frozen=True)
class Problem:
    """A ``name`` at a place that does not travel, with what to do about it."""

    name: str
    line: int
    column: int
    remedy: str


@dataclass(frozen=True)
class Luggage:
    """The statements of the task's file that travel, the modules that do, and what cannot."""

    nodes: Sequence[ast.stmt] = ()
    modules: Sequence[Source] = ()
    problems: Sequence[Problem] = field(default=())


def pack(task: Task, sources: Sources) -> Luggage:
    """What travels with the function of ``task``."""
    if task.function is None:
        return Luggage()
    return Luggage([task.function])
