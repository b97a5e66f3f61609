"""From a function to a Call: what it uses, its own file's and that of modules beside it, and its arguments.

What it needs and cannot bring is found here, before anything starts.
"""

from __future__ import annotations
import __future__

import ast
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from podenv.call import beside, loaded, pieces, syntax
from podenv.call.units import AIRFLOW
from podenv.errors import CallError, SourceChanged, SourceError
from podenv.runtime.call import Call, Code, TooLarge
from podenv.runtime.tagged import Refused


@dataclass(frozen=True)
class FunctionSource:
    """A function with all that travels with it; ``function`` is the one below its decorators."""

    function: FunctionType
    code: Code
    modules: beside.Modules

    @property
    def name(self) -> str:
        return self.code.name

    @property
    def where(self) -> str:
        return f"{self.code.filename}:{self.code.line}: {self.code.name}"

    @property
    def travels(self) -> str:
        """What travels beside the function itself, for the log; empty where nothing does."""
        own = [piece for piece in (*self.code.pieces, *self.code.inner) if piece[1]]
        parts = []
        if len(own) > 1:
            parts.append(
                f"{len(own) - 1} {'statement' if len(own) == 2 else 'statements'} of {_short(self.code.filename)}"
            )
        if files := sorted(self.modules.files):
            named = ", ".join(map(_short, files[:5])) + (f" and {len(files) - 5} more" if len(files) > 5 else "")
            parts.append(f"{len(files)} {'file' if len(files) == 1 else 'files'} ({named})")
        size = sum(self.modules.files.values()) + sum(len(text.encode("utf-8", "replace")) for _, _, text in own)
        return f"With {self.name} travel {' and '.join(parts)}: {size / 1024:.1f} KiB." if parts else ""


def extract(function: Callable[..., Any], *, code: str = "") -> FunctionSource:
    """The function and what it uses, of its own file and of modules beside it.

    ``code``: folders with such modules, as ``[podenv] code`` says; PODENV_CODE goes before it. Raises SourceError when
    the function has no source, when it cannot run elsewhere (a lambda, a method, a generator, a class …), or when it
    needs what cannot travel; SettingError for a folder that is not there.
    """
    found, parts = _follow(function)
    plain = found.function
    _refuse(_place(plain), parts.problems)
    package = str(plain.__globals__.get("__package__") or "")
    modules = beside.find(parts.nodes, beside.folders(code), package=package, file=found.file.name)
    relative = any(isinstance(one, ast.ImportFrom) and one.level for node in parts.nodes for one in ast.walk(node))
    made = Code(
        found.node.name,
        found.file.name,
        found.node.lineno,
        [(piece.filename, piece.line, piece.text) for piece in parts.pieces],
        inner=[(piece.filename, piece.line, piece.text) for piece in parts.inner],
        around=parts.around,
        values=parts.values,
        constants=parts.constants,
        defaults=parts.defaults,
        package=package if relative else "",
        postponed=bool(plain.__code__.co_flags & __future__.annotations.compiler_flag),
    )
    return FunctionSource(plain, made, modules)


def refuse_airflows(function: Callable[..., Any]) -> None:
    """Raise SourceError, when a DAG is parsed, for a function that uses what comes from Airflow and cannot travel.

    Costs next to nothing where nothing that the function names is Airflow's.
    """
    plain = inspect.unwrap(function) if hasattr(function, "__wrapped__") else function
    if isinstance(plain, FunctionType) and _may_use_airflow(plain):
        try:
            _, parts = _follow(function)
        except SourceError:
            return  # said when the task runs: it may be none that travels
        _refuse(_place(plain), [problem for problem in parts.problems if problem.airflow])


def check_syntax(source: FunctionSource, *, python: str) -> None:
    """Raise SourceError when what travels uses syntax that is newer than ``python`` ("3.8")."""
    for filename, line, text in (*source.code.pieces, *source.code.inner):
        syntax.check(text, python=python, filename=filename, first_line=line, name=source.name)
    for module in source.modules.texts:
        syntax.check(module.text, python=python, filename=str(module.file), first_line=1, name=module.name)


def build_call(
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    context: Mapping[str, Any] | None = None,
    *,
    python: str | None = None,
    code: str = "",
) -> Call:
    """The Call of ``function`` with these arguments, and with the values of ``context`` that its signature names.

    Raises SourceError as ``extract`` does, and ``check_syntax`` where ``python`` is known; CallError when the arguments
    do not fit the signature, hold what cannot travel, or are too large.
    """
    source = extract(function, code=code)
    if python is not None:
        check_syntax(source, python=python)
    signature = inspect.signature(function)  # a decorator may say another one than the function's own
    chosen = _from_context(signature, args, kwargs, context or {})
    try:
        bound = signature.bind(*args, **{**kwargs, **chosen})
    except TypeError as error:
        raise CallError(f"{source.where} cannot be called with these arguments: {error}.") from None
    call = Call(
        source.code,
        args=bound.args,
        kwargs=bound.kwargs,
        labels=list(_labels(signature, bound)),
        modules=source.modules.packed,
        names=source.modules.names,
        travels=source.travels,
    )
    try:
        call.encode()
    except TooLarge as refused:
        raise CallError(f"{source.where}: {refused.why}.") from None
    except Refused as refused:
        raise CallError(_refusal(source, refused, chosen)) from None
    return call


def _follow(function: Callable[..., Any]) -> tuple[loaded.Found, pieces.Parts]:
    plain, wrappers = _plain_function(function)
    try:
        found = loaded.find(plain)
        return found, pieces.follow(found, wrappers=wrappers, cells=loaded.cells(plain))
    except loaded.NoSource:
        raise SourceError(
            f"{_place(plain)} has no source to send. Write it in a file or in a notebook's cell."
        ) from None
    except loaded.Changed:
        raise SourceChanged(
            f"{_place(plain)} was loaded from a file that has changed since. Run it again with what the file holds "
            "now, or restart this process."
        ) from None


def _refuse(where: str, problems: Sequence[pieces.Problem]) -> None:
    if problems:
        named = "; ".join(f"{problem.name!r} ({problem.remedy})" for problem in problems)
        raise SourceError(f"{where} uses what does not travel with it to another environment: {named}.")


def _plain_function(function: Callable[..., Any]) -> tuple[FunctionType, int]:
    """The function below all wrappers, and how many of them are not Airflow's.

    Raises SourceError for what is not a function, or cannot run as one elsewhere.
    """
    if isinstance(function, partial):
        raise SourceError(f"{function!r}: a partial has no source of its own. Pass the function and its arguments.")
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    if isinstance(function, type):
        raise SourceError(f"{name} is a class. Write a function that makes and uses it.")
    if inspect.ismethod(function):
        raise SourceError(
            f"{name} is a method, and its object does not travel. Write a function that takes what it needs."
        )
    wrappers: list[Any] = []
    plain = inspect.unwrap(function, stop=lambda one: wrappers.append(one))
    wrappers = [one for one in wrappers if type(one).__module__.partition(".")[0] not in AIRFLOW]
    if not isinstance(plain, FunctionType):
        what = (
            "built in, so it has no source"
            if inspect.isbuiltin(plain)
            else f"a {type(plain).__qualname__}, no function"
        )
        raise SourceError(f"{name} is {what}. Write a function that calls it.")
    if plain.__name__ == "<lambda>":
        raise SourceError(f"{_place(plain)}: a lambda has no source of its own. Write it as a function with `def`.")
    if inspect.isgeneratorfunction(wrappers[0] if wrappers else plain) or inspect.isasyncgenfunction(plain):
        raise SourceError(f"{_place(plain)} is a generator, which would not run before it is read. Return a list.")
    return plain, len(wrappers)


def _place(function: FunctionType) -> str:
    return f"{function.__code__.co_filename}:{function.__code__.co_firstlineno}: {function.__name__}"


def _short(file: str | Path) -> str:
    if loaded.is_cell(str(file)):
        return "the notebook"
    return "/".join(Path(file).parts[-2:])


# What has a module of its own besides its type's.
_MODULES_OWN = (FunctionType, ModuleType, type)
# Of each type of a value that a function names: True if it is Airflow's. A DAG file has many of few types.
_types: dict[type, bool] = {}


def _may_use_airflow(function: FunctionType) -> bool:
    """True if a name that the function may look up is Airflow's now; names of attributes count as well."""
    for cell in function.__closure__ or ():
        try:
            if pieces.is_airflows(cell.cell_contents):
                return True
        except ValueError:  # not assigned yet
            continue
    names = function.__globals__
    todo, seen = [function.__code__], {function.__name__}
    while todo:
        code = todo.pop()
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                todo.append(constant)
        for name in code.co_names:
            if name in names and name not in seen:
                seen.add(name)
                value = names[name]
                kind = type(value)
                if kind is FunctionType and value.__globals__ is names:
                    todo.append(value.__code__)
                elif kind in _MODULES_OWN:
                    if pieces.is_airflows(value):
                        return True
                elif kind not in _types:
                    _types[kind] = pieces.is_airflows(value)
                if _types.get(kind):
                    return True
    return False


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
