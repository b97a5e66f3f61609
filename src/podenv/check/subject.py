"""What the rules look at: one environment with the tasks that use it, and what its lock brings."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from podenv import lock
from podenv.catalogue.environment import Environment
from podenv.check.findings import Finding
from podenv.check.imports import Import, collect
from podenv.check.members import Members
from podenv.check.modules import Modules
from podenv.check.shelf import Shelf
from podenv.check.sources import Source, Sources, shown
from podenv.check.tasks import Task
from podenv.check.views import View
from podenv.errors import LockError
from podenv.lock import sources as locksources


@dataclass(frozen=True)
class Use:
    """An import where it stands, and the view that it is of; ``file`` is another where a module beside it imports."""

    view: View
    file: Source
    what: Import


@dataclass
class Subject:
    """One environment.

    ``views`` are its code by file; ``beside`` the modules that travel to it. ``shelf`` and ``modules`` are None where
    its lock is not unpacked.
    """

    environment: Environment
    sources: Sources
    tasks: list[Task] = field(default_factory=list)
    views: list[View] = field(default_factory=list)
    shelf: Shelf | None = None
    modules: Modules | None = None

    @property
    def name(self) -> str:
        return self.environment.name

    @property
    def python(self) -> tuple[int, int]:
        """The environment's Python as numbers."""
        major, minor = self.environment.python.split(".")
        return int(major), int(minor)

    @property
    def values_file(self) -> Path:
        return self.environment.folder / "values.yaml"

    @cached_property
    def beside(self) -> list[Source]:
        """The modules that travel to it, each once."""
        found = {one.path: one for view in self.views for _, luggage in view.luggage for one in luggage.modules}
        return list(found.values())

    @cached_property
    def uses(self) -> list[Use]:
        """Every import that its code makes; relative ones of modules beside a DAG are whole names here."""
        found = []
        for view in self.views:
            found += [Use(view, view.source, one) for one in collect(view.parts, self.python)]
            modules = {one.path: one for _, luggage in view.luggage for one in luggage.modules}
            for module in modules.values():
                package = self.sources.package(module.path)
                imports = collect(module.tree.body, self.python, inside=False)
                found += [Use(view, module, _absolute(one, package)) for one in imports]
        return found

    @cached_property
    def direct(self) -> frozenset[str]:
        """The distributions that a person asked for."""
        try:
            return frozenset(lock.direct(self.environment))
        except LockError:
            return frozenset()

    @cached_property
    def asked(self) -> frozenset[str]:
        """Those of `direct` that come from a package index."""
        try:
            return frozenset(locksources.read(self.environment).names)
        except LockError:
            return frozenset()

    @cached_property
    def versions(self) -> dict[str, str]:
        """Distribution -> version, of all that the lock installs in the image."""
        machine = self.environment.spec.image.platform.partition("/")[2]
        markers = lock.linux(self.environment.python, {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine))
        try:
            return lock.pinned(self.environment, markers=markers)
        except LockError:
            return {}

    @cached_property
    def members(self) -> Members | None:
        if self.shelf is None or self.modules is None:
            return None
        return Members(self.shelf, self.modules)

    def finding(self, rule: str, view: View, line: int, column: int, message: str, remedy: str = "") -> Finding:
        """A finding in a DAG file, with the first task that runs what stands there."""
        tasks = view.tasks_at(line)
        task = tasks[0] if tasks else view.luggage[0][0]
        return Finding(rule, view.source.name, line, column, message, remedy, task.dag, task.task, self.name)

    def about(self, rule: str, file: Path, message: str, remedy: str, *, line: int = 1) -> Finding:
        """A finding in a file of the environment."""
        return Finding(rule, shown(file), line, 1, message, remedy, environment=self.name)


def _absolute(one: Import, package: str) -> Import:
    if not one.level:
        return one
    parts = package.split(".")
    base = ".".join(parts[: len(parts) - one.level + 1])
    return replace(one, module=f"{base}.{one.module}".strip("."), level=0)
