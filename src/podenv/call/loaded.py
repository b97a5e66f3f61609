"""The text that a function was loaded from, also where its file has changed since."""

from __future__ import annotations
import __future__

import inspect
import linecache
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from podenv.call.tree import Function, constant, quietly
from podenv.call.units import File, parse

_KEPT_VERSIONS = 4
_versions: dict[str, list[str]] = {}
"""The texts of each file that functions were found in, the newest first."""


class NoSource(Exception):
    """The function was not loaded from a text that can be read."""


class Changed(Exception):
    """The text that the function was loaded from is gone."""


@dataclass(frozen=True)
class Found:
    """A function where it stands: ``around`` are the functions around it, the outermost first."""

    function: FunctionType
    file: File
    node: Function
    around: tuple[Function, ...] = ()


def find(function: FunctionType) -> Found:
    """``function`` in the text that it was loaded from. Raises `NoSource`, `Changed`."""
    known = _versions.setdefault(function.__code__.co_filename, [])
    try:
        texts = [*_texts(function), *known]
    except NoSource:
        if not known:
            raise
        texts = known
    matches = [found for text in dict.fromkeys(texts) if (found := _match(text, function)) is not None]
    if not matches:
        raise Changed
    # Where only something else in the file has changed, the function is in several of its versions.
    best = matches[0] if len(matches) == 1 else max(matches, key=lambda found: _likeness(found, function))
    if best.file.text not in known:
        known.insert(0, best.file.text)
        del known[_KEPT_VERSIONS:]
    return best


def is_from(value: Any, file: File) -> bool:
    """False if ``value`` is a function of ``file`` that was loaded from another text than this."""
    plain = inspect.unwrap(value) if callable(value) else value
    if not isinstance(plain, FunctionType) or plain.__code__.co_filename != file.name or not _is_comparable(plain):
        return True
    return _holds(file, plain)


def cells(function: FunctionType) -> list[File]:
    """The other cells of the notebook that ``function`` stands in, the newest first."""
    own = function.__code__.co_filename
    if not is_cell(own):
        return []
    found = []
    for name in reversed(list(linecache.cache)):
        if is_cell(name) and name != own:
            try:
                found.append(parse(name, "".join(linecache.getlines(name))))
            except SyntaxError:  # a cell that did not run
                continue
    return found


def is_cell(name: str) -> bool:
    """True if ``name`` stands for a notebook's cell, as IPython and its kernel name them."""
    return name.startswith("<ipython-input-") or "ipykernel_" in name


def _texts(function: FunctionType) -> list[str]:
    """What the file holds now, and what it held when it was last read. Raises `NoSource`."""
    entry = linecache.cache.get(function.__code__.co_filename, ())
    before = ["".join(entry[2])] if len(entry) == 4 else []
    try:
        now, _ = inspect.findsource(function)
    except (OSError, TypeError, IndexError):
        if not before:
            raise NoSource from None
        return before
    return ["".join(now), *before]


def _match(text: str, function: FunctionType) -> Found | None:
    """The definition of ``function`` in ``text``; None where ``text`` is not what it was loaded from."""
    code = function.__code__
    try:
        file = parse(code.co_filename, text)
    except SyntaxError:
        return None
    definition, around = file.functions.get(code.co_firstlineno, (None, ()))
    if definition is None or definition.name != code.co_name:
        return None
    if _is_comparable(function) and not _holds(file, function):
        return None
    return Found(function, file, definition, around)


def _holds(file: File, function: FunctionType) -> bool:
    code = function.__code__
    flags = code.co_flags & __future__.annotations.compiler_flag
    return code in _compiled(file.text, file.name, flags).get((code.co_firstlineno, code.co_name), [])


def _likeness(found: Found, function: FunctionType) -> int:
    """How much of the file is as it was loaded: its functions and its constants."""
    names, file = function.__globals__, found.file
    functions = sum(isinstance(value, FunctionType) and is_from(value, file) for value in names.values())
    block = file.block(file.tree, 0)
    constants = {name: constant(units[0].node) for name, units in block.binding.items() if len(units) == 1}
    return functions + sum(name in names and value == (names[name],) for name, value in constants.items())


def _is_comparable(function: FunctionType) -> bool:
    """True if the file's text compiles to what was loaded.

    Not so for a cell, whose text never changes, and for a file that a loader of others rewrites (pytest, typeguard,
    beartype).
    """
    loader = function.__globals__.get("__loader__")
    kind = loader if isinstance(loader, type) else type(loader)
    plain = loader is None or kind.__module__ in ("_frozen_importlib", "_frozen_importlib_external")
    return plain and Path(function.__code__.co_filename).is_file()


@lru_cache(maxsize=8)
def _compiled(text: str, filename: str, flags: int) -> dict[tuple[int, str], list[CodeType]]:
    found: dict[tuple[int, str], list[CodeType]] = {}
    with quietly():
        todo = [compile(text, filename, "exec", flags, dont_inherit=True)]
    while todo:
        code = todo.pop()
        found.setdefault((code.co_firstlineno, code.co_name), []).append(code)
        todo += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return found
