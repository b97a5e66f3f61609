"""What is known of tasks and their runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TaskUse:
    """A task, the environment it runs in and its limits there (Kubernetes quantities; None means no limit).

    ``memory`` is ``auto`` where it is learned.
    """

    dag_id: str
    task_id: str
    environment: str
    cpu: str | None
    memory: str | None
    max_memory: str | None
    gpu: str | None
    file: str


@dataclass(frozen=True)
class TaskResult:
    """How a task ended. ``environment`` is None for a task without; ``map_index`` is -1 for one that is not mapped.

    ``python`` and ``lock`` (SHA-256) are those of the environment that it ran in, which may be deployed from another
    catalogue; None where that is not known. ``limits`` are those that its pod or its processes had, as Kubernetes
    quantities by resource; None where it never started one. ``max_memory`` is how far its memory may grow. ``usage`` is
    what it used, as `podenv.usage.record` has it. ``value`` is what it returned; ``error`` why it failed. ``tries`` is
    0 and ``seconds`` None where it never ran.
    """

    task_id: str
    map_index: int
    environment: str | None
    state: str
    tries: int = 0
    seconds: float | None = None
    python: str | None = None
    lock: str | None = None
    limits: Mapping[str, str] | None = None
    max_memory: str | None = None
    usage: Mapping[str, Any] | None = None
    value: Any = None
    error: str | None = None


@dataclass(frozen=True)
class RunResult:
    """How a run of a DAG ended: ``state`` is ``success`` or ``failed``; the tasks are in the order of their ends."""

    dag_id: str
    run_id: str
    state: str
    seconds: float
    tasks: list[TaskResult]
