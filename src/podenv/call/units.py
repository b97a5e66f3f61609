"""A file's statements as units that can travel one by one: what each binds, and what it uses."""

from __future__ import annotations

import ast
import dis
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from types import CodeType
from typing import Any

# Packages that stay where Airflow runs, unless a function imports them itself.
AIRFLOW = ("airflow", "podenv")

Function = ast.FunctionDef | ast.AsyncFunctionDef
Import = ast.Import | ast.ImportFrom
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
        return frozenset(_touched(self.node)) - self.bound

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
        self.touching = [unit for unit in units if unit.touched]
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
                head = _copy(node, body=[ast.copy_location(ast.Pass(), node)])
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
    tree = ast.parse(text)
    _unannotate(tree, postponed=_is_postponed(tree))
    return File(name, text, tree)


def first_line(node: ast.stmt) -> int:
    """Its first decorator's where it has one."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def aliases(node: Import) -> Iterator[tuple[str, ast.alias]]:
    """The name that each part of an import binds."""
    for alias in node.names:
        name = alias.asname or (alias.name if isinstance(node, ast.ImportFrom) else alias.name.partition(".")[0])
        yield name, alias


def imported(node: Import) -> list[str]:
    """The modules that an import names; relative ones begin with dots."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return ["." * node.level + (node.module or "")]


def constant(node: ast.stmt) -> tuple[Any] | None:
    """The value that a statement gives to a name, where its text alone says it."""
    if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        try:
            return (ast.literal_eval(node.value),)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return None
    return None


def branches(node: ast.AST) -> list[list[ast.stmt]]:
    """The blocks of a compound statement."""
    parts = (node, *getattr(node, "handlers", ()), *getattr(node, "cases", ()))
    blocks = [getattr(part, name, []) for part in parts for name in ("body", "orelse", "finalbody")]
    return [block for block in blocks if isinstance(block, list) and block]


def is_type_checking(node: ast.stmt) -> bool:
    """True if ``node`` is ``if TYPE_CHECKING:``."""
    return isinstance(node, ast.If) and _last_name(node.test) == "TYPE_CHECKING"


def used(body: Sequence[ast.stmt]) -> frozenset[str]:
    """What ``body`` looks up outside itself; names of a function around it count."""
    names: set[str] = set()
    stripped = [bare(node) for node in body]
    try:
        code = compile(ast.Module(stripped, type_ignores=[]), "names", "exec", dont_inherit=True)
    except SyntaxError:  # it changes names of a function around it
        free = {name for node in body for one in ast.walk(node) if isinstance(one, ast.Nonlocal) for name in one.names}
        outer = ast.parse(f"def outer({', '.join(sorted(free))}): pass")
        assert isinstance(outer.body[0], ast.FunctionDef)
        outer.body[0].body = stripped
        code = compile(outer, "names", "exec", dont_inherit=True)
        names |= free
    _look(code, names)
    return frozenset(names)


def _look(code: CodeType, names: set[str]) -> None:
    """Add what ``code``, and the code inside it, looks up in the module before it binds it itself."""
    own: set[str] = set()
    for step in dis.get_instructions(code):
        if step.opname in ("STORE_NAME", "STORE_GLOBAL"):
            own.add(step.argval)
        elif step.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS", "DELETE_NAME"):
            names.update({step.argval} - own)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _look(constant, names)


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


def _touched(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, Function | ast.ClassDef):
        return
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign | ast.Delete):
        targets = node.targets
    elif isinstance(node, ast.AugAssign | ast.AnnAssign):
        targets = [node.target]
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        targets = [node.value.func]
    for root in targets:
        inside = root
        while isinstance(inside, ast.Attribute | ast.Subscript | ast.Call):
            inside = inside.func if isinstance(inside, ast.Call) else inside.value
        if inside is not root and isinstance(inside, ast.Name):
            yield inside.id
    for block in branches(node):
        for child in block:
            yield from _touched(child)


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
    return isinstance(node, ast.If) and isinstance(node.test, ast.Compare) and _last_name(node.test.left) == "__name__"


def _is_dag(node: ast.stmt) -> bool:
    """True if ``node`` is ``with DAG(...)`` or ``with TaskGroup(...)``, by the name."""
    calls = [item.context_expr for item in node.items] if isinstance(node, _WITH) else []
    return any(isinstance(call, ast.Call) and _last_name(call.func) in ("DAG", "TaskGroup") for call in calls)


def _last_name(node: ast.AST) -> str:
    return str(getattr(node, "attr", None) or getattr(node, "id", ""))


def _holds(node: ast.stmt, line: int) -> bool:
    return node.lineno <= line <= (node.end_lineno or 0)


def _is_postponed(tree: ast.Module) -> bool:
    futures = (node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__")
    return any(alias.name == "annotations" for node in futures for alias in node.names)


def _unannotate(tree: ast.Module, *, postponed: bool) -> None:
    """Take away the annotations that are never evaluated."""
    if postponed:
        for node in ast.walk(tree):
            if isinstance(node, Function):
                node.returns = None
            elif isinstance(node, ast.arg):
                node.annotation = None
            elif isinstance(node, ast.AnnAssign):
                node.annotation = ast.copy_location(ast.Constant(None), node)
    _unannotate_variables(tree, inside_class=False)


def _unannotate_variables(node: ast.AST, *, inside_class: bool) -> None:
    """Of variables they count in classes only: a function's are never evaluated, and a file's are not sent."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.AnnAssign) and not inside_class:
            child.annotation = ast.copy_location(ast.Constant(None), child)
        elif isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
            inside = isinstance(child, ast.ClassDef) or (inside_class and not isinstance(child, Function))
            _unannotate_variables(child, inside_class=inside)


def bare(node: Any) -> Any:
    """A copy of a statement without the annotations in the signatures of its functions, or of its classes' methods.

    In the environment those are texts. Trees are shared by threads, so nothing is taken from them.
    """
    if isinstance(node, Function):
        arguments = _copy(
            node.args,
            **{
                name: [_copy(argument, annotation=None) for argument in getattr(node.args, name)]
                for name in ("posonlyargs", "args", "kwonlyargs")
            },
        )
        for name in ("vararg", "kwarg"):
            if (extra := getattr(arguments, name)) is not None:
                setattr(arguments, name, _copy(extra, annotation=None))
        return _copy(node, args=arguments, returns=None)
    fields = {name: getattr(node, name, None) for name in ("body", "orelse", "finalbody", "handlers", "cases")}
    return _copy(node, **{name: [bare(child) for child in block] for name, block in fields.items() if block})


def _copy(node: Any, **changed: Any) -> Any:
    fields = {name: getattr(node, name) for name in node._fields if hasattr(node, name)}
    return ast.copy_location(type(node)(**{**fields, **changed}), node)
