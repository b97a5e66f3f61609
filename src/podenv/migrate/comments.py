"""What a DAG file says in comments of its requirements; it moves to requirements.in with them."""

from __future__ import annotations

import libcst as cst

from podenv.migrate import layout

_Space = cst.BaseParenthesizableWhitespace


def above(call: cst.Call, name: str) -> list[str]:
    """The comments on the lines above the argument ``name``."""
    space: _Space = call.whitespace_before_args
    for argument in call.args:
        if argument.keyword is not None and argument.keyword.value == name:
            return layout.comments(space)[1]
        space = _after(argument, cst.SimpleWhitespace(""))
    return []


def of_list(node: cst.BaseExpression | None) -> dict[str, str]:
    """Each text of a list -> the comments above and behind it, on one line."""
    if not isinstance(node, cst.List | cst.Set):
        return {}
    opening, closing = (node.lbracket, node.rbracket) if isinstance(node, cst.List) else (node.lbrace, node.rbrace)
    found = {}
    space: _Space = opening.whitespace_after
    for number, element in enumerate(node.elements):
        lines = layout.comments(space)[1]
        is_last = number == len(node.elements) - 1
        space = closing.whitespace_before if is_last else _after(element, cst.SimpleWhitespace(""))
        text = "; ".join(filter(None, [*lines, layout.comments(space)[0]]))
        if text and isinstance(element.value, cst.SimpleString):
            found[str(element.value.evaluated_value)] = text
    return found


def _after(item: cst.Arg | cst.BaseElement, otherwise: _Space) -> _Space:
    return item.comma.whitespace_after if isinstance(item.comma, cst.Comma) else otherwise
