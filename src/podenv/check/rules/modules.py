"""Rules about imports: held against what the lock brings, by the RECORD of its wheels."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from packaging.utils import canonicalize_name

from podenv.check import standard
from podenv.check.findings import Finding
from podenv.check.imports import Import, collect
from podenv.check.modules import Modules
from podenv.check.sources import shown
from podenv.check.subject import Subject, Use
from podenv.check.tasks import Task
from podenv.errors import nearest
from podenv.runtime import annotation

# Arguments of a task that say nothing about where it runs.
_PLAIN = frozenset({
    "env", "task_id", "multiple_outputs", "retries", "retry_delay", "trigger_rule", "python_callable", "op_args",
    "op_kwargs", "doc_md",
})  # fmt: skip
# Texts in a package's __init__.py that say that it makes modules when it is loaded.
_MAKES_MODULES = ("sys.modules", "__path__", "meta_path", "LazyLoader", "_LazyModule", "lazy_loader")
Others = Callable[[str], list[tuple[str, tuple[str, ...]]]]


class Resolver:
    """Where the modules that one environment's code asks for come from."""

    def __init__(self, subject: Subject, modules: Modules) -> None:
        self.subject = subject
        self.modules = modules
        self.standard = standard.names(subject.environment.python)

    def missing(self, module: str) -> str | None:
        """The first part of ``module`` that is certain not to be there; None where it is there, or may be."""
        top = module.partition(".")[0]
        if self.is_standard(top):
            return None
        if top in self.modules:
            part = self.modules.missing(module)
            return None if part is None or self._is_made(part) else part
        if self.subject.sources.has(top) or self.modules.open or top.startswith("_"):
            return None
        return top

    def is_standard(self, top: str) -> bool:
        """True if ``top`` is in the standard library of the environment's Python, as far as is known here."""
        known = self.standard if self.standard is not None else standard.names(standard.HERE)
        return known is not None and top in known and not (top == "distutils" and "distutils" in self.modules)

    def _is_made(self, part: str) -> bool:
        """True if a package around ``part`` may make it when it is loaded."""
        assert self.subject.shelf is not None
        above = part.rpartition(".")[0]
        if above not in self.modules.packages:
            return True  # a module in a module, like six.moves
        while above:
            file = self.subject.shelf.packages.joinpath(*above.split("."), "__init__.py")
            text = file.read_text(errors="replace") if file.is_file() else ""
            if any(word in text for word in _MAKES_MODULES):
                return True
            above = above.rpartition(".")[0]
        return False


def absent(subject: Subject, others: Others) -> Iterator[Finding]:
    """Modules that the environment lacks."""
    if subject.modules is None:
        return
    resolver = Resolver(subject, subject.modules)
    for use in subject.uses:
        one = use.what
        if one.certainty == "guarded" or one.level:
            continue
        if one.instead_of and not any(resolver.missing(module) for module in one.instead_of):
            continue
        part = resolver.missing(one.module)
        if part is None:
            continue
        found = _absence(subject, use, part, others)
        # An image with a Containerfile of its own may hold what the lock does not.
        certain = one.certainty == "certain" and not subject.environment.spec.image.containerfile
        yield found if certain else replace(found, weight="warning")


def unloadable(subject: Subject) -> Iterator[Finding]:
    """Modules that idle pods are to load and the environment lacks; what lies beside a DAG is not in an image."""
    warm, modules = subject.environment.spec.warm, subject.modules
    if not warm.is_asked_for or modules is None or modules.open or subject.environment.spec.image.containerfile:
        return
    resolver = Resolver(subject, modules)
    for module in warm.imports:
        top = module.partition(".")[0]
        absent = top not in modules and not resolver.is_standard(top)
        part = top if absent else resolver.missing(module)
        if part is not None:
            message = f"`{part}` in warm.imports is not in {subject.name!r} (Python {subject.environment.python})."
            remedy = f"Add its package to {shown(subject.environment.source)}, or take it out of warm.imports."
            yield subject.about("import", subject.values_file, message, remedy)


def _absence(subject: Subject, use: Use, part: str, others: Others) -> Finding:
    environment = subject.environment
    where = f"{subject.name!r} (Python {environment.python})"
    rule, file = "import", shown(environment.source)
    top = part.partition(".")[0]
    pythons = standard.versions_with(top)
    assert subject.modules is not None
    if pythons and "." not in part:
        rule = "stdlib"
        since = _since(pythons, environment.python)
        message = f"`{top}` is not in the standard library of Python {environment.python}: {since}."
        remedy = f"Import what took its place, or let {subject.name!r} have another `python`."
    elif "." in part:
        owner = (subject.modules.distributions(part) or (top,))[0]
        have = f"{owner} {subject.versions.get(owner, '')}".strip()
        message = f"`{part}` is not in {where}: its {have} has no such module."
        close = nearest(part, [name for name in subject.modules.owners if name.startswith(part.rpartition(".")[0])])
        remedy = close.strip() or f"Correct the name, or ask for another version of {owner} in {file}."
    else:
        message, remedy = _with_others(subject, part, where, file, others(part))
    found = subject.finding(rule, use.view, use.what.line, use.what.column, message, remedy)
    if use.file is not use.view.source:
        return replace(found, file=use.file.name)
    return found


def _with_others(
    subject: Subject, part: str, where: str, file: str, having: list[tuple[str, tuple[str, ...]]]
) -> tuple[str, str]:
    message = f"`{part}` is not in {where}"
    if having:
        package = next((names[0] for _, names in having if names), part)
        message += f"; {' and '.join(repr(name) for name, _ in having[:3])} {'have' if len(having) > 1 else 'has'} it."
        return message, f"Add `{package}` to {file}, or use that environment."
    assert subject.modules is not None
    close = nearest(part, subject.modules.top_level).strip()
    if part in ("airflow", "podenv"):
        remedy = "Pass what the function needs of Airflow as an argument; it runs without Airflow."
    else:
        remedy = close or f"Add the package that brings it to {file}, then run `podenv lock {subject.name}`."
    return f"{message}.", remedy


def _since(pythons: list[str], python: str) -> str:
    order = [tuple(map(int, one.split("."))) for one in pythons]
    if tuple(map(int, python.split("."))) < order[0]:
        return f"it came with Python {pythons[0]}"
    return f"Python {pythons[-1]} was the last one to have it"


def through_others(subject: Subject) -> Iterator[Finding]:
    """Imports of what only another package asks for: an upgrade of that one may take it away."""
    if subject.modules is None or not subject.direct:
        return
    resolver = Resolver(subject, subject.modules)
    told: set[tuple[str, str]] = set()
    for use in subject.uses:
        top = use.what.module.partition(".")[0]
        if use.what.certainty == "guarded" or use.what.level or resolver.is_standard(top):
            continue
        owners = subject.modules.distributions(use.what.module)
        if not owners or subject.direct & set(owners) or (use.file.name, owners[0]) in told:
            continue
        told.add((use.file.name, owners[0]))
        askers = sorted(
            name for name, asked in subject.modules.requires.items() if owners[0] in asked and name != owners[0]
        )
        through = f" through {' and '.join(askers[:3])}" if askers else ""
        found = subject.finding(
            "transitive-import", use.view, use.what.line, use.what.column,
            f"`{top}` is in {subject.name!r} only{through}.",
            f"Add `{owners[0]}` to {shown(subject.environment.source)}: their next version may not bring it.",
        )  # fmt: skip
        yield replace(found, file=use.file.name)


def unused(subject: Subject) -> Iterator[Finding]:
    """Requirements that no code of the environment imports. Asked only where all of its code is known."""
    modules = subject.modules
    if modules is None or not subject.tasks or any(task.function is None for task in subject.tasks):
        return
    used = {owner for use in subject.uses for owner in _owners(modules, use.what)}
    # A value from storage becomes what its parameter's annotation names, which nothing needs to import.
    used |= {owner for task in subject.tasks for name in _annotated(task) for owner in modules.distributions(name)}
    helped = {name for owner in used for name in modules.requires.get(owner, ())}
    for name in sorted(subject.asked - used - helped):
        if name in modules.entry_points or name.startswith("types-") or name.endswith("-stubs"):
            continue
        if not any(name in owners for owners in modules.owners.values()):
            continue  # it brings no module: it stands for others, or only bounds a version
        yield subject.about(
            "unused-requirement",
            subject.environment.source,
            f"No task of {subject.name!r} imports `{name}`.",
            "Remove it, and the image is smaller.",
            line=_line_of(subject.environment.source, name),
        )


def _annotated(task: Task) -> Iterator[str]:
    """The modules that annotations of the task's function name, as in ``rows: "polars.DataFrame"``."""
    given = task.function.args if task.function is not None else None
    for one in [] if given is None else [*given.posonlyargs, *given.args, *given.kwonlyargs]:
        if one.annotation is not None:
            yield from _modules(annotation.read(ast.unparse(one.annotation), {}))


def _modules(wanted: annotation.Wanted) -> Iterator[str]:
    yield from (name.partition(".")[0] for name in wanted.names if "." in name)
    for inner in wanted.inner:
        yield from _modules(inner)


def _owners(modules: Modules, one: Import) -> Iterable[str]:
    yield from modules.distributions(one.module)
    for name in one.names:
        if f"{one.module}.{name}" in modules:
            yield from modules.distributions(f"{one.module}.{name}")


def _line_of(file: Path, name: str) -> int:
    """The line of ``file`` that asks for ``name``; the first one where that cannot be told."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return 1
    for number, line in enumerate(text.splitlines(), start=1):
        words = re.findall(r"[A-Za-z0-9][A-Za-z0-9._-]*", line.partition("#")[0])
        if any(canonicalize_name(word) == name for word in words):
            return number
    return 1


def needless(subject: Subject) -> Iterator[Finding]:
    """Tasks that Airflow's own Python could run: the same version, the standard library only, no limits."""
    modules = subject.modules
    if modules is None or not modules.owners or subject.environment.python != standard.HERE:
        return
    resolver = Resolver(subject, modules)
    for view in subject.views:
        for task, luggage in view.luggage:
            if task.kind == "call" or not task.given <= _PLAIN or luggage.problems or luggage.modules:
                continue
            imports = collect(luggage.parts, subject.python)
            if all(resolver.is_standard(one.module.partition(".")[0]) for one in imports):
                yield Finding(
                    "no-environment-needed", task.file.name, task.line, task.column,
                    f"`{task.task}` imports nothing of {subject.name!r}.",
                    "Make it a plain @task, which starts at once.", task.dag, task.task, subject.name,
                )  # fmt: skip
