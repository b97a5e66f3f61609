"""Statements as they travel: parts of an import, a function without what stays, a line of several statements."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from podenv.call.tree import Function, Import, aliases, bare
from podenv.call.units import Unit


@dataclass(frozen=True)
class Piece:
    """A statement at its ``line`` of ``filename``, with its indentation."""

    filename: str
    line: int
    text: str
    column: int = 0


def without(node: Function, decorators: list[ast.expr], defaults: Iterable[str]) -> Any:
    """The function as it travels: with these decorators, and without the defaults that travel as values."""
    copied = bare(node)
    copied.decorator_list = decorators
    nothing = ast.copy_location(ast.Constant(None), node)
    arguments = copied.args
    positional = [*arguments.posonlyargs, *arguments.args][-len(arguments.defaults) :]
    arguments.defaults = [
        nothing if argument.arg in defaults else default
        for argument, default in zip(positional, arguments.defaults, strict=False)
    ]
    arguments.kw_defaults = [
        nothing if argument.arg in defaults else default
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    return copied


def globals_set(node: ast.stmt) -> Iterator[str]:
    """The names of the file that its functions set."""
    for one in ast.walk(node):
        if isinstance(one, ast.Global):
            yield from one.names


def part(node: Any, names: set[str]) -> Any:
    """Of an import the part that binds ``names``; any other statement as it is."""
    if not isinstance(node, Import):
        return node
    kept = [alias for bound, alias in aliases(node) if bound in names]
    if isinstance(node, ast.Import):
        return ast.copy_location(ast.Import(kept), node)
    return ast.copy_location(ast.ImportFrom(node.module, kept, node.level), node)


def piece(unit: Unit, names: set[str]) -> Piece:
    """The statement as it travels; of an import, the part that binds ``names``."""
    node, lines = unit.node, unit.file.lines
    if isinstance(node, Import):
        text = ast.unparse(part(node, names)) + "\n"
    elif node.lineno != unit.first_line or hasattr(node, "body"):
        return Piece(unit.file.name, unit.first_line, "".join(lines[unit.first_line - 1 : unit.last_line]))
    else:  # other statements may stand in its line
        text = _segment(lines, node) + "\n"
    line = lines[node.lineno - 1]
    indentation = line[: len(line) - len(line.lstrip(" \t\f"))]
    return Piece(unit.file.name, node.lineno if unit.file.name else 0, indentation + text, node.col_offset)


def import_of(name: str, value: Any, own: str) -> str | None:
    """The import that brings ``value`` under ``name``."""
    if isinstance(value, ModuleType):
        return f"import {value.__name__}" if value.__name__ == name else f"import {value.__name__} as {name}"
    module, qualname = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(qualname, str) or module in (own, "__main__", "builtins"):
        return None
    if getattr(sys.modules.get(module), qualname, None) is not value:
        return None
    return f"from {module} import {qualname}" + ("" if qualname == name else f" as {name}")


def _segment(lines: list[str], node: ast.stmt) -> str:
    """The text of ``node`` alone; `ast.get_source_segment` goes over the whole file, character by character."""
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    rows = [line.encode("utf-8", "surrogatepass") for line in lines[node.lineno - 1 : node.end_lineno]]
    rows[-1] = rows[-1][: node.end_col_offset]
    rows[0] = rows[0][node.col_offset :]
    return b"".join(rows).decode("utf-8", "surrogatepass")
