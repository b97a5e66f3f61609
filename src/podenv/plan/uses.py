"""Which task runs in which environment, and which packages of it the task imports itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from podenv.catalogue.environment import Catalogue
from podenv.check import index, travel
from podenv.check.imports import Import, collect
from podenv.check.index import Modules, Task
from podenv.check.sources import Sources
from podenv.errors import PodenvError


@dataclass(frozen=True)
class Use:
    """A task of a DAG, or a call of run_in_env, that runs in ``environment``.

    ``packages`` are the distributions that its code imports, normalised; None where that is not known: it runs a
    command, its function is not found, or the lock is not unpacked here.
    """

    environment: str
    dag: str
    task: str
    file: str
    line: int
    packages: frozenset[str] | None = None

    def __str__(self) -> str:
        return ".".join(filter(None, (self.dag, self.task))) or f"{self.file}:{self.line}"

    def imports(self, package: str) -> bool | None:
        """True if its code imports ``package`` (normalised); None where that is not known."""
        return None if self.packages is None else package in self.packages


@dataclass
class Uses:
    """All of them; ``notes`` say what could not be seen."""

    found: list[Use] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def of(self, *environments: str) -> list[Use]:
        """Those of some environments."""
        return [one for one in self.found if one.environment in environments]


def read(catalogue: Catalogue, folder: Path, *, sync: bool = True, log: Callable[[str], None] = lambda _: None) -> Uses:
    """The uses in the DAG files of ``folder``, found in their text. ``sync``: unpack locks for their modules.

    What cannot be seen becomes a note, never an error.
    """
    uses = Uses()
    if not folder.is_dir():
        uses.notes.append(f"There is no folder {folder} with DAG files, so no task is named; name it with --dags.")
        return uses
    found = index.tasks([folder])
    uses.notes += [f"{one.file}:{one.line} is not read: {one.why}." for one in found.broken]
    uses.notes += [f"{one} is a notebook and is not read." for one in found.notebooks]
    known = catalogue.names()
    named = {task.environment for task in found.tasks}
    modules = {name: _modules(catalogue, name, uses.notes, sync=sync, log=log) for name in known if name in named}
    for task in found.tasks:
        if task.environment is None:
            uses.notes.append(f"{task.file.name}:{task.line} computes its environment's name, so it is not counted.")
        elif task.environment not in known:
            uses.notes.append(
                f"{task.file.name}:{task.line} names {task.environment!r}, which is not in {catalogue.root}."
            )
        else:
            uses.found.append(_use(catalogue, task, found.sources, modules.get(task.environment)))
    uses.notes = list(dict.fromkeys(uses.notes))
    return uses


def _modules(
    catalogue: Catalogue, name: str, notes: list[str], *, sync: bool, log: Callable[[str], None]
) -> Modules | None:
    try:
        found = index.modules(catalogue[name], sync=sync, log=log)
    except PodenvError as error:
        notes.append(f"What the tasks of {name!r} import is not known: {error}")
        return None
    if found is None:
        notes.append(f"What the tasks of {name!r} import is not known: its lock is not unpacked here (--no-sync).")
    return found


def _use(catalogue: Catalogue, task: Task, sources: Sources, modules: Modules | None) -> Use:
    name = task.environment
    assert name is not None
    packages = None
    if modules is not None and task.function is not None:
        try:
            python = catalogue[name].python
        except PodenvError:
            python = "3.11"
        packages = frozenset(_packages(task, sources, modules, python))
    return Use(name, task.dag, task.task, task.file.name, task.line, packages)


def _packages(task: Task, sources: Sources, modules: Modules, python: str) -> Iterator[str]:
    """The distributions that a task's code imports: its function, with what travels beside it."""
    major, minor = map(int, python.split("."))
    luggage = travel.pack(task, sources)
    for body in (luggage.parts, *(module.tree.body for module in luggage.modules)):
        for one in collect(body, (major, minor)):
            if not one.level and not sources.has(one.module):
                yield from _distributions(one, modules)


def _distributions(one: Import, modules: Modules) -> Iterator[str]:
    inner = [f"{one.module}.{name}" for name in one.names if f"{one.module}.{name}" in modules]
    for name in inner or [one.module]:
        yield from modules.distributions(name)
