"""What podenv looks at in a syntax tree: names that statements bind and use, annotations that count for nothing."""

from __future__ import annotations

import ast
import dis
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import CodeType
from typing import Any

Function = ast.FunctionDef | ast.AsyncFunctionDef
Import = ast.Import | ast.ImportFrom


# Python before 3.11.8 counts the depth of a tree for all threads together, and raises SystemError where two of them
# make one at once (gh-106905); the filters of warnings are one for all threads too.
_ALONE = threading.RLock()


@contextmanager
def quietly() -> Iterator[None]:
    """While this lasts, Python says nothing of escapes and comparisons in a text: it did when the text was loaded.

    One thread at a time.
    """
    with _ALONE, warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def syntax_tree(text: str | bytes, filename: str = "<unknown>", *, python: tuple[int, int] | None = None) -> ast.Module:
    """The tree of ``text``, read as the version ``python`` reads it. Raises as `ast.parse` does."""
    with quietly():
        return ast.parse(text, filename, feature_version=python)


def first_line(node: ast.stmt) -> int:
    """Its first decorator's where it has one."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def aliases(node: Import) -> Iterator[tuple[str, ast.alias]]:
    """The name that each part of an import binds."""
    for alias in node.names:
        name = alias.asname or (alias.name if isinstance(node, ast.ImportFrom) else alias.name.partition(".")[0])
        yield name, alias


def imported(node: Import) -> list[str]:
    """The modules that an import names; relative ones begin with dots."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return ["." * node.level + (node.module or "")]


def constant(node: ast.stmt) -> tuple[Any] | None:
    """The value that a statement gives to a name, where its text alone says it."""
    if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        try:
            return (ast.literal_eval(node.value),)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return None
    return None


def branches(node: ast.AST) -> list[list[ast.stmt]]:
    """The blocks of a compound statement."""
    parts = (node, *getattr(node, "handlers", ()), *getattr(node, "cases", ()))
    blocks = [getattr(part, name, []) for part in parts for name in ("body", "orelse", "finalbody")]
    return [block for block in blocks if isinstance(block, list) and block]


def is_type_checking(node: ast.stmt) -> bool:
    """True if ``node`` is ``if TYPE_CHECKING:``."""
    return isinstance(node, ast.If) and last_name(node.test) == "TYPE_CHECKING"


def used(body: Sequence[ast.stmt]) -> frozenset[str]:
    """What ``body`` looks up outside itself; names of a function around it count."""
    names: set[str] = set()
    stripped = [bare(node) for node in body]
    try:
        with quietly():
            code = compile(ast.Module(stripped, type_ignores=[]), "names", "exec", dont_inherit=True)
    except SyntaxError:  # it changes names of a function around it
        free = {name for node in body for one in ast.walk(node) if isinstance(one, ast.Nonlocal) for name in one.names}
        outer = syntax_tree(f"def outer({', '.join(sorted(free))}): pass")
        assert isinstance(outer.body[0], ast.FunctionDef)
        outer.body[0].body = stripped
        with quietly():
            code = compile(outer, "names", "exec", dont_inherit=True)
        names |= free
    _look(code, names)
    return frozenset(names)


def _look(code: CodeType, names: set[str]) -> None:
    """Add what ``code``, and the code inside it, looks up in the module before it binds it itself."""
    own: set[str] = set()
    for step in dis.get_instructions(code):
        if step.opname in ("STORE_NAME", "STORE_GLOBAL"):
            own.add(step.argval)
        elif step.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS", "DELETE_NAME"):
            names.update({step.argval} - own)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _look(constant, names)


def last_name(node: ast.AST) -> str:
    """``b`` of ``a.b`` and of ``b``."""
    return str(getattr(node, "attr", None) or getattr(node, "id", ""))


def is_postponed(tree: ast.Module) -> bool:
    """True if the file has ``from __future__ import annotations``."""
    futures = (node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__")
    return any(alias.name == "annotations" for node in futures for alias in node.names)


def unannotate(tree: ast.Module, *, postponed: bool) -> None:
    """Take away the annotations that are never evaluated."""
    if postponed:
        for node in ast.walk(tree):
            if isinstance(node, Function):
                node.returns = None
            elif isinstance(node, ast.arg):
                node.annotation = None
            elif isinstance(node, ast.AnnAssign):
                node.annotation = ast.copy_location(ast.Constant(None), node)
    _unannotate_variables(tree, inside_class=False)


def _unannotate_variables(node: ast.AST, *, inside_class: bool) -> None:
    """Of variables they count in classes only: a function's are never evaluated, and a file's are not sent."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.AnnAssign) and not inside_class:
            child.annotation = ast.copy_location(ast.Constant(None), child)
        elif isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
            inside = isinstance(child, ast.ClassDef) or (inside_class and not isinstance(child, Function))
            _unannotate_variables(child, inside_class=inside)


def bare(node: Any) -> Any:
    """A copy of a statement without the annotations in the signatures of its functions, or of its classes' methods.

    In the environment those are texts. Trees are shared by threads, so nothing is taken from them.
    """
    if isinstance(node, Function):
        arguments = copy(
            node.args,
            **{
                name: [copy(argument, annotation=None) for argument in getattr(node.args, name)]
                for name in ("posonlyargs", "args", "kwonlyargs")
            },
        )
        for name in ("vararg", "kwarg"):
            if (extra := getattr(arguments, name)) is not None:
                setattr(arguments, name, copy(extra, annotation=None))
        return copy(node, args=arguments, returns=None)
    fields = {name: getattr(node, name, None) for name in ("body", "orelse", "finalbody", "handlers", "cases")}
    return copy(node, **{name: [bare(child) for child in block] for name, block in fields.items() if block})


def copy(node: Any, **changed: Any) -> Any:
    """A copy of ``node`` with other fields; what is in it is the same."""
    fields = {name: getattr(node, name) for name in node._fields if hasattr(node, name)}
    return ast.copy_location(type(node)(**{**fields, **changed}), node)
