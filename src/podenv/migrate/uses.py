"""Where a DAG file says that a task has an environment of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass

import libcst as cst

from podenv.migrate.arguments import (
    DECORATORS,
    OPERATORS,
    SHELLS,
    WITHOUT_DECORATOR,
    WITHOUT_OPERATOR,
    Kind,
)
from podenv.migrate.literals import Computed, Source

_DECORATOR = re.compile(r"airflow\.(?:.+\.)?task\.(\w+)")
_OPERATOR = re.compile(r"airflow\.(?:.+\.)?(\w+)")
_WORDS = "|".join(sorted({*DECORATORS, *OPERATORS, *WITHOUT_DECORATOR, *WITHOUT_OPERATOR, *SHELLS}))
_SOMETHING = re.compile(rf"\b(?:{_WORDS})\b|\bimport[\s\\]*\*".encode())
_OWN_PYTHON = re.compile(
    r"(^|[\s/;&|(])(python[\d.]*|pip[\d.]*|pipenv|poetry|conda|mamba|virtualenv|uvx?|activate)(\s|$)"
)


@dataclass(frozen=True)
class Use:
    """One task: ``target`` names the decorator or the class, ``call`` has its arguments (None: no parentheses).

    ``becomes`` is the last part of podenv's decorator in its place; empty for an operator.
    """

    kind: Kind
    line: int
    what: str
    target: cst.BaseExpression
    call: cst.Call | None
    function: cst.FunctionDef | None
    becomes: str = ""

    @property
    def decorates(self) -> bool:
        """True if it is a decorator."""
        return bool(self.becomes)

    @property
    def operator(self) -> cst.BaseExpression:
        """The expression that names the class, also where ``.partial`` follows it."""
        if not self.decorates and isinstance(self.target, cst.Attribute) and self.target.attr.value == "partial":
            return self.target.value
        return self.target


@dataclass
class Found:
    """What a file holds: tasks to carry over, and what cannot be (line, what, why)."""

    uses: list[Use]
    others: list[tuple[int, str, str]]


def may_be_in(text: bytes) -> bool:
    """False where `find` would find nothing, whose parser takes a tenth of a second for a long file."""
    return _SOMETHING.search(text) is not None


def find(source: Source) -> Found:
    """All tasks of ``source`` that have an environment of their own, in the order of the file."""
    finder = _Finder(source)
    source.module.visit(finder)
    return Found(finder.uses, finder.others)


class _Finder(cst.CSTVisitor):
    def __init__(self, source: Source) -> None:
        super().__init__()
        self.uses: list[Use] = []
        self.others: list[tuple[int, str, str]] = []
        self._source = source
        self._seen: set[cst.CSTNode] = set()

    def visit_Import(self, node: cst.Import) -> bool:
        return False

    def visit_ImportFrom(self, node: cst.ImportFrom) -> bool:
        module = self._source.code(node.module) if node.module else ""
        if isinstance(node.names, cst.ImportStar) and module.startswith("airflow"):
            self._other(node, self._source.code(node), "what it brings cannot be told; import the names themselves")
        return False

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        for decorator in node.decorators:
            expression = decorator.decorator
            call = expression if isinstance(expression, cst.Call) else None
            self._look(call.func if call else expression, call, node)

    def visit_Call(self, node: cst.Call) -> None:
        self._look(node.func, node, None)

    def visit_Attribute(self, node: cst.Attribute) -> None:
        self._stray(node)

    def visit_Name(self, node: cst.Name) -> None:
        self._stray(node)

    def _look(self, target: cst.BaseExpression, call: cst.Call | None, function: cst.FunctionDef | None) -> None:
        if target in self._seen:
            return
        for name in self._source.names(target):
            if found := _DECORATOR.fullmatch(name):
                self._decorator(found[1], target, call, function)
            elif found := _OPERATOR.fullmatch(name.removesuffix(".partial")):
                self._operator(found[1], target, call)
            if target in self._seen:
                return

    def _decorator(
        self, name: str, target: cst.BaseExpression, call: cst.Call | None, function: cst.FunctionDef | None
    ) -> None:
        what = f"@{self._source.code(target)}"
        if name in DECORATORS:
            self._mark(target)
            line = self._source.line(target)
            kind, becomes = DECORATORS[name]
            self.uses.append(Use(kind, line, what, target, call, function, becomes))
        elif name in WITHOUT_DECORATOR:
            self._mark(target)
            self._other(target, what, WITHOUT_DECORATOR[name])
        elif name in SHELLS and function is not None:
            self._shell(target, what, [self._source.code(function.body)])

    def _operator(self, name: str, target: cst.BaseExpression, call: cst.Call | None) -> None:
        if call is None:
            return
        what = self._source.code(target)
        if name in OPERATORS:
            self._mark(target)
            function = next(
                (self._source.function(one.value) for one in call.args if _keyword(one) == "python_callable"), None
            )
            line = self._source.line(target)
            self.uses.append(Use(OPERATORS[name], line, what, target, call, function))
        elif name in WITHOUT_OPERATOR:
            self._mark(target)
            self._other(target, what, WITHOUT_OPERATOR[name])
        elif name in SHELLS:
            self._shell(target, what, [one.value for one in call.args if _keyword(one) == "bash_command"])

    def _shell(self, target: cst.BaseExpression, what: str, commands: list[str] | list[cst.BaseExpression]) -> None:
        for command in commands:
            try:
                text = command if isinstance(command, str) else self._source.value(command)
            except Computed:
                return
            if isinstance(text, str) and _OWN_PYTHON.search(text):
                self._mark(target)
                self._other(
                    target,
                    what,
                    "its command starts a Python of its own: make an environment with what that one holds, and write "
                    'EnvPodOperator(env="...", cmds=[...])',
                )

    def _stray(self, node: cst.Attribute | cst.Name) -> None:
        """A decorator or class that is passed on, derived from or called by another name."""
        above = self._source.parent(node)
        if node in self._seen or isinstance(above, cst.Annotation | cst.Attribute):
            return
        for name in self._source.names(node):
            decorator, operator = _DECORATOR.fullmatch(name), _OPERATOR.fullmatch(name)
            known = (decorator and decorator[1] in DECORATORS) or (operator and operator[1] in OPERATORS)
            if known and name.startswith("airflow."):
                self._mark(node)
                self._other(
                    node,
                    self._source.code(node),
                    "it is not called here, so its arguments are elsewhere; edit it by hand",
                )
                return

    def _mark(self, target: cst.BaseExpression) -> None:
        """Do not look at this again, nor at its parts."""
        self._seen.add(target)
        while isinstance(target, cst.Attribute):
            self._seen.add(target.attr)
            target = target.value
            self._seen.add(target)

    def _other(self, node: cst.CSTNode, what: str, why: str) -> None:
        self.others.append((self._source.line(node), what, why))


def _keyword(argument: cst.Arg) -> str:
    return argument.keyword.value if argument.keyword else ""
