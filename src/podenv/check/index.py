"""What `podenv check` and `podenv plan` share: the tasks of DAG files, and the modules that a lock brings.

found = index.tasks([Path("dags")])
for task in found.tasks: task.environment, task.source.name, task.function, task.line
index.modules(environment).distributions("sklearn.linear_model")  # ("scikit-learn",)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from podenv.catalogue.environment import Environment
from podenv.check import modules as moduleindex
from podenv.check import shelf
from podenv.check import tasks as taskfinder
from podenv.check.imports import Import, collect
from podenv.check.modules import Modules
from podenv.check.sources import Source, Sources, Unreadable, files, shown
from podenv.check.tasks import Task

__all__ = ["Broken", "Found", "Import", "Modules", "Task", "imports", "modules", "tasks"]


@dataclass(frozen=True)
class Broken:
    """A file that is not read: its name, where, and why."""

    file: str
    line: int
    column: int
    why: str


@dataclass(frozen=True)
class Found:
    """The tasks of files; the files themselves; those that cannot be read; and the notebooks, which are not read."""

    tasks: list[Task]
    files: list[Source]
    broken: list[Broken]
    notebooks: list[str]
    sources: Sources


def tasks(paths: Sequence[Path], *, roots: Sequence[Path] = ()) -> Found:
    """Every use of an environment in the DAG files that ``paths`` name, folders searched. Imports nothing of them.

    ``roots`` are the folders whose modules a DAG file can import; none: the folders among ``paths``, and those of the
    files.
    """
    roots = roots or list(dict.fromkeys(path if path.is_dir() else path.parent for path in paths))
    sources = Sources([root.absolute() for root in roots])
    found = Found([], [], [], [shown(path) for path in files(paths, ".ipynb")], sources)
    for path in dict.fromkeys(file.absolute() for file in files(paths)):
        try:
            source = sources.read(path)
            found.tasks.extend(taskfinder.find(source, sources))
            found.files.append(source)
        except Unreadable as error:
            found.broken.append(Broken(shown(path), error.line, error.column, error.why))
    return found


def imports(task: Task, python: str) -> list[Import]:
    """The imports of a task's function on ``python`` ("3.11"); none where it runs a command."""
    if task.function is None:
        return []
    major, minor = python.split(".")
    return collect(task.function.body, (int(major), int(minor)))


def modules(
    environment: Environment, *, sync: bool = True, log: Callable[[str], None] = lambda _: None
) -> Modules | None:
    """What the environment's lock brings; None where it is not unpacked here and ``sync`` is False.

    Raises `LockMissing`, `ProgramNotFound`, `CheckImpossible`.
    """
    found = shelf.make(environment, log=log) if sync else shelf.find(environment)
    return moduleindex.read(found) if found is not None else None
