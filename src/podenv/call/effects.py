"""What a statement changes beside the names that it binds: objects that other statements made."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from podenv.call.tree import Function, branches


def touched(node: ast.stmt) -> Iterator[str]:
    """The names whose objects ``node`` changes by itself: ``ROWS`` of ``ROWS.append(1)``."""
    if isinstance(node, Function | ast.ClassDef):
        return
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign | ast.Delete):
        targets = node.targets
    elif isinstance(node, ast.AugAssign | ast.AnnAssign):
        targets = [node.target]
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        targets = [node.value.func]
    for target in targets:
        yield from _beginning(target)
    for block in branches(node):
        for child in block:
            yield from touched(child)


def registered(node: ast.stmt) -> Iterator[str]:
    """The names whose objects its decorators may change: ``show`` of ``@show.register``."""
    for decorator in getattr(node, "decorator_list", ()):
        yield from _beginning(decorator.func if isinstance(decorator, ast.Call) else decorator)


def called(node: ast.stmt) -> Iterator[str]:
    """The functions that it calls for what they do: ``add`` of ``add(1)``, and of ``@add`` or ``@add("x")``."""
    calls = list(getattr(node, "decorator_list", ()))
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        calls.append(node.value)
    for call in calls:
        function = call.func if isinstance(call, ast.Call) else call
        if isinstance(function, ast.Name):
            yield function.id


def handed(node: ast.stmt) -> Iterator[str]:
    """What it hands to such a call, which may change it: ``ROWS`` of ``add(ROWS)``."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        for argument in (*node.value.args, *(keyword.value for keyword in node.value.keywords)):
            if isinstance(argument, ast.Name):
                yield argument.id


def changed(function: Function) -> Iterator[str]:
    """The names whose objects a call of ``function``, or of what it returns, may change; parameters are among them."""
    for node in ast.walk(function):
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Call):
            yield from _beginning(node.value.func)
        elif isinstance(node, ast.stmt) and not isinstance(node, Function | ast.ClassDef):
            yield from touched(node)


def parameters(function: Function) -> Iterator[str]:
    """The names of what it takes."""
    yield from (one.arg for one in ast.walk(function.args) if isinstance(one, ast.arg))


def _beginning(target: ast.expr) -> Iterator[str]:
    """The name that ``target`` begins with, where it is more than a name."""
    inside = target
    while isinstance(inside, ast.Attribute | ast.Subscript | ast.Call):
        inside = inside.func if isinstance(inside, ast.Call) else inside.value
    if inside is not target and isinstance(inside, ast.Name):
        yield inside.id
