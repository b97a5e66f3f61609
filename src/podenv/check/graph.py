"""What only a loaded DAG says: which task's value feeds which parameter, and environments whose names are computed."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Place:
    """A function by its file, the line of its first decorator or `def`, and its name."""

    file: str
    line: int
    name: str


@dataclass(frozen=True)
class Edge:
    """The value of task ``up`` is what ``parameter`` of task ``down`` gets."""

    dag: str
    up: Place
    down: Place
    parameter: str
    task: str


@dataclass(frozen=True)
class Graph:
    """All DAGs of a folder, as Airflow loaded them.

    ``environments``: those that tasks use; ``limits``: environment, DAG, task, and what it may use, of tasks whose
    limits are mapped or computed; ``broken``: file -> why Airflow cannot import it.
    """

    edges: tuple[Edge, ...] = ()
    environments: frozenset[str] = frozenset()
    limits: tuple[tuple[str, str, str, dict[str, str]], ...] = ()
    broken: dict[str, str] = field(default_factory=dict)
