"""What imports really do, and how much memory they take: each set of imports in a process of the virtual environment.

It runs third-party code, so it is done only where somebody asks for it: without this machine's variables, in an empty
folder, for a limited time.
"""

from __future__ import annotations

import ast
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from podenv import process, venv
from podenv.catalogue import quantity
from podenv.catalogue.request import TaskRequest
from podenv.check.findings import Finding
from podenv.check.imports import collect
from podenv.check.subject import Subject
from podenv.check.tasks import Task
from podenv.check.travel import Luggage
from podenv.check.views import View
from podenv.errors import CheckImpossible, PodenvError, ProgramError
from podenv.local import imports
from podenv.lock.lockfile import lock_hash

_TIMEOUT = 300.0  # seconds for all sets of one environment
_CLOSE = 1.25  # a limit below this many times of what the imports take is a warning
_QUOTED = 120  # characters of what an import said
_PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")
# One child for each set: they share what the interpreter itself takes, and nothing of each other.
_PROGRAM = """
import importlib, json, os, resource, sys
def member(module, names):
    found = importlib.import_module(module)
    for name in names:
        if not hasattr(found, name):
            try:
                importlib.import_module(found.__name__ + "." + name)
            except ImportError:
                return name
        found = getattr(found, name)
        if not hasattr(found, "__path__") and type(found).__name__ != "module":
            return None
    return None
def peak():
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024
    except (OSError, StopIteration):
        taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return taken if sys.platform == "darwin" else taken * 1024
out = os.dup(1)
os.dup2(2, 1)
for asked in json.load(sys.stdin):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        answer = {"absent": []}
        for module, names in asked:
            try:
                name = member(module, names)
                if name is not None:
                    answer["absent"].append([module, names, "has no " + name])
            except BaseException as error:
                answer["absent"].append([module, names, type(error).__name__ + ": " + str(error)[:300]])
        answer["bytes"] = peak()
        os.write(writing, json.dumps(answer).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    os.write(out, (said or "null").encode() + b"\\n")
"""
Asked = tuple[str, tuple[str, ...]]


@dataclass(frozen=True)
class _Probe:
    """What one task asks for: module and names -> where it does."""

    view: View
    task: Task
    places: dict[Asked, tuple[int, int]]


def hold(subject: Subject, *, log: Callable[[str], None] = lambda _: None) -> Iterator[Finding]:
    """Import what the tasks import, and compare the memory that this takes with their limits; it is remembered.

    Raises `PodenvError` where the virtual environment cannot be made, or the program does not end.
    """
    probes = [
        _Probe(view, task, places)
        for view in subject.views
        for task, luggage in view.luggage
        if (places := dict(_asked(subject, luggage)))
    ]
    if not probes:
        return
    python = venv.interpreter(venv.sync(subject.environment, log=log).path)
    sets = list(dict.fromkeys(tuple(sorted(probe.places)) for probe in probes))
    answers = dict(zip(sets, _run(python, sets, subject.name), strict=True))
    seen = {(p.task.dag, p.task.task): answers[tuple(sorted(p.places))] for p in probes if p.task.kind != "call"}
    imports.remember(lock_hash(subject.environment), {one: int(a["bytes"]) for one, a in seen.items() if a is not None})
    for probe in probes:
        answer = answers[tuple(sorted(probe.places))]
        if answer is not None:
            yield from _absent(subject, probe, answer["absent"])
            yield from _memory(subject, probe.task, int(answer["bytes"]))


def _asked(subject: Subject, luggage: Luggage) -> Iterator[tuple[Asked, tuple[int, int]]]:
    """The imports that are certain, the names that they take, and the attributes of modules that the code names."""
    bound: dict[str, str] = {}
    for one in collect(luggage.parts, subject.python):
        if one.certainty != "certain" or one.level or one.instead_of or _travels(subject, one.module):
            continue
        place = (one.line, one.column)
        yield (one.module, ()), place
        yield from (((one.module, (name,)), place) for name in one.names if name != "*")
    for node in (part for statement in luggage.parts for part in ast.walk(statement)):
        for alias in node.names if isinstance(node, ast.Import) else ():
            top = alias.name.partition(".")[0]
            bound[alias.asname or top] = alias.name if alias.asname else top
    for node in (part for statement in luggage.parts for part in ast.walk(statement)):
        names: list[str] = []
        inner: ast.AST = node
        while isinstance(inner, ast.Attribute):
            names.insert(0, inner.attr)
            inner = inner.value
        if names and isinstance(inner, ast.Name) and inner.id in bound and not _travels(subject, bound[inner.id]):
            yield (bound[inner.id], tuple(names[:1])), (inner.lineno, inner.col_offset + 1)


def _travels(subject: Subject, module: str) -> bool:
    """True if ``module`` is beside the DAG, and not in the environment, whose own goes first."""
    top = module.partition(".")[0]
    return subject.sources.has(top) and (subject.modules is None or top not in subject.modules)


def _run(python: Path, sets: list[tuple[Asked, ...]], environment: str) -> list[dict[str, Any] | None]:
    kept = {name: os.environ[name] for name in _PASSED if name in os.environ}
    with tempfile.TemporaryDirectory(prefix="podenv-probe-") as folder:
        try:
            done = process.run(
                [python, "-I", "-c", _PROGRAM], cwd=Path(folder), env=kept, timeout=_TIMEOUT,
                input=json.dumps(sets).encode(),
            )  # fmt: skip
        except ProgramError as error:
            raise CheckImpossible(f"The imports of {environment!r} could not be tried: {error}") from None
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.strip()]
    if len(answers) != len(sets):
        raise CheckImpossible(f"The imports of {environment!r} could not be tried: the program gave no answer.")
    return answers


def _absent(subject: Subject, probe: _Probe, absent: list[tuple[str, list[str], str]]) -> Iterator[Finding]:
    for module, names, why in absent:
        line, column = probe.places[(module, tuple(names))]
        missing = why.startswith("ModuleNotFoundError")
        if missing and names:
            continue  # the module itself was told
        why = " ".join(why.split())[:_QUOTED].rstrip(".")
        yield Finding(
            "import" if missing else "import-name", probe.view.source.name, line, column,
            f"`{'.'.join([module, *names])}` cannot be had in {subject.name!r}: {why}.",
            "It was tried in the virtual environment of the lock; ask for another version, or do without it.",
            probe.task.dag, probe.task.task, subject.name,
        )  # fmt: skip


def _memory(subject: Subject, task: Task, taken: int) -> Iterator[Finding]:
    """A limit that the imports alone go beyond, or nearly."""
    try:
        request = replace(TaskRequest.of(task.arguments), env=subject.name) if task.kind != "call" else TaskRequest()
        found = request.resources(subject.environment, task.task)
        limit = found.max_memory if found.is_auto else found.limits.get("memory")  # what is learned grows to its cap
    except (PodenvError, TypeError):  # another rule says so
        return
    if limit is None or quantity.to_bytes(limit) >= taken * _CLOSE:
        return
    over = quantity.to_bytes(limit) < taken
    finding = Finding(
        "memory", task.file.name, task.line, task.column,
        f"The imports of `{task.task}` take {taken / 1024**2:.0f} MiB, and its limit is {limit}.",
        "Raise its memory.", task.dag, task.task, subject.name,
    )  # fmt: skip
    yield finding if over else replace(finding, weight="warning")
