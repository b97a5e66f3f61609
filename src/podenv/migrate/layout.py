"""Lists in brackets that lose and gain items, in the form that a person gave them.

A comment at the end of a line belongs to the item before it, one on a line of its own to the item below. They stay, go
and move with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeVar

import libcst as cst

_Item = TypeVar("_Item", cst.Arg, cst.ImportAlias)
_Space = cst.BaseParenthesizableWhitespace
_ONE = cst.SimpleWhitespace(" ")


def kept(items: Sequence[_Item], keep: Sequence[_Item]) -> list[_Item]:
    """Those of ``items`` that are in ``keep``; the last one ends as the old last one did."""
    numbers = [number for number, item in enumerate(items) if item in keep]
    found = []
    for number, following in pairwise(numbers):
        item = items[number]
        if following > number + 1:
            item = _with_comma(item, _joined(_after(item), _after(items[following - 1])))
        found.append(item)
    if numbers:
        found.append(_ending_like(items[numbers[-1]], items[-1]))
    return found


def without(call: cst.Call, names: frozenset[str]) -> cst.Call:
    """The call without its arguments ``names``."""
    keep = [one for one in call.args if one.keyword is None or one.keyword.value not in names]
    if not keep:
        return call.with_changes(args=[], whitespace_before_args=cst.SimpleWhitespace(""))
    first = call.args.index(keep[0])
    before = call.whitespace_before_args
    if first and isinstance(before, cst.ParenthesizedWhitespace):
        above = _lines(_after(call.args[first - 1]))
        before = before.with_changes(empty_lines=above)
    return call.with_changes(args=kept(call.args, keep), whitespace_before_args=before)


def inserted(call: cst.Call, at: int, own: cst.Arg) -> cst.Call:
    """The call with ``own`` at a place, on a line of its own where the others have one."""
    args = list(call.args)
    if not args:
        return call.with_changes(args=[own])
    line = _line_of(call)
    if at == 0:
        comma = cst.Comma(whitespace_after=_with_lines(line, _lines(call.whitespace_before_args)))
        before = _with_lines(call.whitespace_before_args, [])
        return call.with_changes(args=[own.with_changes(comma=comma), *args], whitespace_before_args=before)
    above = args[at - 1]
    if at < len(args):
        after = _after(above)
        args[at - 1] = _with_comma(above, _with_lines(after, []))
        own = own.with_changes(comma=cst.Comma(whitespace_after=_with_lines(_plain(after), _lines(after))))
    else:
        ending = above.comma if isinstance(above.comma, cst.Comma) else None
        space = ending.whitespace_after if ending else above.whitespace_after_arg
        joined = cst.Comma(whitespace_after=_with_first_line(line, space))
        args[at - 1] = above.with_changes(comma=joined, whitespace_after_arg=cst.SimpleWhitespace(""))
        own = _ending_like(own, above)
        own = (
            _with_comma(own, _plain_end(space)) if ending else own.with_changes(whitespace_after_arg=_plain_end(space))
        )
    return call.with_changes(args=[*args[:at], own, *args[at:]])


def on_one_line(call: cst.Call) -> cst.Call:
    """The call with all its arguments behind each other."""
    last = len(call.args) - 1
    args = [
        one.with_changes(
            comma=cst.MaybeSentinel.DEFAULT if number == last else cst.Comma(whitespace_after=_ONE),
            whitespace_after_arg=cst.SimpleWhitespace(""),
        )
        for number, one in enumerate(call.args)
    ]
    return call.with_changes(args=args, whitespace_before_args=cst.SimpleWhitespace(""))


def comments(space: _Space) -> tuple[str, list[str]]:
    """The comment at the end of the line in ``space``, and those on lines of their own below it."""
    if not isinstance(space, cst.ParenthesizedWhitespace):
        return "", []
    behind = space.first_line.comment
    above = [line.comment.value for line in space.empty_lines if line.comment]
    return behind.value.lstrip("# ") if behind else "", [text.lstrip("# ") for text in above]


def _after(item: cst.Arg | cst.ImportAlias) -> _Space:
    """What stands behind the item's comma."""
    return item.comma.whitespace_after if isinstance(item.comma, cst.Comma) else _ONE


def _joined(own: _Space, following: _Space) -> _Space:
    """What stands between two items when those between them are gone: the end of one, the lines above the other."""
    base = following if isinstance(following, cst.ParenthesizedWhitespace) else own
    if not isinstance(base, cst.ParenthesizedWhitespace):
        return base
    return _with_lines(_with_first_line(base, own), _lines(following))


def _lines(space: _Space) -> Sequence[cst.EmptyLine]:
    return space.empty_lines if isinstance(space, cst.ParenthesizedWhitespace) else []


def _with_lines(space: _Space, lines: Sequence[cst.EmptyLine]) -> _Space:
    return space.with_changes(empty_lines=lines) if isinstance(space, cst.ParenthesizedWhitespace) else space


def _with_first_line(space: _Space, of: _Space) -> _Space:
    if not isinstance(space, cst.ParenthesizedWhitespace):
        return space
    first = of.first_line if isinstance(of, cst.ParenthesizedWhitespace) else cst.TrailingWhitespace()
    return space.with_changes(first_line=first)


def _plain(space: _Space) -> _Space:
    """A new line with the indentation of ``space``, without its comments."""
    return _with_lines(_with_first_line(space, _ONE), [])


def _plain_end(space: _Space) -> _Space:
    """``space`` before the closing bracket, without the comment that belongs to the item before."""
    return _with_first_line(space, _ONE)


def _line_of(call: cst.Call) -> _Space:
    """What separates the arguments of ``call``: a new line where they have lines of their own."""
    before = call.whitespace_before_args
    spaces = [_after(one) for one in call.args[:-1]] or [before]
    broken = any(isinstance(space, cst.ParenthesizedWhitespace) for space in spaces)
    return _plain(before) if broken and isinstance(before, cst.ParenthesizedWhitespace) else _ONE


def _with_comma(item: _Item, space: _Space) -> _Item:
    comma = item.comma if isinstance(item.comma, cst.Comma) else cst.Comma()
    return item.with_changes(comma=comma.with_changes(whitespace_after=space))


def _ending_like(item: _Item, last: _Item) -> _Item:
    """``item`` in the last place, where ``last`` stood; its own comment stays with it."""
    if item is last:
        return item
    ending: dict[str, Any] = {"comma": last.comma}
    if isinstance(last, cst.Arg):
        ending["whitespace_after_arg"] = last.whitespace_after_arg
    own = _after(item)
    moved = item.with_changes(**ending)
    if isinstance(last.comma, cst.Comma):
        return _with_comma(moved, _with_first_line(last.comma.whitespace_after, own))
    if isinstance(moved, cst.Arg):
        return moved.with_changes(whitespace_after_arg=_with_first_line(moved.whitespace_after_arg, own))
    return moved
