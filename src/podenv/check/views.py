"""Views: a DAG file as one environment sees it. What runs there stands on its own lines, all else is blank.

What is indented keeps its indentation below an `if True:` at the place of what was around it. A task's function says
that it returns an "XCom", so that a type checker judges every `return`.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from podenv.check.engine import Raw
from podenv.check.sources import Function, Source, binds
from podenv.check.tasks import Task
from podenv.check.travel import Luggage

FOOTER = "from _podenv import XCom"


@dataclass
class View:
    """What of ``source`` runs in ``environment``: for each task its luggage."""

    source: Source
    environment: str
    luggage: list[tuple[Task, Luggage]] = field(default_factory=list)
    judged: list[Raw] = field(default_factory=list)
    """What the type checker said of it."""

    @property
    def text(self) -> str:
        """What a type checker reads."""
        return _text(self.source, self.luggage)

    @property
    def nodes(self) -> list[ast.stmt]:
        """Every statement that runs there, once."""
        return list({node: None for _, luggage in self.luggage for node in luggage.nodes})

    @property
    def parts(self) -> list[ast.stmt]:
        """The same where of an import only some names travel, each once."""
        unique = {
            (one.lineno, one.col_offset, ast.dump(one) if isinstance(one, ast.Import | ast.ImportFrom) else ""): one
            for _, luggage in self.luggage
            for one in luggage.parts
        }
        return list(unique.values())

    def tasks_at(self, line: int) -> list[Task]:
        """The tasks that run what stands at ``line``."""
        return [task for task, luggage in self.luggage if any(_spans(node, line) for node in luggage.nodes)]


def build(environment: str, tasks: Sequence[tuple[Task, Luggage]]) -> list[View]:
    """The views of one environment: one for each file, more where functions of a file share a name."""
    views: list[tuple[View, dict[str, ast.stmt]]] = []
    for task, luggage in tasks:
        if task.source is None:
            continue
        bound = {name: node for node in luggage.nodes for name in binds(node)}
        for view, names in views:
            if view.source is task.source and all(names.get(name, node) is node for name, node in bound.items()):
                view.luggage.append((task, luggage))
                names.update(bound)
                break
        else:
            views.append((View(task.source, environment, [(task, luggage)]), bound))
    return [view for view, _ in views]


def _text(source: Source, luggage: Sequence[tuple[Task, Luggage]]) -> str:
    lines = [""] * len(source.lines)
    nodes = {node: None for _, one in luggage for node in one.nodes}
    for node in nodes:
        for above in source.above(node):
            indent = source.lines[above.lineno - 1][: above.col_offset]
            lines[above.lineno - 1] = f"{indent}if True:"
    for node in nodes:
        first, last = first_line(node), node.end_lineno or node.lineno
        lines[first - 1 : last] = source.lines[first - 1 : last]
    for task, _ in luggage:
        if task.function is not None:
            for number in range(first_line(task.function), task.function.lineno):
                lines[number - 1] = ""  # the task's own decorators
            if task.arguments.get("do_xcom_push") is not False:
                _returns_xcom(lines, task.function)
    return "\n".join([*lines, FOOTER, ""])


def first_line(node: ast.stmt) -> int:
    """Its first decorator's where it has one."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(one.lineno for one in decorators)])


def _spans(node: ast.stmt, line: int) -> bool:
    return first_line(node) <= line <= (node.end_lineno or node.lineno)


def _returns_xcom(lines: list[str], function: Function) -> None:
    """Let the signature of ``function`` end with ``-> "XCom":``, on as many lines as before."""
    start = function.lineno - 1
    text = "\n".join(lines[start : function.end_lineno])
    arrow = colon = None
    depth = 0
    with suppress(tokenize.TokenError, IndentationError, SyntaxError):
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type != tokenize.OP:
                continue
            depth += (token.string in "([{") - (token.string in ")]}")
            if depth == 0 and token.string == "->":
                arrow = token.start
            elif depth == 0 and token.string == ":":
                colon = token.start
                break
    if colon is None:
        return
    begin = arrow or colon
    head, tail = lines[start + begin[0] - 1][: begin[1]], lines[start + colon[0] - 1][colon[1] :]
    if begin[0] == colon[0]:
        lines[start + begin[0] - 1] = f'{head.rstrip()} -> "XCom"{tail}'
        return
    lines[start + begin[0] - 1] = f"{head.rstrip()} -> ("
    for number in range(begin[0] + 1, colon[0]):
        lines[start + number - 1] = ""
    lines[start + colon[0] - 1] = f'"XCom"){tail}'
