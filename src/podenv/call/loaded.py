"""The text that a function was loaded from, also where its file has changed since."""

from __future__ import annotations
import __future__

import ast
import inspect
import linecache
from functools import lru_cache
from pathlib import Path
from types import CodeType, FunctionType

Definition = ast.FunctionDef | ast.AsyncFunctionDef

_KEPT_VERSIONS = 4
_versions: dict[str, list[str]] = {}
"""The texts of each file that functions were found in, the newest first."""


class NoSource(Exception):
    """The function was not loaded from a text that can be read."""


class Changed(Exception):
    """The text that the function was loaded from is gone."""


def find(function: FunctionType) -> tuple[str, Definition]:
    """The whole text that ``function`` was loaded from, and its definition there. Raises `NoSource`, `Changed`."""
    code = function.__code__
    known = _versions.setdefault(code.co_filename, [])
    for text in known:
        if (definition := _match(text, function)) is not None:
            return text, definition
    for text in _texts(function):
        if (definition := _match(text, function)) is not None:
            known.insert(0, text)
            del known[_KEPT_VERSIONS:]
            return text, definition
    raise Changed


def lines(text: str) -> list[str]:
    """The lines of ``text`` as Python counts them: a form feed, or U+2028, ends none."""
    return [line + "\n" for line in text.split("\n")]


def _texts(function: FunctionType) -> list[str]:
    """What the file held when it was last read, and what it holds now. Raises `NoSource`."""
    entry = linecache.cache.get(function.__code__.co_filename, ())
    before = ["".join(entry[2])] if len(entry) == 4 else []
    try:
        now, _ = inspect.findsource(function)
    except (OSError, TypeError, IndexError):
        if not before:
            raise NoSource from None
        return before
    return ["".join(now), *before]


def _match(text: str, function: FunctionType) -> Definition | None:
    """The definition of ``function`` in ``text``; None where ``text`` is not what it was loaded from."""
    code = function.__code__
    try:
        definition = definitions(text).get(code.co_firstlineno)
    except SyntaxError:
        return None
    if definition is None or definition.name != code.co_name:
        return None
    if not _is_comparable(function):
        return definition
    flags = code.co_flags & __future__.annotations.compiler_flag
    compiled = _compiled(text, code.co_filename, flags).get((code.co_firstlineno, code.co_name), [])
    return definition if code in compiled else None


def _is_comparable(function: FunctionType) -> bool:
    """True if the file's text compiles to what was loaded: not a cell, whose text never changes, nor one that a loader
    of others (pytest, typeguard, beartype …) rewrites."""
    loader = function.__globals__.get("__loader__")
    kind = loader if isinstance(loader, type) else type(loader)
    plain = loader is None or kind.__module__ in ("_frozen_importlib", "_frozen_importlib_external")
    return plain and Path(function.__code__.co_filename).is_file()


@lru_cache(maxsize=8)
def definitions(text: str) -> dict[int, Definition]:
    """Every function of a file by its first line, which is its first decorator's where it has one."""
    found = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, Definition):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            found[first] = node
    return found


@lru_cache(maxsize=8)
def _compiled(text: str, filename: str, flags: int) -> dict[tuple[int, str], list[CodeType]]:
    found: dict[tuple[int, str], list[CodeType]] = {}
    todo = [compile(text, filename, "exec", flags, dont_inherit=True)]
    while todo:
        code = todo.pop()
        found.setdefault((code.co_firstlineno, code.co_name), []).append(code)
        todo += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return found
