"""A file's statements as units that can travel one by one: what each binds, and what it uses."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from podenv.call import effects
from podenv.call.tree import (
    Function,
    Import,
    aliases,
    branches,
    copy,
    first_line,
    imported,
    is_postponed,
    is_type_checking,
    last_name,
    syntax_tree,
    unannotate,
    used,
)

# Packages that stay where Airflow runs, unless a function imports them itself.
AIRFLOW = ("airflow", "podenv")

_COMPOUND = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.Match)
_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_WITH = (ast.With, ast.AsyncWith)
# What brings the same each time a loop comes by.
_SAME = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)


@dataclass(eq=False)
class Unit:
    """One statement of ``file``. ``stays``: why it cannot travel, where it stands in another that does not."""

    file: File
    node: ast.stmt
    stays: str = ""

    @property
    def first_line(self) -> int:
        return first_line(self.node)

    @property
    def last_line(self) -> int:
        assert self.node.end_lineno is not None
        return self.node.end_lineno

    @cached_property
    def bound(self) -> frozenset[str]:
        """The names that it binds where it stands."""
        return frozenset(_bound(self.node))

    @cached_property
    def used(self) -> frozenset[str]:
        """The names that it looks up outside itself; annotations that are postponed do not count."""
        return frozenset() if isinstance(self.node, Import) else used([self.node])

    @cached_property
    def touched(self) -> frozenset[str]:
        """The names whose objects it changes: ``ROWS`` of ``ROWS.append(1)``."""
        return frozenset(effects.touched(self.node)) - self.bound

    @cached_property
    def registered(self) -> frozenset[str]:
        """The names whose objects its decorators may change: ``show`` of ``@show.register``."""
        return frozenset(effects.registered(self.node)) - self.bound

    @cached_property
    def called(self) -> frozenset[str]:
        """The functions that it calls for what they do, as decorators or as a statement."""
        return frozenset(effects.called(self.node))

    @cached_property
    def handed(self) -> frozenset[str]:
        """What it hands to such a call, which may change it."""
        return frozenset(effects.handed(self.node))

    @property
    def changed(self) -> frozenset[str]:
        """Of a function, the names of its module whose objects a call of it may change."""
        return self._effects[0]

    @property
    def changes_arguments(self) -> bool:
        """Of a function, True if it may change what it is handed."""
        return bool(self._effects[1])

    @cached_property
    def _effects(self) -> tuple[frozenset[str], frozenset[str]]:
        if not isinstance(self.node, Function):
            return frozenset(), frozenset()
        names, own = frozenset(effects.changed(self.node)), frozenset(effects.parameters(self.node))
        return names - own, names & own

    @property
    def may_touch(self) -> bool:
        """True if it may change what other statements have made."""
        return bool(self.touched or self.registered or self.called or getattr(self.node, "bases", ()))

    @cached_property
    def imports_airflow(self) -> bool:
        """True if it imports from Airflow or podenv when it runs."""
        return any(
            name.partition(".")[0] in AIRFLOW
            for node in _running(self.node)
            if isinstance(node, Import)
            for name in imported(node)
        )


class Block:
    """The units of a file, or of a function, as one statement there sees them."""

    def __init__(self, units: Sequence[Unit]) -> None:
        self.binding: dict[str, list[Unit]] = {}
        for unit in units:
            for name in unit.bound:
                self.binding.setdefault(name, []).append(unit)
        self.touching = [unit for unit in units if unit.may_touch]
        self.stars = [unit.node for unit in units if isinstance(unit.node, ast.ImportFrom) and "*" in unit.bound]


@dataclass(eq=False)
class File:
    """The text of a file, or of a notebook's cell."""

    name: str
    text: str
    tree: ast.Module
    _blocks: dict[tuple[ast.AST, int], Block] = field(default_factory=dict)

    @cached_property
    def lines(self) -> list[str]:
        """Each with its newline; a form feed, or U+2028, ends none."""
        return [line + "\n" for line in self.text.split("\n")]

    @cached_property
    def functions(self) -> dict[int, tuple[Function, tuple[Function, ...]]]:
        """Every function by its first line, its first decorator's where it has one, and those around it."""
        return dict(_functions(self.tree, ()))

    def block(self, scope: ast.Module | Function, line: int) -> Block:
        """The statements of ``scope``, as one at ``line`` sees them.

        ``with DAG(...)`` is opened, and so is what holds ``line``: what stands there travels one by one.
        """
        key = scope, line if any(isinstance(node, _COMPOUND) and _holds(node, line) for node in scope.body) else 0
        if key not in self._blocks:
            self._blocks[key] = Block(list(self._opened(scope.body, line, stays="")))
        return self._blocks[key]

    def _opened(self, body: Sequence[ast.stmt], line: int, *, stays: str) -> Iterator[Unit]:
        for node in body:
            if is_type_checking(node) or _is_main(node):
                yield from self._opened(getattr(node, "orelse", []), line, stays=stays)
            elif not isinstance(node, _COMPOUND) or not (_holds(node, line) or _is_dag(node)):
                yield Unit(self, node, "" if isinstance(node, _SAME) else stays)
            elif isinstance(node, _WITH):
                head = copy(node, body=[ast.copy_location(ast.Pass(), node)])
                yield Unit(self, head, f"the `with` at line {node.lineno} sets it")
                yield from self._opened(node.body, line, stays=stays)
            else:
                yield from self._branches(node, line, stays=stays)

    def _branches(self, node: ast.stmt, line: int, *, stays: str) -> Iterator[Unit]:
        if isinstance(node, _LOOPS):
            stays = f"the loop at line {node.lineno} sets it"
            if not isinstance(node, ast.While):
                yield Unit(self, ast.copy_location(ast.Assign([node.target], node.iter), node), stays)
        for branch in branches(node):
            if first_line(branch[0]) <= line <= (branch[-1].end_lineno or 0):
                yield from self._opened(branch, line, stays=stays)
            else:
                yield from (Unit(self, one, f"the branch at line {branch[0].lineno} sets it") for one in branch)


@lru_cache(maxsize=64)
def parse(name: str, text: str) -> File:
    """The file ``name`` with this text. Raises SyntaxError."""
    tree = syntax_tree(text)
    unannotate(tree, postponed=is_postponed(tree))
    return File(name, text, tree)


def _bound(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, Import):
        yield from (name for name, _ in aliases(node))
    elif isinstance(node, Function | ast.ClassDef):
        yield node.name
    else:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt):
                yield from _bound(child)
            elif isinstance(child, ast.ExceptHandler | ast.match_case):
                for one in child.body:
                    yield from _bound(one)
                if isinstance(child, ast.match_case):
                    yield from _captured(child.pattern)
            elif not (isinstance(node, ast.AnnAssign) and node.value is None):
                yield from _stored(child)


def _stored(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif not isinstance(node, ast.Lambda):
        comprehension = isinstance(node, ast.comprehension)  # its targets are its own
        for child in ast.iter_child_nodes(node):
            if not (comprehension and child is getattr(node, "target", None)):
                yield from _stored(child)


def _captured(pattern: ast.AST) -> Iterator[str]:
    for one in ast.walk(pattern):
        name = getattr(one, "name", None) or getattr(one, "rest", None)
        if isinstance(name, str):
            yield name


def _running(node: ast.stmt) -> Iterator[ast.stmt]:
    """``node`` and the statements that run with it: not those of functions, nor those for a type checker."""
    yield node
    if not isinstance(node, Function):
        for block in [getattr(node, "orelse", [])] if is_type_checking(node) else branches(node):
            for child in block:
                yield from _running(child)


def _functions(
    node: ast.AST, around: tuple[Function, ...]
) -> Iterator[tuple[int, tuple[Function, tuple[Function, ...]]]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function):
            yield first_line(child), (child, around)
            yield from _functions(child, (*around, child))
        elif not isinstance(child, ast.expr):
            yield from _functions(child, around)


def _is_main(node: ast.stmt) -> bool:
    """True if ``node`` is ``if __name__ == "__main__":``."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Compare) and last_name(node.test.left) == "__name__"


def _is_dag(node: ast.stmt) -> bool:
    """True if ``node`` is ``with DAG(...)`` or ``with TaskGroup(...)``, by the name."""
    calls = [item.context_expr for item in node.items] if isinstance(node, _WITH) else []
    return any(isinstance(call, ast.Call) and last_name(call.func) in ("DAG", "TaskGroup") for call in calls)


def _holds(node: ast.stmt, line: int) -> bool:
    return node.lineno <= line <= (node.end_lineno or 0)
