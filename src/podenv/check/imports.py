"""The imports of code, each with what it depends on: a branch, an `except ImportError`, the version of Python."""

from __future__ import annotations

import ast
import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

Certainty = Literal["certain", "conditional", "guarded"]
Version = tuple[int, int]
_FORGIVING = ("ImportError", "ModuleNotFoundError", "Exception", "BaseException")
_COMPARE = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}  # fmt: skip
_FACTS = {"sys.platform": "linux", "platform.system": "Linux", "os.name": "posix"}


@dataclass(frozen=True)
class Import:
    """One module that code asks for.

    ``module`` is its dotted name, ``level`` the dots of a relative one, ``names`` what `from` takes out of it.
    ``certainty`` is "guarded" where its absence is caught. ``instead_of``: it is asked for only where one of these
    modules is missing.
    """

    module: str
    line: int
    column: int
    names: tuple[str, ...] = ()
    level: int = 0
    certainty: Certainty = "certain"
    instead_of: tuple[str, ...] = ()


def collect(body: Iterable[ast.AST], python: Version, *, inside: bool = True) -> list[Import]:
    """The imports that ``body`` makes on Linux with ``python``, in its order.

    ``inside``: those of the functions and methods in it too.
    """
    return list(_Collector(python, inside).block(body, "certain", ()))


@dataclass(frozen=True)
class _Collector:
    python: Version
    inside: bool

    def block(self, body: Iterable[ast.AST], certainty: Certainty, instead: tuple[str, ...]) -> Iterator[Import]:
        for node in body:
            yield from self.one(node, certainty, instead)

    def one(self, node: ast.AST, certainty: Certainty, instead: tuple[str, ...]) -> Iterator[Import]:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from (replace(one, certainty=certainty, instead_of=instead) for one in _statement(node))
        elif isinstance(node, ast.If):
            yield from self._if(node, certainty, instead)
        elif isinstance(node, ast.Try | ast.TryStar):
            yield from self._try(node, certainty, instead)
        elif isinstance(node, ast.With | ast.AsyncWith) and _suppresses(node):
            yield from self.block(node.body, "guarded", instead)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if self.inside:
                yield from self.block(node.body, certainty, instead)
        elif isinstance(node, ast.For | ast.AsyncFor | ast.While | ast.Match):
            yield from self._branches(node, certainty, instead)
        elif isinstance(node, ast.Call) and (module := _called(node)):
            yield Import(module, node.lineno, node.col_offset + 1, certainty=certainty, instead_of=instead)
        elif isinstance(node, ast.Lambda):
            return
        else:
            yield from self.block(ast.iter_child_nodes(node), certainty, instead)

    def _if(self, node: ast.If, certainty: Certainty, instead: tuple[str, ...]) -> Iterator[Import]:
        known = holds(node.test, self.python)
        for block, chosen in ((node.body, known), (node.orelse, None if known is None else not known)):
            if chosen is not False:
                yield from self.block(block, certainty if chosen else _weaker(certainty), instead)

    def _try(self, node: ast.Try | ast.TryStar, certainty: Certainty, instead: tuple[str, ...]) -> Iterator[Import]:
        forgiving = [handler for handler in node.handlers if _forgives(handler)]
        tried = list(self.block(node.body, "guarded" if forgiving else certainty, instead))
        yield from tried
        wanted = tuple(one.module for one in tried if not one.level)
        for handler in node.handlers:
            if handler in forgiving and wanted:
                yield from self.block(handler.body, certainty, wanted)
            else:
                yield from self.block(handler.body, _weaker(certainty), instead)
        yield from self.block(node.orelse, _weaker(certainty) if forgiving else certainty, instead)
        yield from self.block(node.finalbody, certainty, instead)

    def _branches(self, node: ast.AST, certainty: Certainty, instead: tuple[str, ...]) -> Iterator[Import]:
        yield from self.block(ast.iter_child_nodes(node), _weaker(certainty), instead)


def _weaker(certainty: Certainty) -> Certainty:
    return "conditional" if certainty == "certain" else certainty


def _statement(node: ast.Import | ast.ImportFrom) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Import(alias.name, alias.lineno, alias.col_offset + 1)
    else:
        names = tuple(alias.name for alias in node.names)
        yield Import(node.module or "", node.lineno, node.col_offset + 1, names, node.level)


def _called(node: ast.Call) -> str:
    """The module that `import_module("x")` or `__import__("x")` asks for; empty for other calls."""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name not in ("import_module", "__import__") or len(node.args) != 1:
        return ""
    given = node.args[0]
    text = given.value if isinstance(given, ast.Constant) and isinstance(given.value, str) else ""
    return text if all(part.isidentifier() for part in text.split(".")) else ""


def _forgives(handler: ast.ExceptHandler) -> bool:
    return handler.type is None or any(_last(one) in _FORGIVING for one in _each(handler.type))


def _suppresses(node: ast.With | ast.AsyncWith) -> bool:
    calls = [item.context_expr for item in node.items if isinstance(item.context_expr, ast.Call)]
    suppressed = [one for call in calls if _last(call.func) in ("suppress", "raises") for one in call.args]
    return any(_last(one) in _FORGIVING for one in suppressed)


def _each(node: ast.expr) -> Sequence[ast.expr]:
    return node.elts if isinstance(node, ast.Tuple) else [node]


def _last(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def holds(test: ast.expr, python: Version) -> bool | None:
    """What a condition is on Linux with ``python``; None where its text does not say."""
    if isinstance(test, ast.Constant):
        return bool(test.value)
    if _last(test) == "TYPE_CHECKING":
        return False
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = holds(test.operand, python)
        return None if inner is None else not inner
    if isinstance(test, ast.BoolOp):
        parts = [holds(one, python) for one in test.values]
        decisive = isinstance(test.op, ast.Or)
        return decisive if decisive in parts else None if None in parts else not decisive
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and type(test.ops[0]) in _COMPARE:
        return _compared(test, python)
    if isinstance(test, ast.Call) and isinstance(test.func, ast.Attribute) and test.func.attr == "startswith":
        fact = _fact(test.func.value)
        try:
            return None if fact is None else fact.startswith(ast.literal_eval(test.args[0]))
        except (ValueError, IndexError, TypeError):
            return None
    return None


def _compared(test: ast.Compare, python: Version) -> bool | None:
    try:
        right = ast.literal_eval(test.comparators[0])
    except (ValueError, TypeError):
        return None
    compare = _COMPARE[type(test.ops[0])]
    fact = _fact(test.left)
    if fact is not None:
        return bool(compare(fact, right)) if isinstance(right, str) else None
    left = _version(test.left, python)
    if isinstance(left, tuple) and isinstance(right, tuple):
        # The whole of it is 3.11.something, which is above 3.11; a part is what it is.
        whole = not isinstance(test.left, ast.Subscript)
        return bool(compare((*left, 99) if whole else left, right))
    if isinstance(left, int) and isinstance(right, int):
        return bool(compare(left, right))
    return None


def _version(node: ast.expr, python: Version) -> tuple[int, ...] | int | None:
    if isinstance(node, ast.Attribute) and node.attr in ("major", "minor") and _last(node.value) == "version_info":
        return python[node.attr == "minor"]
    if isinstance(node, ast.Subscript) and _last(node.value) == "version_info":
        if isinstance(node.slice, ast.Constant) and node.slice.value in (0, 1):
            return python[1 if node.slice.value else 0]
        if isinstance(node.slice, ast.Slice) and node.slice.lower is None:
            upper = getattr(node.slice.upper, "value", None)
            return python[:upper] if upper in (1, 2) else None
        return None
    return python if _last(node) == "version_info" else None


def _fact(node: ast.expr) -> str | None:
    if isinstance(node, ast.Call) and not node.args:
        node = node.func
    return _FACTS.get(ast.unparse(node)) if isinstance(node, ast.Attribute) else None
