"""What an expression of a DAG file stands for, as far as the file itself says it; nothing is executed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import libcst as cst
from libcst.metadata import (
    Assignment,
    MetadataWrapper,
    ParentNodeProvider,
    PositionProvider,
    QualifiedNameProvider,
    Scope,
    ScopeProvider,
)

_CONSTANTS = {"True": True, "False": False, "None": None}
_CHANGES = {"append", "clear", "extend", "insert", "pop", "remove", "update", "setdefault", "sort"}
_DEEPEST = 20  # names that stand for names; a circle ends here


class Computed(Exception):
    """The value is known only when the DAG file runs."""


class Source:
    """A parsed DAG file, and what its names mean."""

    def __init__(self, module: cst.Module) -> None:
        wrapper = MetadataWrapper(module)
        self.module = wrapper.module
        self._positions = wrapper.resolve(PositionProvider)
        self._names: Mapping[cst.CSTNode, Any] = wrapper.resolve(QualifiedNameProvider)
        self._scopes = wrapper.resolve(ScopeProvider)
        self._parents = wrapper.resolve(ParentNodeProvider)

    def line(self, node: cst.CSTNode) -> int:
        """Where ``node`` begins; for a function the line of its ``def``."""
        return int(self._positions[node.name if isinstance(node, cst.FunctionDef) else node].start.line)

    def column(self, node: cst.CSTNode) -> int:
        """The column at which ``node`` begins."""
        return int(self._positions[node].start.column)

    def code(self, node: cst.CSTNode) -> str:
        """``node`` as it stands in the file."""
        return self.module.code_for_node(node)

    def parent(self, node: cst.CSTNode) -> cst.CSTNode | None:
        """What ``node`` is a part of."""
        return self._parents.get(node)

    def names(self, node: cst.CSTNode) -> list[str]:
        """The full names that ``node`` can stand for, like ``airflow.sdk.task.virtualenv``."""
        found = self._names.get(node, ())
        return sorted(name.name for name in (found() if callable(found) else found))

    def resolved(self, node: cst.BaseExpression) -> cst.BaseExpression:
        """The expression that a name was set to, where it is set once; else ``node`` itself."""
        for _ in range(_DEEPEST):
            if not isinstance(node, cst.Name) or (value := self._value_of(node)) is None:
                return node
            node = value
        return node

    def function(self, node: cst.BaseExpression) -> cst.FunctionDef | None:
        """The function of this file that a name stands for."""
        found = [one.node for one in self._assignments(node) if isinstance(one, Assignment)]
        return found[-1] if found and isinstance(found[-1], cst.FunctionDef) else None

    def value(self, node: cst.BaseExpression) -> Any:
        """What ``node`` evaluates to: texts, numbers, lists and mappings. Raises `Computed`."""
        node = self.resolved(node)
        reader = _READERS.get(type(node))
        if reader is None:
            raise Computed
        try:
            return reader(self, node)
        except RecursionError:  # a name that stands for itself
            raise Computed from None

    def _assignments(self, node: cst.BaseExpression) -> list[Any]:
        scope = self._scopes.get(node)
        if not isinstance(node, cst.Name) or not isinstance(scope, Scope):
            return []
        return sorted(scope[node.value], key=lambda one: self.line(one.node) if isinstance(one, Assignment) else 0)

    def _value_of(self, name: cst.Name) -> cst.BaseExpression | None:
        found = self._assignments(name)
        if len(found) != 1 or not isinstance(found[0], Assignment):
            return None
        if any(self._is_changed(access.node) for access in found[0].references):
            return None
        statement = self.parent(found[0].node)
        if isinstance(statement, cst.AssignTarget):
            statement = self.parent(statement)
        return statement.value if isinstance(statement, cst.Assign | cst.AnnAssign) else None

    def _is_changed(self, node: cst.CSTNode) -> bool:
        above = self.parent(node)
        if isinstance(above, cst.Attribute):
            return above.value is node and above.attr.value in _CHANGES
        if isinstance(above, cst.Subscript):
            return isinstance(self.parent(above), cst.AssignTarget | cst.AugAssign | cst.Del)
        return False


def _text(source: Source, node: Any) -> str:
    value = node.evaluated_value
    if not isinstance(value, str):
        raise Computed
    return value


def _joined(source: Source, node: cst.ConcatenatedString) -> str:
    return str(source.value(node.left)) + str(source.value(node.right))


def _formatted(source: Source, node: cst.FormattedString) -> str:
    parts = []
    for part in node.parts:
        if isinstance(part, cst.FormattedStringText) and "\\" not in part.value:
            parts.append(part.value.replace("{{", "{").replace("}}", "}"))
        elif isinstance(part, cst.FormattedStringExpression) and not part.format_spec and not part.conversion:
            value = source.value(part.expression)
            if not isinstance(value, str | int):
                raise Computed
            parts.append(str(value))
        else:
            raise Computed
    return "".join(parts)


def _constant(source: Source, node: cst.Name) -> Any:
    if node.value not in _CONSTANTS:
        raise Computed
    return _CONSTANTS[node.value]


def _list(source: Source, node: Any) -> list[Any]:
    values: list[Any] = []
    for element in node.elements:
        value = source.value(element.value)
        if not isinstance(element, cst.StarredElement):
            values.append(value)
        elif isinstance(value, list):
            values += value
        else:
            raise Computed
    return values


def _mapping(source: Source, node: cst.Dict) -> dict[Any, Any]:
    values: dict[Any, Any] = {}
    for element in node.elements:
        if isinstance(element, cst.DictElement):
            key = source.value(element.key)
            if not isinstance(key, str | int):
                raise Computed
            values[key] = source.value(element.value)
        else:
            values |= source.value(element.value)
    return values


def _sum(source: Source, node: cst.BinaryOperation) -> Any:
    left, right = source.value(node.left), source.value(node.right)
    if not isinstance(node.operator, cst.Add) or type(left) is not type(right) or not isinstance(left, str | list):
        raise Computed
    return left + right


def _call(source: Source, node: cst.Call) -> Any:
    """``"a b".split()`` and its like, and ``list(...)``."""
    match node.func, [argument.value for argument in node.args]:
        case cst.Attribute(value=text, attr=cst.Name(value="split" | "splitlines" | "strip" as method)), []:
            value = source.value(text)
            if isinstance(value, str):
                return getattr(value, method)()
        case cst.Name(value="list" | "tuple" | "set"), [items]:
            value = source.value(items)
            if isinstance(value, list):
                return value
    raise Computed


_READERS: dict[type[cst.CSTNode], Callable[[Source, Any], Any]] = {
    cst.SimpleString: _text,
    cst.ConcatenatedString: _joined,
    cst.FormattedString: _formatted,
    cst.Integer: lambda source, node: node.evaluated_value,
    cst.Float: lambda source, node: node.evaluated_value,
    cst.Name: _constant,
    cst.List: _list,
    cst.Tuple: _list,
    cst.Set: _list,
    cst.Dict: _mapping,
    cst.BinaryOperation: _sum,
    cst.Call: _call,
}
