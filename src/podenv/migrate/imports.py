"""Which imports of a DAG file the edit changes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile

import libcst as cst

from podenv.migrate.arguments import OPERATORS
from podenv.migrate.literals import Source

OPERATOR = "EnvPodOperator"


def is_operator(alias: cst.ImportAlias) -> bool:
    """True if it imports an operator that is carried over."""
    return isinstance(alias.name, cst.Name) and alias.name.value in OPERATORS


def bound(alias: cst.ImportAlias) -> str:
    """The name that an import gives to what it imports."""
    return alias.evaluated_alias or alias.evaluated_name


def unused(source: Source, classes: set[cst.BaseExpression]) -> set[str]:
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


def has_operator(module: cst.Module) -> bool:
    """True if the module imports podenv's operator already."""
    return any(
        isinstance(small, cst.ImportFrom)
        and isinstance(small.module, cst.Name)
        and small.module.value == "podenv"
        and not isinstance(small.names, cst.ImportStar)
        and any(bound(alias) == OPERATOR for alias in small.names)
        for line in module.body
        if isinstance(line, cst.SimpleStatementLine)
        for small in line.body
    )


def places(source: Source, classes: set[cst.BaseExpression]) -> set[cst.CSTNode]:
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
        if not any(bound(alias).partition(".")[0] in self._names for alias in aliases):
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
