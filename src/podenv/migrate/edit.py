"""The edit of one DAG file: decorators, operators and their imports; all else stays byte for byte."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, TypeVar

import libcst as cst

from podenv.migrate.arguments import OPERATORS
from podenv.migrate.decide import Change
from podenv.migrate.literals import Source

_OPERATOR = "EnvPodOperator"
_IMPORT = f"from podenv import {_OPERATOR}"
_LINE = 88  # characters; a call that was on several lines only for its length comes back to one up to here
_Item = TypeVar("_Item", cst.Arg, cst.ImportAlias)


def edit(source: Source, changes: Sequence[tuple[Change, str]]) -> cst.Module:
    """The module with each change made; beside it stands the name of its environment."""
    calls = {change.use.call: (change, name) for change, name in changes if change.use.call}
    bare = {change.use.target: name for change, name in changes if not change.use.call}
    classes = {change.use.operator for change, _ in changes if not change.use.decorates}
    unused = _unused(source, classes)
    return source.module.visit(_Editor(source, calls, bare, classes, unused))


class _Editor(cst.CSTTransformer):
    def __init__(
        self,
        source: Source,
        calls: Mapping[cst.Call, tuple[Change, str]],
        bare: Mapping[cst.BaseExpression, str],
        classes: set[cst.BaseExpression],
        unused: set[str],
    ) -> None:
        super().__init__()
        self._source = source
        self._calls = calls
        self._bare = bare
        self._classes = classes
        self._unused = unused
        self._places = _places(source, classes) if classes and not _is_imported(source.module) else set()

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.BaseExpression:
        if original_node not in self._calls:
            return updated_node
        change, name = self._calls[original_node]
        if not change.use.decorates:
            updated_node = updated_node.with_changes(func=self._renamed(change, updated_node.func))
        else:
            updated_node = updated_node.with_changes(func=_env(updated_node.func))
        call = _with_arguments(updated_node, change, name)
        return self._on_one_line(original_node, call)

    def leave_Decorator(self, original_node: cst.Decorator, updated_node: cst.Decorator) -> cst.Decorator:
        name = self._bare.get(original_node.decorator)
        if name is None:
            return updated_node
        call = cst.Call(_env(updated_node.decorator), [cst.Arg(_string(name))])
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
        kept = [one for one in names if not (_class(one) and _bound(one) in self._unused)]
        if len(kept) == len(names):
            return updated_node
        return updated_node.with_changes(names=_sealed(names, kept)) if kept else cst.RemoveFromParent()

    def _renamed(self, change: Change, function: cst.BaseExpression) -> cst.BaseExpression:
        if change.use.operator is change.use.target:
            return cst.Name(_OPERATOR)
        return cst.ensure_type(function, cst.Attribute).with_changes(value=cst.Name(_OPERATOR))

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
        if "\n" not in self._source.code(call) or (_trailing_comma(original.args) and len(call.args) > 1):
            return call
        if any(
            isinstance(one.value, cst.Lambda | cst.Dict | cst.List) and "\n" in self._source.code(one.value)
            for one in call.args
        ):
            return call
        if "#" in self._source.code(call):
            return call
        args = [
            one.with_changes(
                comma=cst.MaybeSentinel.DEFAULT
                if one is call.args[-1]
                else cst.Comma(whitespace_after=cst.SimpleWhitespace(" ")),
                whitespace_after_arg=cst.SimpleWhitespace(""),
            )
            for one in call.args
        ]
        flat = call.with_changes(args=args, whitespace_before_args=cst.SimpleWhitespace(""))
        text = self._source.code(flat)
        return flat if "\n" not in text and self._source.column(original) + len(text) <= _LINE else call


def _with_arguments(call: cst.Call, change: Change, name: str) -> cst.Call:
    """The call with the environment's name, and without what moved into the environment."""
    kept = [one for one in call.args if one.keyword is None or one.keyword.value not in change.dropped]
    args = _sealed(call.args, kept) if kept else []
    own = cst.Arg(_string(name)) if change.use.decorates else _named("env", f'"{name}"')
    at = 0 if change.use.decorates or not args or _word(args[0]) != "task_id" else 1
    args = _inserted(call, args, at, own)
    for word, value in change.added.items():
        args = _inserted(call, args, len(args), _named(word, value))
    if not kept:
        return call.with_changes(args=args, whitespace_before_args=cst.SimpleWhitespace(""))
    return call.with_changes(args=args)


def _inserted(call: cst.Call, args: Sequence[cst.Arg], at: int, own: cst.Arg) -> list[cst.Arg]:
    """``args`` with ``own`` at a place, on a line of its own where the others have one."""
    if not args:
        return [own]
    before = call.whitespace_before_args
    broken = isinstance(before, cst.ParenthesizedWhitespace) and any(_breaks(one.comma) for one in args[:-1] or args)
    comma = cst.Comma(whitespace_after=_line_like(before) if broken else cst.SimpleWhitespace(" "))
    if at < len(args):
        return [*args[:at], own.with_changes(comma=comma), *args[at:]]
    last = args[-1]
    own = own.with_changes(comma=last.comma, whitespace_after_arg=last.whitespace_after_arg)
    return [*args[:-1], last.with_changes(comma=comma, whitespace_after_arg=cst.SimpleWhitespace("")), own]


def _line_like(space: cst.BaseParenthesizableWhitespace) -> cst.BaseParenthesizableWhitespace:
    """A new line with the indentation of ``space``, without its comments."""
    if not isinstance(space, cst.ParenthesizedWhitespace):
        return space
    return space.with_changes(first_line=cst.TrailingWhitespace(), empty_lines=[])


def _sealed(items: Sequence[_Item], kept: Sequence[_Item]) -> list[_Item]:
    """``kept`` of ``items``, the last one ending as the old last one did; comments on lines of their own stay."""
    sealed = list(kept)
    for number, item in enumerate(items[:-1]):
        if item in kept or not sealed:
            continue
        before = next((one for one in reversed(items[:number]) if one in kept), None)
        if before is not None and (lines := _own_comments(item)):
            place = kept.index(before)
            sealed[place] = _with_lines(sealed[place], lines)
    if sealed and kept[-1] is not items[-1]:
        ending: dict[str, Any] = {"comma": items[-1].comma}
        if isinstance(items[-1], cst.Arg):
            ending["whitespace_after_arg"] = items[-1].whitespace_after_arg
        sealed[-1] = sealed[-1].with_changes(**ending)
    return sealed


def _own_comments(item: cst.Arg | cst.ImportAlias) -> list[cst.EmptyLine]:
    space = item.comma.whitespace_after if isinstance(item.comma, cst.Comma) else None
    lines = space.empty_lines if isinstance(space, cst.ParenthesizedWhitespace) else []
    return [line for line in lines if line.comment]


def _with_lines(item: _Item, lines: Sequence[cst.EmptyLine]) -> _Item:
    if not _breaks(item.comma):
        return item
    return item.with_changes(comma=_longer(cst.ensure_type(item.comma, cst.Comma), lines))


def _longer(comma: cst.Comma, lines: Sequence[cst.EmptyLine]) -> cst.Comma:
    space = cst.ensure_type(comma.whitespace_after, cst.ParenthesizedWhitespace)
    return comma.with_changes(whitespace_after=space.with_changes(empty_lines=[*space.empty_lines, *lines]))


def _breaks(comma: object) -> bool:
    return isinstance(comma, cst.Comma) and isinstance(comma.whitespace_after, cst.ParenthesizedWhitespace)


def _trailing_comma(args: Sequence[cst.Arg]) -> bool:
    return bool(args) and isinstance(args[-1].comma, cst.Comma)


def _env(function: cst.BaseExpression) -> cst.Attribute:
    """``task.virtualenv`` -> ``task.env``, whatever ``task`` is called."""
    return cst.ensure_type(function, cst.Attribute).with_changes(attr=cst.Name("env"))


def _string(text: str) -> cst.SimpleString:
    return cst.SimpleString(f'"{text}"')


def _named(word: str, code: str) -> cst.Arg:
    tight = cst.AssignEqual(whitespace_before=cst.SimpleWhitespace(""), whitespace_after=cst.SimpleWhitespace(""))
    return cst.Arg(cst.parse_expression(code), keyword=cst.Name(word), equal=tight)


def _word(argument: cst.Arg) -> str:
    return argument.keyword.value if argument.keyword else ""


def _class(alias: cst.ImportAlias) -> bool:
    return isinstance(alias.name, cst.Name) and alias.name.value in OPERATORS


def _bound(alias: cst.ImportAlias) -> str:
    """The name that an import gives to what it imports."""
    return alias.evaluated_alias or alias.evaluated_name


def _unused(source: Source, classes: set[cst.BaseExpression]) -> set[str]:
    """Names of operators that the file no longer uses once ``classes`` are renamed."""
    counter = _Counter(classes)
    source.module.visit(counter)
    return counter.renamed - counter.staying


class _Counter(cst.CSTVisitor):
    def __init__(self, classes: set[cst.BaseExpression]) -> None:
        super().__init__()
        self._classes = classes
        self.renamed: set[str] = set()
        self.staying: set[str] = set()

    def visit_Import(self, node: cst.Import) -> bool:
        return False

    def visit_ImportFrom(self, node: cst.ImportFrom) -> bool:
        return False

    def visit_Name(self, node: cst.Name) -> None:
        (self.renamed if node in self._classes else self.staying).add(node.value)

    def visit_SimpleString(self, node: cst.SimpleString) -> None:
        if re.fullmatch(r"\w+", text := str(node.evaluated_value)):  # __all__, or an annotation in quotes
            self.staying.add(text)


def _is_imported(module: cst.Module) -> bool:
    return any(
        isinstance(small, cst.ImportFrom)
        and isinstance(small.module, cst.Name)
        and small.module.value == "podenv"
        and not isinstance(small.names, cst.ImportStar)
        and any(_bound(alias) == _OPERATOR for alias in small.names)
        for line in module.body
        if isinstance(line, cst.SimpleStatementLine)
        for small in line.body
    )


def _places(source: Source, classes: set[cst.BaseExpression]) -> set[cst.CSTNode]:
    """The statements behind which podenv's operator is imported: one in each block that imports a renamed class."""
    finder = _ImportFinder(source, {_root(one) for one in classes})
    source.module.visit(finder)
    return finder.places


def _root(node: cst.BaseExpression) -> str:
    while isinstance(node, cst.Attribute):
        node = node.value
    return node.value if isinstance(node, cst.Name) else ""


class _ImportFinder(cst.CSTVisitor):
    """Finds the imports of ``names``; of several in one block the last, of one below `try` or `if` that statement."""

    def __init__(self, source: Source, names: set[str]) -> None:
        super().__init__()
        self._source = source
        self._names = names
        self._by_block: dict[cst.CSTNode | None, cst.CSTNode] = {}

    @property
    def places(self) -> set[cst.CSTNode]:
        return set(self._by_block.values())

    def visit_Import(self, node: cst.Import) -> None:
        self._look(node, node.names)

    def visit_ImportFrom(self, node: cst.ImportFrom) -> None:
        self._look(node, () if isinstance(node.names, cst.ImportStar) else node.names)

    def _look(self, node: cst.CSTNode, aliases: Sequence[cst.ImportAlias]) -> None:
        if not any(_bound(alias).partition(".")[0] in self._names for alias in aliases):
            return
        statement: cst.CSTNode = node
        above = self._source.parent(statement)
        while above is not None and not _is_body(above, self._source.parent(above)):
            statement, above = above, self._source.parent(above)
        self._by_block[above] = self._last_import(statement, above)

    def _last_import(self, statement: cst.CSTNode, block: cst.CSTNode | None) -> cst.CSTNode:
        """The last of the imports that stand together with ``statement``."""
        body: list[cst.CSTNode] = list(getattr(block, "body", ()))
        if statement not in body or not _imports(statement):
            return statement
        rest = body[body.index(statement) :]
        return list(takewhile(_imports, rest))[-1]


def _imports(statement: cst.CSTNode) -> bool:
    return isinstance(statement, cst.SimpleStatementLine) and all(
        isinstance(small, cst.Import | cst.ImportFrom) for small in statement.body
    )


def _is_body(node: cst.CSTNode, above: cst.CSTNode | None) -> bool:
    return isinstance(node, cst.Module) or isinstance(above, cst.FunctionDef | cst.ClassDef)


def _is_alone(source: Source, statement: cst.CSTNode) -> bool:
    block = source.parent(statement)
    return isinstance(block, cst.IndentedBlock) and len(block.body) == 1


def _pass(leading_lines: Sequence[cst.EmptyLine]) -> cst.SimpleStatementLine:
    return cst.SimpleStatementLine([cst.Pass()], leading_lines=leading_lines)
