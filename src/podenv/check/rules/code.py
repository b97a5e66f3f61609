"""Rules about the code itself: its syntax, what it cannot take along, and what the type checker says of it."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import replace

from podenv.call import syntax
from podenv.check import members
from podenv.check.engine import Raw
from podenv.check.findings import Finding
from podenv.check.sources import shown
from podenv.check.subject import Subject
from podenv.check.views import View, first_line
from podenv.errors import nearest

_FOUND = re.compile(r"found `(.+)`$", re.DOTALL)
_NAMED = re.compile(r"[A-Za-z_]\w*")
_TO_STORAGE = "set [podenv] exchange for where it runs, so that it goes to storage"
# What a returned type is called -> what to do.
_RETURN = (
    (r"NDArray|ndarray|_Array", "return value.tolist()"),
    (r"DataFrame|\bTable\b|b\"|bytes|bytearray|memoryview|Path\b", _TO_STORAGE),
    (r"Series|Index\b", "return value.to_list()"),
    (r"\btime\b", "return value.isoformat()"),
    (r"Generator|Iterator|dict_(keys|values|items)|^(map|filter|zip|enumerate|reversed)\b", "return list(value)"),
    (r"^dict\[(?!str,)", "let its keys be texts: {str(key): value ...}"),
    (r"complex", "return [value.real, value.imag]"),
    (r"<module", "return what you need of the module"),
    (r"<class", "return a value, not a class"),
)


def newer_syntax(subject: Subject) -> Iterator[Finding]:
    """Syntax that the environment's Python cannot read, where the type checker has not said so, and more precisely."""
    if subject.python >= sys.version_info[:2]:  # whatever was read here, it reads
        return
    for view in subject.views:
        for node in view.nodes:
            first = node.lineno if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else first_line(node)
            last = node.end_lineno or first
            if any(raw.rule == "syntax" and first <= raw.line <= last for raw in view.judged):
                continue
            newer = syntax.newest("\n".join(view.source.lines[first - 1 : last]) + "\n", subject.python)
            if newer is not None:
                yield _syntax(subject, view, first + newer.line - 1, 1, newer.why)
    for module in subject.beside:
        newer = syntax.newest(module.text, subject.python)
        if newer is not None:
            yield replace(_syntax(subject, subject.views[0], newer.line, 1, newer.why), file=module.name)


def _syntax(subject: Subject, view: View, line: int, column: int, why: str) -> Finding:
    python = subject.environment.python
    return subject.finding(
        "syntax", view, line, column,
        f"{subject.name!r} has Python {python}, which cannot read this: {why.rstrip('.')}.",
        f"Write it as Python {python} reads it, or raise `python` in {shown(subject.values_file)}.",
    )  # fmt: skip


def left_behind(subject: Subject) -> Iterator[Finding]:
    """Names that the function uses and that do not travel with it."""
    for task in subject.tasks:
        if isinstance(task.callable, ast.Lambda):
            yield Finding(
                "not-carried", task.file.name, task.callable.lineno, task.callable.col_offset + 1,
                "A lambda has no source of its own.", "Write it as a function with `def`.",
                task.dag, task.task, subject.name,
            )  # fmt: skip
    for view in subject.views:
        for task, luggage in view.luggage:
            for problem in luggage.problems:
                yield Finding(
                    "not-carried", view.source.name, problem.line, problem.column,
                    f"`{problem.name}` does not travel to {subject.name!r}.",
                    f"{problem.remedy[:1].upper()}{problem.remedy[1:]}.",
                    task.dag, task.task, subject.name,
                )  # fmt: skip


def judged(subject: Subject, view: View) -> Iterator[Finding]:
    """What the type checker found in a view, of which we are as certain as the rule says."""
    for raw in view.judged:
        if not view.tasks_at(raw.line):
            continue
        if raw.rule in ("import-name", "attribute") and (member := members.of_module(raw.said)):
            assert subject.members is not None
            if subject.members.lacks(*member):
                yield _no_name(subject, view, raw, *member)
        elif raw.rule == "syntax":
            yield _syntax(subject, view, raw.line, raw.column, raw.said)
        elif raw.rule == "xcom-value":
            yield from _returned(subject, view, raw)
        elif raw.rule in ("attribute", "argument"):
            yield subject.finding(
                raw.rule, view, raw.line, raw.column, f"{raw.said}, as {subject.name!r} has it.",
                "Look it up in the documentation of the version in the lock.",
            )  # fmt: skip


def _no_name(subject: Subject, view: View, raw: Raw, module: str, name: str) -> Finding:
    assert subject.modules is not None
    assert subject.members is not None
    owner = next(iter(subject.modules.distributions(module)), None)
    if owner is None:
        have = f"Python {subject.environment.python}"
    else:
        have = f"{owner} {subject.versions.get(owner, '')}".strip()
    known = subject.members.names(module)
    return subject.finding(
        "import-name", view, raw.line, raw.column,
        f"`{module}` has no `{name}` in {subject.name!r} ({have}).",
        nearest(name, known).strip() or f"Look up where {have} has it, or let the environment have another version.",
    )  # fmt: skip


def _returned(subject: Subject, view: View, raw: Raw) -> Iterator[Finding]:
    match = _FOUND.search(raw.said)
    kind = match[1] if match else "this"
    if _NAMED.fullmatch(kind) and _is_typed_dict(view, kind):
        return
    task = view.tasks_at(raw.line)[0]
    advice = next((what for pattern, what in _RETURN if re.search(pattern, kind)), None)
    found = subject.finding(
        "xcom-value", view, raw.line, raw.column,
        f"`{task.function.name if task.function else task.task}` returns `{kind}`, which XCom does not keep.",
        f"{(advice or 'return numbers, text, lists, dicts with text keys, or dates')[:1].upper()}"
        f"{(advice or 'return numbers, text, lists, dicts with text keys, or dates')[1:]}.",
    )  # fmt: skip
    if advice == _TO_STORAGE:
        yield replace(found, weight="note")
    else:
        yield replace(found, weight="warning") if _is_one_of_several(kind) else found


def _is_one_of_several(kind: str) -> bool:
    """True if a value of this type may also be one that XCom keeps: a union, several literals, any object."""
    depth, outside = 0, ""
    for char in kind:
        depth += (char in "[(") - (char in "])")
        outside += "" if depth else char
    literals = kind.startswith("Literal[") and outside == "Literal]"
    return kind == "object" or " | " in outside or (literals and ", " in kind)


def _is_typed_dict(view: View, name: str) -> bool:
    """True if the file has a TypedDict of this name, which is a dict when it runs."""
    for node in ast.walk(view.source.tree):
        if isinstance(node, ast.ClassDef) and node.name == name:
            return any("TypedDict" in ast.unparse(base) for base in node.bases)
    return False
