"""From a function to a Call: its source, found by AST, and its arguments.

A function travels as text, so it may use nothing but its arguments, builtins and what it imports itself. What it needs
and does not carry is found here, before anything starts.
"""

from __future__ import annotations
import __future__

import ast
import builtins
import inspect
import symtable
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import FunctionType, ModuleType
from typing import Any

from podenv.call import loaded, syntax
from podenv.errors import CallError, SourceChanged, SourceError
from podenv.runtime.call import Call, TooLarge, is_indented
from podenv.runtime.tagged import Refused

# What a module has besides builtins and its own names.
_KNOWN = frozenset(dir(builtins)) | {"__name__", "__builtins__", "__loader__"}


@dataclass(frozen=True)
class FunctionSource:
    """A function as text: without its decorators, with the indentation that it has in ``filename``.

    ``postponed``: its file has ``from __future__ import annotations``.
    """

    name: str
    text: str
    filename: str
    first_line: int
    postponed: bool = False

    @property
    def where(self) -> str:
        return f"{self.filename}:{self.first_line}: {self.name}"


def extract(function: Callable[..., Any]) -> FunctionSource:
    """The function's own source; every decorator is left out.

    Raises SourceError when it has none, when it cannot run elsewhere (a lambda, a method, a generator, a class …), or
    when it needs names that it does not carry.
    """
    plain = _plain_function(function)
    source, definition = _find(plain)
    missing = _missing(plain, source, definition)
    if missing:
        raise SourceError(
            f"{source.where} uses what does not travel with it to another environment: "
            + "; ".join(f"{name!r} ({_remedy(plain, name)})" for name in missing)
            + "."
        )
    return source


def check_syntax(source: FunctionSource, *, python: str) -> None:
    """Raise SourceError when ``source`` uses syntax that is newer than ``python`` ("3.8")."""
    syntax.check(source.text, python=python, filename=source.filename, first_line=source.first_line, name=source.name)


def build_call(
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    context: Mapping[str, Any] | None = None,
) -> Call:
    """The Call of ``function`` with these arguments, and with the values of ``context`` that its signature names.

    Raises SourceError as ``extract`` does; CallError when the arguments do not fit the signature, hold what cannot
    travel, or are too large.
    """
    source = extract(function)
    signature = inspect.signature(_plain_function(function))
    chosen = _from_context(signature, args, kwargs, context or {})
    try:
        bound = signature.bind(*args, **{**kwargs, **chosen})
    except TypeError as error:
        raise CallError(f"{source.where} cannot be called with these arguments: {error}.") from None
    call = Call(
        source.name,
        source.text,
        filename=source.filename,
        first_line=source.first_line,
        postponed=source.postponed,
        args=bound.args,
        kwargs=bound.kwargs,
        labels=list(_labels(signature, bound)),
    )
    try:
        call.encode()
    except TooLarge as refused:
        raise CallError(f"{source.where}: {refused.why}.") from None
    except Refused as refused:
        raise CallError(_refusal(source, refused, chosen)) from None
    return call


def _plain_function(function: Callable[..., Any]) -> FunctionType:
    """The function below all wrappers. Raises SourceError for what is none, or cannot run as one elsewhere."""
    if isinstance(function, partial):
        raise SourceError(f"{function!r}: a partial has no source of its own. Pass the function and its arguments.")
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    if isinstance(function, type):
        raise SourceError(f"{name} is a class. Write a function that makes and uses it, with the class inside.")
    if inspect.ismethod(function):
        raise SourceError(
            f"{name} is a method, and its object does not travel. Write a function that takes what it needs."
        )
    plain = inspect.unwrap(function)
    if not isinstance(plain, FunctionType):
        what = (
            "built in, so it has no source"
            if inspect.isbuiltin(plain)
            else f"a {type(plain).__qualname__}, no function"
        )
        raise SourceError(f"{name} is {what}. Write a function that calls it.")
    if plain.__name__ == "<lambda>":
        raise SourceError(f"{_place(plain)}: a lambda has no source of its own. Write it as a function with `def`.")
    if inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain):
        raise SourceError(f"{_place(plain)} is a generator, which would not run before it is read. Return a list.")
    return plain


def _place(function: FunctionType) -> str:
    return f"{function.__code__.co_filename}:{function.__code__.co_firstlineno}: {function.__name__}"


def _find(function: FunctionType) -> tuple[FunctionSource, loaded.Definition]:
    code = function.__code__
    try:
        text, definition = loaded.find(function)
    except loaded.NoSource:
        raise SourceError(
            f"{_place(function)} has no source to send. Write it in a file or in a notebook's cell."
        ) from None
    except loaded.Changed:
        raise SourceChanged(
            f"{_place(function)} was loaded from a file that has changed since. Run it again with what the file holds "
            "now, or restart this process."
        ) from None
    assert definition.end_lineno is not None
    own = "".join(loaded.lines(text)[definition.lineno - 1 : definition.end_lineno])
    postponed = bool(code.co_flags & __future__.annotations.compiler_flag)
    return FunctionSource(definition.name, own, code.co_filename, definition.lineno, postponed), definition


def _compilable(source: FunctionSource) -> str:
    # Below a line, not dedented: text inside the function stays as it is.
    return "if True:\n" + source.text if is_indented(source.text) else source.text


class _Unannotated(ast.NodeTransformer):
    """Takes away annotations that are never evaluated, and ``nonlocal`` names that belong to an outer function."""

    def __init__(self, outer: Sequence[str], *, postponed: bool) -> None:
        self.outer = outer
        self.postponed = postponed
        self.taken: set[str] = set()
        self.scopes: list[ast.AST] = []

    def _visit_function(self, node: loaded.Definition) -> ast.AST:
        if self.postponed or not self.scopes:  # the outer signature's are never evaluated
            node.returns = None
            for child in ast.walk(node.args):
                if isinstance(child, ast.arg):
                    child.annotation = None
        return self._visit_scope(node)

    visit_FunctionDef = visit_AsyncFunctionDef = _visit_function  # noqa: N815

    def _visit_scope(self, node: ast.AST) -> ast.AST:
        self.scopes.append(node)
        self.generic_visit(node)
        self.scopes.pop()
        return node

    visit_ClassDef = _visit_scope  # noqa: N815

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if self.postponed or not isinstance(self.scopes[-1], ast.ClassDef):  # those of variables of a function
            node.annotation = ast.Constant(None)
        return self.generic_visit(node)

    def visit_Nonlocal(self, node: ast.Nonlocal) -> ast.AST:
        self.taken.update(set(node.names) & set(self.outer))
        node.names = [name for name in node.names if name not in self.outer]
        return node if node.names else ast.Pass()

    # ast.unparse cannot write every f-string ("Unable to avoid backslash", Python 3.11); names are all we look for.
    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.expr:
        return ast.Tuple([self.visit(part) for part in node.values], ast.Load())

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.expr:
        return ast.Tuple([self.visit(part) for part in (node.value, node.format_spec) if part], ast.Load())


def _missing(function: FunctionType, source: FunctionSource, definition: loaded.Definition) -> list[str]:
    """The names that the function uses and neither makes nor finds among the builtins, sorted."""
    unannotated = _Unannotated(function.__code__.co_freevars, postponed=source.postponed)
    bare = ast.unparse(unannotated.visit(ast.parse(_compilable(source))))
    table = symtable.symtable(bare, source.filename, "exec")
    used: set[str] = unannotated.taken
    made: set[str] = {definition.name}
    for scope in _scopes(table):
        for symbol in scope.get_symbols():
            name = symbol.get_name()
            if scope is table:
                if symbol.is_referenced():  # a default
                    used.add(name)
            elif symbol.is_global():
                (made if symbol.is_declared_global() and symbol.is_assigned() else used).add(name)
    return sorted(used - made - _KNOWN)


def _scopes(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _scopes(child)


_ABSENT = object()


def _remedy(function: FunctionType, name: str) -> str:
    """What to do about a name that does not travel, by what it is at home."""
    value = _value(function, name)
    if value is _ABSENT:
        return "it is not defined; import or define it inside the function"
    if isinstance(value, ModuleType):
        statement = f"import {value.__name__}" + (f" as {name}" if value.__name__ != name else "")
        return f"import it inside the function: `{statement}`"
    module = getattr(value, "__module__", None)
    if isinstance(value, type) or callable(value):
        if isinstance(module, str) and module != function.__module__ and hasattr(value, "__qualname__"):
            own = value.__qualname__
            return f"import it inside the function: `from {module} import {own}{'' if own == name else f' as {name}'}`"
        return "define it inside the function, or put it into a package of the environment"
    return "pass it as an argument"


def _value(function: FunctionType, name: str) -> Any:
    if name in function.__code__.co_freevars:
        cell = (function.__closure__ or ())[function.__code__.co_freevars.index(name)]
        try:
            return cell.cell_contents
        except ValueError:  # not assigned yet
            return _ABSENT
    return function.__globals__.get(name, _ABSENT)


def _from_context(
    signature: inspect.Signature, args: Sequence[Any], kwargs: Mapping[str, Any], context: Mapping[str, Any]
) -> dict[str, Any]:
    """The context values that the signature names and the caller has not passed."""
    try:
        passed = signature.bind_partial(*args, **kwargs).arguments
    except TypeError:
        return {}  # the full bind says what is wrong
    return {
        name: context[name]
        for name, parameter in signature.parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        and name not in passed
        and name in context
    }


def _labels(signature: inspect.Signature, bound: inspect.BoundArguments) -> Iterator[str]:
    """What to call each positional argument in a message."""
    for name, parameter in signature.parameters.items():
        if name not in bound.arguments:
            continue
        if parameter.kind is parameter.VAR_POSITIONAL:
            yield from (f"{name}[{index}]" for index in range(len(bound.arguments[name])))
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            yield name


def _refusal(source: FunctionSource, refused: Refused, chosen: Mapping[str, Any]) -> str:
    if refused.path in chosen:
        return (
            f"{source.where}: the context value {refused.path!r} cannot travel to another environment. Name `ds`, "
            "`run_id`, `params`, `logical_date` … instead, pass what you need of it as an argument, or give the "
            "parameter another name."
        )
    return f"{source.where}: the argument {refused}."
