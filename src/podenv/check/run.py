"""A check from its beginning to its end: files, environments, locks, rules, the type checker, what is ignored."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from podenv.catalogue.environment import Catalogue
from podenv.catalogue.rules import RULES
from podenv.check import engine, index, judging, modules, probe, shelf, standard, suppression, travel, views
from podenv.check.findings import Finding, Report, Skipped
from podenv.check.graph import Graph
from podenv.check.modules import Modules
from podenv.check.rules import code, edges, environments, limits
from podenv.check.rules import modules as imports
from podenv.check.rules.limits import Room
from podenv.check.shelf import Shelf
from podenv.check.sources import shown
from podenv.check.subject import Subject
from podenv.errors import LockError, PodenvError

# What is certain to fail in a pod, and costs next to nothing to know.
CERTAIN = ("syntax", "import", "stdlib", "import-name", "not-carried", "xcom-value", "limit")
_BY_LOCK = (
    "import",
    "stdlib",
    "transitive-import",
    "unused-requirement",
    "no-environment-needed",
    "command",
    *judging.RULES,
)
# Held only where somebody asks for it.
ASKED_FOR = ("memory", "edge-type")


@dataclass(frozen=True)
class Options:
    """How a check is done.

    ``environments``: only these; ``rules``: only these. ``sync``: unpack locks that are not unpacked yet. ``engine``:
    ask the type checker where no result is kept. ``rooms`` is what clusters allow, by environment, and ``untold`` what
    they do not say; ``graph`` is what Airflow loaded; ``probe``: import what tasks import, in virtual environments.
    """

    environments: Collection[str] = ()
    rules: Collection[str] = tuple(RULES)
    sync: bool = True
    engine: bool = True
    rooms: Mapping[str, Room] = field(default_factory=dict)
    untold: Sequence[str] = ()
    graph: Graph | None = None
    probe: bool = False
    roots: Sequence[Path] = ()


def check(
    paths: Sequence[Path],
    catalogue: Catalogue,
    options: Options | None = None,
    *,
    log: Callable[[str], None] = lambda _: None,
) -> Report:
    """Hold every rule against the DAG files that ``paths`` name; nothing of them is imported."""
    return _Check(catalogue, options or Options(), log).run(paths)


def certain(paths: Sequence[Path], catalogue: Catalogue, *, roots: Sequence[Path] = ()) -> list[Finding]:
    """The errors that are known at no cost: nothing is unpacked, and the type checker is not asked."""
    report = check(paths, catalogue, Options(rules=CERTAIN, sync=False, engine=False, roots=roots))
    return [one for one in report.findings if one.severity == "error"]


@dataclass
class _Check:
    catalogue: Catalogue
    options: Options
    log: Callable[[str], None]
    findings: list[Finding] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    subjects: list[Subject] = field(default_factory=list)

    def run(self, paths: Sequence[Path]) -> Report:
        found = index.tasks(paths, roots=self.options.roots)
        self._files(found)
        self.findings += environments.unknown(found.tasks, self.catalogue)
        self.subjects = list(self._subjects(found))
        self._unpack()
        self._judge()
        for subject in self.subjects:
            self._rules(subject)
        for why in self.options.untold:
            self._skip("limit", why, failed=True)
        self._graph(found)
        self._probe()
        self._unused(found, paths)
        return self._report(found)

    def _files(self, found: index.Found) -> None:
        for one in found.broken:
            why = f"This file cannot be read: {one.why.rstrip('.')}."
            remedy = "Correct it; its tasks are not checked."
            self.findings.append(Finding("dag-syntax", one.file, one.line, one.column, why, remedy))
        for name in found.notebooks:
            self._skip("all", f"{name} is a notebook; only .py files are read.")
        for task in found.tasks:
            if task.environment is None and self.options.graph is None:
                self._skip("all", f"{task.file.name}:{task.line}: the environment of `{task.task}` is computed.")
            elif task.function is None and not isinstance(task.callable, ast.Lambda | None):
                self._skip("all", f"{task.file.name}:{task.line}: the function of `{task.task}` is not in a file here.")

    def _graph(self, found: index.Found) -> None:
        graph, program = self.options.graph, engine.find()
        if graph is None:
            return
        for file, why in graph.broken.items():
            self.findings.append(
                Finding("dag-syntax", shown(Path(file)), 1, 1, f"Airflow cannot import this file: {why}", "Correct it.")
            )
        for subject in self.subjects:
            self.findings += limits.mapped(subject, graph, self.options.rooms.get(subject.name))
        if program is None:
            self._skip("edge-type", judging.NO_ENGINE)
        elif "edge-type" in self.options.rules:
            self.findings += edges.mismatched(program, graph, found.sources)

    def _probe(self) -> None:
        if not self.options.probe:
            return
        for subject in self.subjects:
            try:
                known = {(one.file, one.line, one.environment) for one in self.findings}
                self.findings += [
                    one
                    for one in probe.hold(subject, log=self.log)
                    if one.rule == "memory" or (one.file, one.line, one.environment) not in known
                ]
            except PodenvError as error:
                self._skip("memory", str(error), failed=True)

    def _subjects(self, found: index.Found) -> Iterator[Subject]:
        by_name = defaultdict(list)
        for task in found.tasks:
            if task.environment is not None:
                by_name[task.environment].append(task)
        for name in self.options.environments or sorted({*by_name, *self.catalogue.names()}):
            with suppress(PodenvError):  # `environments.unknown` said so, where a task uses it
                subject = Subject(self.catalogue[name], found.sources, by_name[name])
                luggage = [(task, travel.pack(task, found.sources)) for task in subject.tasks]
                subject.views = views.build(name, luggage)
                yield subject

    def _unpack(self) -> None:
        if not any(rule in self.options.rules for rule in (*_BY_LOCK, "syntax")):
            return
        used = [
            subject
            for subject in self.subjects
            if (subject.tasks or subject.environment.spec.warm.imports) and not self._is_elsewhere(subject)
        ]
        for subject, (unpacked, brought) in zip(used, judging.side_by_side(self._shelf, used), strict=True):
            subject.shelf, subject.modules = unpacked, brought

    def _is_elsewhere(self, subject: Subject) -> bool:
        if not subject.environment.spec.image.external:
            return False
        for rule in _BY_LOCK:
            self._skip(rule, f"{subject.name!r} has an image that is built elsewhere.")
        return True

    def _shelf(self, subject: Subject) -> tuple[Shelf | None, Modules | None]:
        try:
            make = shelf.make if self.options.sync else shelf.find
            found = make(subject.environment)
        except LockError:  # a finding says so
            return None, None
        except PodenvError as error:
            for rule in _BY_LOCK:
                self._skip(rule, str(error), failed=True)
            return None, None
        if found is None:
            for rule in _BY_LOCK:
                self._skip(rule, f"the lock of {subject.name!r} is not unpacked here, and --no-sync leaves it so.")
            return None, None
        return found, modules.read(found)

    def _rules(self, subject: Subject) -> None:
        if not subject.environment.spec.image.external:
            try:
                self.findings += environments.lock_state(subject.environment)
            except LockError as error:
                self._skip("lock-stale", str(error), failed=True)
        for view in subject.views:
            self.findings += code.judged(subject, view)
        self.findings += code.newer_syntax(subject)
        self.findings += code.left_behind(subject)
        self.findings += imports.absent(subject, self._having)
        self.findings += imports.unloadable(subject)
        self.findings += imports.through_others(subject)
        self.findings += imports.needless(subject)
        self.findings += environments.commands(subject)
        self.findings += limits.above(subject, self.options.rooms.get(subject.name))
        if subject.environment.python != standard.HERE and not standard.is_known():
            python = subject.environment.python
            why = f"stdlib-list, which knows Python {python}, is not installed: `pip install 'podenv[check]'`."
            self._skip("stdlib", why)

    def _having(self, module: str) -> list[tuple[str, tuple[str, ...]]]:
        """The environments that bring ``module``, as far as their locks are unpacked, with the distributions."""
        having = []
        for name in self.catalogue.names():
            with suppress(PodenvError):
                found = shelf.find(self.catalogue[name])
                if found is not None and module in (known := modules.read(found)):
                    having.append((name, known.distributions(module)))
        return having

    def _judge(self) -> None:
        if any(rule in self.options.rules for rule in (*judging.RULES, "syntax")):
            self.skipped += judging.judge(self.subjects, ask=self.options.engine)

    # The end

    def _unused(self, found: index.Found, paths: Sequence[Path]) -> None:
        """Rules about what no task uses: they hold only where everything is known."""
        graph = self.options.graph
        computed = graph is None and any(task.environment is None for task in found.tasks)
        dags = self.catalogue.root.parent / "dags"
        folders = [path.absolute() for path in paths if path.is_dir()]
        whole = not self.options.environments and any(
            not dags.is_dir() or dags.is_relative_to(folder) for folder in folders
        )
        reasons = {
            "a file cannot be read": found.broken,
            "a name is computed": computed,
            "not all is checked": not whole,
        }
        why = next((reason for reason, holds in reasons.items() if holds), "")
        if why:
            for rule in ("unused-environment", "unused-requirement"):
                self._skip(rule, f"{why}, so what is unused cannot be told.")
            return
        used = {task.environment or "" for task in found.tasks} | (graph.environments if graph else set())
        self.findings += environments.unused(self.catalogue, frozenset(used))
        for subject in self.subjects:
            self.findings += imports.unused(subject)

    def _skip(self, rule: str, why: str, *, failed: bool = False) -> None:
        self.skipped.append(Skipped(rule, why, failed))

    def _report(self, found: index.Found) -> Report:
        chosen = set(self.options.rules)
        skipped = [one for one in self.skipped if one.rule in chosen or one.rule == "all"]
        sources = [*found.files, *(one for subject in self.subjects for one in subject.beside)]
        sources += [view.source for subject in self.subjects for view in subject.views]
        known = [subject.environment for subject in self.subjects]
        counting = suppression.apply(self._wanted(chosen), dict.fromkeys(sources), known, self._held(chosen, skipped))
        kept = [one for one in counting if one.rule in chosen]
        if self.options.environments:
            kept = [one for one in kept if not one.environment or one.environment in self.options.environments]
        tasks = sum(len(subject.tasks) for subject in self.subjects)
        used = sum(bool(subject.tasks) for subject in self.subjects)
        return Report(kept, skipped, len(found.files), tasks, used).settled()

    def _wanted(self, chosen: set[str]) -> list[Finding]:
        """The findings of the chosen rules; what is missing may look as if nothing were needed."""
        faulty = {(one.file, one.task, one.environment) for one in self.findings if one.severity == "error"}
        return [
            one
            for one in self.findings
            if one.rule in chosen
            and not (one.rule == "no-environment-needed" and (one.file, one.task, one.environment) in faulty)
        ]

    def _held(self, chosen: set[str], skipped: list[Skipped]) -> set[str]:
        """The rules that were held against everything."""
        left = {one.rule for one in skipped}
        if self.options.environments or "all" in left:
            return set()
        asked = {"memory": self.options.probe, "edge-type": self.options.graph is not None}
        return chosen - left - {rule for rule, done in asked.items() if not done}
