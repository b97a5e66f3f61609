"""What an expression says without running it: texts, and plain values."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import Any

_MAPPINGS = ("dict", "V1ResourceRequirements")  # calls that say the same as a literal mapping
Scope = ast.Module | ast.FunctionDef | ast.AsyncFunctionDef


class Computed(Exception):
    """The value is known only when the file runs."""


def texts(node: ast.expr, scopes: Sequence[Scope]) -> list[str]:
    """Every text that ``node`` can be, by literals and by names that are bound to literals in ``scopes`` (inner first).

    Raises `Computed`.
    """
    return list(dict.fromkeys(_texts(node, scopes, 0)))


def value(node: ast.expr, scopes: Sequence[Scope] = ()) -> Any:
    """The plain value of ``node``. Raises `Computed`."""
    if isinstance(node, ast.Name):
        bound = list(_bound(node.id, scopes))
        if len(bound) != 1 or isinstance(bound[0], ast.Name):
            raise Computed
        node = bound[0]
    if isinstance(node, ast.Call):
        name = getattr(node.func, "id", None) or getattr(node.func, "attr", None)
        if name not in _MAPPINGS or node.args or any(keyword.arg is None for keyword in node.keywords):
            raise Computed
        return {str(keyword.arg): value(keyword.value, scopes) for keyword in node.keywords}
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {value(key, scopes): value(one, scopes) for key, one in pairs if key is not None}
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise Computed from None


def keywords(call: ast.Call) -> dict[str, ast.expr]:
    """The arguments of a call that have a name."""
    return {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg is not None}


def _texts(node: ast.expr, scopes: Sequence[Scope], depth: int) -> Iterator[str]:
    if depth > 5:
        raise Computed
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body, scopes, depth + 1)
        yield from _texts(node.orelse, scopes, depth + 1)
    elif isinstance(node, ast.Name):
        bound = list(_bound(node.id, scopes))
        if not bound:
            raise Computed
        for one in bound:
            yield from _texts(one, scopes, depth + 1)
    else:
        raise Computed


def _bound(name: str, scopes: Sequence[Scope]) -> Iterator[ast.expr]:
    """The expressions that ``name`` is bound to in the innermost scope that binds it."""
    for scope in scopes:
        arguments = () if isinstance(scope, ast.Module) else ast.walk(scope.args)
        if any(isinstance(argument, ast.arg) and argument.arg == name for argument in arguments):
            raise Computed
        found = list(_in(scope.body, name))
        if found:
            yield from found
            return


def _in(body: Sequence[ast.stmt], name: str) -> Iterator[ast.expr]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if node.name == name:
                raise Computed
            continue
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name) and target.id == name:
                    if isinstance(node, ast.AugAssign) or node.value is None:
                        raise Computed
                    yield node.value
                elif isinstance(target, ast.Tuple | ast.List) and _names(target, name):
                    raise Computed
        elif isinstance(node, ast.For | ast.AsyncFor):
            if isinstance(node.target, ast.Name) and node.target.id == name:
                if not isinstance(node.iter, ast.List | ast.Tuple | ast.Set):
                    raise Computed
                yield from node.iter.elts
            elif _names(node.target, name):
                raise Computed
        elif isinstance(node, ast.Import | ast.ImportFrom) and any(
            (alias.asname or alias.name.partition(".")[0]) == name for alias in node.names
        ):
            raise Computed
        for block in ("body", "orelse", "finalbody"):
            yield from _in(getattr(node, block, []), name)
        for part in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
            yield from _in(part.body, name)


def _names(target: ast.expr, name: str) -> bool:
    return any(isinstance(part, ast.Name) and part.id == name for part in ast.walk(target))
