"""What of its file, and of the modules beside it, travels with a task's function; and what cannot.

The rules are those of `podenv.call`, asked with the text alone: what a name holds when the task runs is not known here.
Where that decides, nothing is said.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import FunctionType

from podenv.call import beside, pieces, tree, units
from podenv.call.loaded import Found
from podenv.check.sources import Function, Source, Sources, Unreadable
from podenv.check.tasks import Task
from podenv.errors import SourceError


@dataclass(frozen=True)
class Problem:
    """A ``name`` at a place that does not travel, with what to do about it."""

    name: str
    line: int
    column: int
    remedy: str


@dataclass(frozen=True)
class Luggage:
    """What travels with one function.

    ``nodes`` are the statements of its file, ``parts`` the same where of an import only some names travel; ``modules``
    are those beside the DAG, ``problems`` what cannot travel.
    """

    nodes: Sequence[ast.stmt] = ()
    parts: Sequence[ast.stmt] = ()
    modules: Sequence[Source] = ()
    problems: Sequence[Problem] = ()


def pack(task: Task, sources: Sources) -> Luggage:
    """What travels with the function of ``task``."""
    source, function = task.source, task.function
    if source is None or function is None:
        return Luggage()
    text = "\n".join(source.lines)
    file = units.parse(str(source.path), text)
    node, around = file.functions[tree.first_line(function)]
    followed = pieces.follow(Found(_nothing(), file, node, around), wrappers=_wrappers(task, function))
    nodes = [found for one in followed.nodes if (found := source.statement(one)) is not None]
    problems = [_placed(one, nodes, function) for one in followed.problems if _is_certain(one, file, node, around)]
    if (place := _yields(function)) is not None:
        remedy = "it is a generator, which would not run before it is read: return a list"
        problems.append(Problem(function.name, place.lineno, place.col_offset + 1, remedy))
    modules: list[Source] = []
    try:
        package = sources.package(source.path)
        travelling = beside.find(followed.nodes, sources.roots, package=package, file=str(source.path))
        modules = [sources.read(one.file) for one in travelling.texts if not one.is_folder]
    except SourceError as error:
        problems.append(Problem(function.name, function.lineno, function.col_offset + 1, str(error).rstrip(".")))
    except Unreadable:
        pass  # it was parsed a moment ago
    return Luggage(nodes, followed.nodes, modules, problems)


def _nothing() -> FunctionType:
    """A function of which nothing is known but its text."""
    made = FunctionType((lambda: None).__code__, {"__name__": "", "__package__": ""})
    assert isinstance(made, FunctionType)
    return made


def _wrappers(task: Task, function: Function) -> int:
    """How many decorators stand between the function and the task's own."""
    if task.kind != "task" or task.callable is not None:
        return 0
    below = [one for one in function.decorator_list if one.lineno > task.node.lineno]
    return len(below)


def _is_certain(problem: pieces.Problem, file: units.File, node: Function, around: Sequence[Function]) -> bool:
    """False where what the name holds when the task runs decides: a plain value travels from the function around."""
    for outer in reversed(around):
        arguments = {one.arg for one in ast.walk(outer.args) if isinstance(one, ast.arg)}
        bound = file.block(outer, node.lineno).binding.get(problem.name, [])
        if problem.name in arguments:
            return False
        if bound:
            return all(isinstance(one.node, Function | ast.ClassDef | ast.Import | ast.ImportFrom) for one in bound)
    return bool(file.block(file.tree, node.lineno).binding.get(problem.name)) or not _has_star(file)


def _has_star(file: units.File) -> bool:
    """True if a `*` import may bind names that the text does not show."""
    return any(isinstance(one, ast.ImportFrom) and one.names[0].name == "*" for one in ast.walk(file.tree))


def _placed(problem: pieces.Problem, nodes: Sequence[ast.stmt], function: Function) -> Problem:
    """The problem where its name is first used."""
    for node in sorted(nodes, key=lambda one: one is not function):
        for one in ast.walk(node):
            if isinstance(one, ast.Name) and one.id == problem.name:
                return Problem(problem.name, one.lineno, one.col_offset + 1, problem.remedy)
    return Problem(problem.name, function.lineno, function.col_offset + 1, problem.remedy)


def _yields(function: Function) -> ast.expr | None:
    """The first `yield` of the function itself."""
    return next((one for one in _own(function.body) if isinstance(one, ast.Yield | ast.YieldFrom)), None)


def _own(body: Sequence[ast.AST]) -> Iterator[ast.AST]:
    for node in body:
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            yield from _own(list(ast.iter_child_nodes(node)))
