"""The edit of one DAG file: decorators, operators and their imports; all else stays byte for byte."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import libcst as cst

from podenv.migrate import imports, layout
from podenv.migrate.decide import Change
from podenv.migrate.literals import Source

_IMPORT = f"from podenv import {imports.OPERATOR}"
_LINE_CHARACTERS = 88  # a call that was on several lines only for its length comes back to one up to here


def edit(source: Source, changes: Sequence[tuple[Change, str]]) -> cst.Module:
    """The module with each change made; beside it stands the name of its environment."""
    calls = {change.use.call: (change, name) for change, name in changes if change.use.call}
    bare = {change.use.target: (change, name) for change, name in changes if not change.use.call}
    classes = {change.use.operator for change, _ in changes if not change.use.decorates}
    unused = imports.unused(source, classes)
    return source.module.visit(_Editor(source, calls, bare, classes, unused))


class _Editor(cst.CSTTransformer):
    def __init__(
        self,
        source: Source,
        calls: Mapping[cst.Call, tuple[Change, str]],
        bare: Mapping[cst.BaseExpression, tuple[Change, str]],
        classes: set[cst.BaseExpression],
        unused: set[str],
    ) -> None:
        super().__init__()
        self._source = source
        self._calls = calls
        self._bare = bare
        self._classes = classes
        self._unused = unused
        self._places = imports.places(source, classes) if classes and not imports.has_operator(source.module) else set()

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.BaseExpression:
        if original_node not in self._calls:
            return updated_node
        change, name = self._calls[original_node]
        if not change.use.decorates:
            updated_node = updated_node.with_changes(func=self._renamed(change, updated_node.func))
        else:
            updated_node = updated_node.with_changes(func=_decorator(updated_node.func, change))
        call = _with_arguments(updated_node, change, name)
        return self._on_one_line(original_node, call)

    def leave_Decorator(self, original_node: cst.Decorator, updated_node: cst.Decorator) -> cst.Decorator:
        if original_node.decorator not in self._bare:
            return updated_node
        change, name = self._bare[original_node.decorator]
        call = cst.Call(_decorator(updated_node.decorator, change), [cst.Arg(_string(name))])
        return updated_node.with_changes(decorator=call)

    def leave_SimpleStatementLine(
        self, original_node: cst.SimpleStatementLine, updated_node: cst.SimpleStatementLine
    ) -> Any:
        gone = len(updated_node.body) < len(original_node.body)
        if gone and updated_node.body:
            last = updated_node.body[-1].with_changes(semicolon=original_node.body[-1].semicolon)
            updated_node = updated_node.with_changes(body=[*updated_node.body[:-1], last])
        return self._followed(original_node, updated_node, gone=not updated_node.body)

    def leave_If(self, original_node: cst.If, updated_node: cst.If) -> Any:
        return self._followed(original_node, updated_node)

    def leave_Try(self, original_node: cst.Try, updated_node: cst.Try) -> Any:
        return self._followed(original_node, updated_node)

    def leave_ImportFrom(
        self, original_node: cst.ImportFrom, updated_node: cst.ImportFrom
    ) -> cst.ImportFrom | cst.RemovalSentinel:
        names = updated_node.names
        if isinstance(names, cst.ImportStar) or not self._unused:
            return updated_node
        if updated_node.module is None or not self._source.code(updated_node.module).startswith("airflow"):
            return updated_node
        kept = [one for one in names if not (imports.is_operator(one) and imports.bound(one) in self._unused)]
        if len(kept) == len(names):
            return updated_node
        return updated_node.with_changes(names=layout.kept(names, kept)) if kept else cst.RemoveFromParent()

    def _renamed(self, change: Change, function: cst.BaseExpression) -> cst.BaseExpression:
        if change.use.operator is change.use.target:
            return cst.Name(imports.OPERATOR)
        return cst.ensure_type(function, cst.Attribute).with_changes(value=cst.Name(imports.OPERATOR))

    def _followed(self, original: cst.CSTNode, updated: Any, *, gone: bool = False) -> Any:
        """The statement with the import of podenv's operator behind it, or in its place."""
        if original not in self._places:
            if not gone:
                return updated
            above = cst.ensure_type(updated, cst.SimpleStatementLine).leading_lines
            return cst.RemoveFromParent() if not _is_alone(self._source, original) else _pass(above)
        line = cst.ensure_type(cst.parse_statement(_IMPORT), cst.SimpleStatementLine)
        if gone:
            return line.with_changes(
                leading_lines=updated.leading_lines, trailing_whitespace=updated.trailing_whitespace
            )
        return cst.FlattenSentinel([updated, line])

    def _on_one_line(self, original: cst.Call, call: cst.Call) -> cst.Call:
        """``call`` on one line where it was broken only for its length, which it lost."""
        code = self._source.code(call)
        exploded = len(call.args) > 1 and any(isinstance(one.comma, cst.Comma) for one in original.args[-1:])
        if "\n" not in code or "#" in code or exploded:
            return call
        flat = layout.on_one_line(call)
        text = self._source.code(flat)
        return flat if "\n" not in text and self._source.column(original) + len(text) <= _LINE_CHARACTERS else call


def _with_arguments(call: cst.Call, change: Change, name: str) -> cst.Call:
    """The call with the environment's name, and without what moved into the environment."""
    call = layout.without(call, change.dropped)
    if change.use.decorates:
        call = layout.inserted(call, 0, cst.Arg(_string(name)))
    else:
        at = 1 if call.args and _word(call.args[0]) == "task_id" else 0
        call = layout.inserted(call, at, _named("env", f'"{name}"'))
    for word, value in change.added.items():
        call = layout.inserted(call, len(call.args), _named(word, value))
    return call


def _decorator(function: cst.BaseExpression, change: Change) -> cst.Attribute:
    """``task.virtualenv`` -> ``task.env``, whatever ``task`` is called."""
    return cst.ensure_type(function, cst.Attribute).with_changes(attr=cst.Name(change.use.becomes))


def _string(text: str) -> cst.SimpleString:
    return cst.SimpleString(f'"{text}"')


def _named(word: str, code: str) -> cst.Arg:
    tight = cst.AssignEqual(whitespace_before=cst.SimpleWhitespace(""), whitespace_after=cst.SimpleWhitespace(""))
    return cst.Arg(cst.parse_expression(code), keyword=cst.Name(word), equal=tight)


def _word(argument: cst.Arg) -> str:
    return argument.keyword.value if argument.keyword else ""


def _is_alone(source: Source, statement: cst.CSTNode) -> bool:
    block = source.parent(statement)
    return isinstance(block, cst.IndentedBlock) and len(block.body) == 1


def _pass(leading_lines: Sequence[cst.EmptyLine]) -> cst.SimpleStatementLine:
    return cst.SimpleStatementLine([cst.Pass()], leading_lines=leading_lines)
