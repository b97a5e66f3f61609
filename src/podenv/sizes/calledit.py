"""``memory=`` and ``cpu=`` in the calls that make tasks; all else in the DAG file stays byte for byte."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import libcst as cst

from podenv.migrate import layout
from podenv.migrate.literals import Source

Place = tuple[int, int]  # line and column, from 1 and in characters, of what names the environment
_LOOPS = (cst.For, cst.While, cst.ListComp, cst.SetComp, cst.DictComp, cst.GeneratorExp)


class Calls:
    """The calls of a DAG file, found by the place of the name of their environment."""

    def __init__(self, source: Source) -> None:
        self._source = source
        finder = _Finder(source)
        source.module.visit(finder)
        self._calls = finder.calls

    def find(self, place: Place) -> cst.Call | None:
        """The call that has that argument; None where it stands somewhere else, as in ``default_args``."""
        return self._calls.get(place)

    def is_repeated(self, call: cst.Call) -> bool:
        """True if the call stands in a loop, and so makes several tasks."""
        node: cst.CSTNode | None = call
        while node is not None:
            if isinstance(node, _LOOPS):
                return True
            node = self._source.parent(node)
        return False

    def given(self, call: cst.Call, word: str) -> cst.BaseExpression | None:
        """What the call passes as ``word``; None where it does not."""
        return next((one.value for one in call.args if one.keyword and one.keyword.value == word), None)

    def spreads(self, call: cst.Call) -> bool:
        """True if the call passes arguments that its text does not show (``**common``)."""
        return any(one.star == "**" for one in call.args)


def edited(source: Source, sizes: Mapping[cst.Call, Mapping[str, str]]) -> bytes:
    """The file with these arguments, words to quantities, of these calls."""
    return source.module.visit(_Editor(sizes)).bytes


class _Finder(cst.CSTVisitor):
    def __init__(self, source: Source) -> None:
        super().__init__()
        self.calls: dict[Place, cst.Call] = {}
        self._source = source

    def visit_Call(self, node: cst.Call) -> None:  # noqa: N802
        for argument in node.args:
            self.calls.setdefault((self._source.line(argument.value), self._source.column(argument.value) + 1), node)


class _Editor(cst.CSTTransformer):
    def __init__(self, sizes: Mapping[cst.Call, Mapping[str, str]]) -> None:
        super().__init__()
        self._sizes = sizes

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.Call:  # noqa: N802
        call = updated_node
        for word, value in self._sizes.get(original_node, {}).items():
            call = _with(call, word, value)
        return call


def _with(call: cst.Call, word: str, value: str) -> cst.Call:
    for number, argument in enumerate(call.args):
        if argument.keyword is not None and argument.keyword.value == word:
            changed = argument.with_changes(value=_text(value, argument.value))
            return call.with_changes(args=[*call.args[:number], changed, *call.args[number + 1 :]])
    tight = cst.AssignEqual(whitespace_before=cst.SimpleWhitespace(""), whitespace_after=cst.SimpleWhitespace(""))
    own = cst.Arg(_text(value, None), keyword=cst.Name(word), equal=tight)
    return layout.inserted(call, len(call.args), own)


def _text(value: str, before: Any) -> cst.SimpleString:
    """``value`` in the quotes that the old text had."""
    quote = before.quote if isinstance(before, cst.SimpleString) else '"'
    return cst.SimpleString(f"{quote}{value}{quote}")
