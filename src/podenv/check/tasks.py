"""Every use of an environment in a DAG file, found in its text: decorated functions, operators, calls of run_in_env."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from podenv.check import literals
from podenv.check.literals import Computed, Scope, keywords
from podenv.check.sources import Function, Source, Sources, Unreadable, binds

Kind = Literal["task", "operator", "call"]
_DECORATORS = ("podenv.env", "podenv.airflow.decorator.env")
_OF_TASK = tuple(f"task.env{kind}" for kind in ("", "_branch", "_short_circuit", "_sensor"))
_OPERATORS = ("podenv.EnvPodOperator", "podenv.airflow.operator.EnvPodOperator")
_CALLS = tuple(f"podenv{part}.run_in_env" for part in ("", ".airflow.run", ".local", ".pods.call"))


@dataclass(frozen=True, eq=False)
class Task:
    """One use of an environment.

    ``dag`` and ``task`` are the ids, as far as the text says them. ``environment`` is None where the name is computed.
    ``source`` and ``function`` are the code that runs there, None where it is not found; ``command`` is what runs
    instead. ``arguments`` are those of the operator that are written out.
    """

    kind: Kind
    file: Source
    node: ast.expr
    dag: str
    task: str
    environment: str | None
    source: Source | None = None
    function: Function | None = None
    command: tuple[str, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    callable: ast.expr | None = None
    given: frozenset[str] = frozenset()
    """The names of all arguments, those of the DAG's ``default_args`` included."""

    @property
    def line(self) -> int:
        return self.node.lineno

    @property
    def column(self) -> int:
        return self.node.col_offset + 1


def find(source: Source, sources: Sources) -> list[Task]:
    """The tasks of one file, in its order."""
    finder = _Finder(source, sources)
    try:
        finder.visit(source.tree)
    except RecursionError:
        raise Unreadable("its expressions are nested too deeply") from None
    return finder.tasks


@dataclass(frozen=True)
class _Within:
    """Where a statement stands: functions around it, the DAG, the groups, and the DAG's default arguments."""

    scopes: tuple[Scope, ...]
    dag: str = ""
    prefix: str = ""
    defaults: Mapping[str, ast.expr] = field(default_factory=dict)
    inside: str = ""
    """The task that a call of run_in_env belongs to."""


class _Finder(ast.NodeVisitor):
    def __init__(self, source: Source, sources: Sources) -> None:
        self.source = source
        self.sources = sources
        self.tasks: list[Task] = []
        self.at = _Within((source.tree,))
        self.decorated: dict[str, tuple[Function, dict[str, ast.expr]]] = {}
        self.makers: dict[str, ast.Call] = {}

    # Functions and DAGs

    def _visit_function(self, node: Function) -> None:
        before = self.at
        at = before
        for decorator in node.decorator_list:
            call = decorator if isinstance(decorator, ast.Call) else None
            name = self._name(call.func if call else decorator)
            given = keywords(call) if call else {}
            if maker := self._maker(decorator):
                self._decorated(node, maker)
                at = _Within(at.scopes, at.dag, at.prefix, at.defaults, self._id(given, "task_id", node.name))
            elif name.endswith((".dag", "dag")) and name.rpartition(".")[2] == "dag":
                dag = self._id(given, "dag_id", node.name)
                at = _Within(at.scopes, dag, "", self._defaults(given), "")
            elif name.rpartition(".")[2] == "task_group":
                at = _Within(at.scopes, at.dag, f"{at.prefix}{self._id(given, 'group_id', node.name)}.", at.defaults)
            elif ".task" in f".{name}":
                task = at.prefix + self._id(given, "task_id", node.name)
                at = _Within(at.scopes, at.dag, at.prefix, at.defaults, task)
        for decorator in node.decorator_list:
            if not self._maker(decorator):
                self.visit(decorator)
        self.at = _Within((node, *at.scopes), at.dag, at.prefix, at.defaults, at.inside)
        for child in (node.args, *node.body):
            self.visit(child)
        self.at = before

    visit_FunctionDef = visit_AsyncFunctionDef = _visit_function  # noqa: N815

    def _visit_with(self, node: ast.With | ast.AsyncWith) -> None:
        before = self.at
        for item in node.items:
            self.visit(item.context_expr)
            if isinstance(call := item.context_expr, ast.Call):
                name, given = self._name(call.func).rpartition(".")[2], keywords(call)
                first = call.args[0] if call.args else None
                if name == "DAG":
                    dag = self._id({"dag_id": first, **given} if first else given, "dag_id", "")
                    self.at = _Within(self.at.scopes, dag, "", self._defaults(given))
                elif name == "TaskGroup":
                    group = self._id({"group_id": first, **given} if first else given, "group_id", "")
                    self.at = _Within(self.at.scopes, self.at.dag, f"{self.at.prefix}{group}.", self.at.defaults)
        for child in node.body:
            self.visit(child)
        self.at = before

    visit_With = visit_AsyncWith = _visit_with  # noqa: N815

    def visit_Assign(self, node: ast.Assign) -> None:
        if isinstance(node.value, ast.Call) and self._is_decorator(node.value.func):
            for target in node.targets:  # `etl = task.env("etl")`, to decorate with
                if isinstance(target, ast.Name):
                    self.makers[target.id] = node.value
            return
        self.generic_visit(node)

    def _id(self, given: Mapping[str, ast.expr], name: str, default: str) -> str:
        try:
            return str(literals.value(given[name], self.at.scopes)) if name in given else default
        except Computed:
            return default

    def _defaults(self, given: Mapping[str, ast.expr]) -> dict[str, ast.expr]:
        node = given.get("default_args")
        if isinstance(node, ast.Name):
            bound = [n.value for n in ast.walk(self.source.tree) if isinstance(n, ast.Assign) and node.id in binds(n)]
            node = bound[0] if len(bound) == 1 else None
        if not isinstance(node, ast.Dict):
            return {}
        pairs = zip(node.keys, node.values, strict=True)
        return {k.value: v for k, v in pairs if isinstance(k, ast.Constant) and isinstance(k.value, str)}

    # Uses of environments

    def visit_Call(self, node: ast.Call) -> None:
        name = self._name(node.func)
        if name in _CALLS:
            self._called(node)
        elif name in _OPERATORS:
            self._operator(node, keywords(node))
        elif isinstance(node.func, ast.Attribute) and self._from_attribute(node, node.func):
            return
        elif maker := self._maker(node.func):  # task.env("etl")(function)
            for argument in node.args[:1]:
                self._task("task", maker, argument, keywords(maker), first=maker.args)
        for child in ast.iter_child_nodes(node):
            self.visit(child)

    def _from_attribute(self, node: ast.Call, func: ast.Attribute) -> bool:
        """`EnvPodOperator.partial(...).expand(...)`, and `function.override(env=...)`; True if it is seen to."""
        inner = func.value
        partial = inner.func if isinstance(inner, ast.Call) else None
        if func.attr in ("expand", "expand_kwargs") and isinstance(partial, ast.Attribute):
            assert isinstance(inner, ast.Call)
            if self._name(partial.value) in _OPERATORS:
                mapped = keywords(node) if func.attr == "expand" else self._kwargs(node)
                self._operator(node, {**keywords(inner), **mapped})
                return True
        if func.attr == "override" and isinstance(inner, ast.Name) and inner.id in self.decorated:
            function, given = self.decorated[inner.id]
            changed = keywords(node)
            if {"env", "task_id", "cpu", "memory", "max_memory", "gpu", "container_resources"} & changed.keys():
                self._add("task", node, {**given, **changed}, (self.source, function), function.name)
        return False

    def _kwargs(self, node: ast.Call) -> dict[str, ast.expr]:
        """The values of ``env`` that ``.expand_kwargs([{...}, ...])`` maps over, as one list."""
        items = node.args[0].elts if node.args and isinstance(node.args[0], ast.List | ast.Tuple) else None
        if items is None:
            return {}
        found = [
            value
            for item in items
            if isinstance(item, ast.Dict)
            for key, value in zip(item.keys, item.values, strict=True)
            if isinstance(key, ast.Constant) and key.value == "env"
        ]
        return {"env": ast.copy_location(ast.List(found, ast.Load()), node)} if found else {}

    def _decorated(self, node: Function, maker: ast.Call) -> None:
        given = self._first_name(maker)
        self.decorated[node.name] = node, given
        self._add("task", maker, given, (self.source, node), node.name)

    def _called(self, node: ast.Call) -> None:
        if not node.args:
            return
        callable = node.args[1] if len(node.args) > 1 else None
        self._task("call", node, callable, {"env": node.args[0]})

    def _operator(self, node: ast.Call, given: dict[str, ast.expr]) -> None:
        self._task("operator", node, given.get("python_callable"), given)

    def _task(
        self,
        kind: Kind,
        node: ast.Call,
        callable: ast.expr | None,
        given: dict[str, ast.expr],
        first: list[ast.expr] | None = None,
    ) -> None:
        if first:
            given = {"env": first[0], **given}
        where = self._function(callable) if callable is not None else None
        name = where[1].name if where else ""
        if kind == "call":
            name = self.at.inside or (self.at.scopes[0].name if isinstance(self.at.scopes[0], Function) else name)
        self._add(kind, node, given, where, name, callable)

    def _add(
        self,
        kind: Kind,
        node: ast.Call,
        given: Mapping[str, ast.expr],
        where: tuple[Source, Function] | None,
        name: str,
        callable: ast.expr | None = None,
    ) -> None:
        given = given if kind == "call" else {**self.at.defaults, **given}
        task = name if kind == "call" else self.at.prefix + self._id(given, "task_id", name)
        source, function = where or (None, None)
        arguments = dict(self._arguments(given))
        command = _command(arguments)
        for place, environment in self._environments(given.get("env"), node):
            self.tasks.append(
                Task(
                    kind, self.source, place, self.at.dag, task, environment,
                    source, function, command, arguments, callable, frozenset(given),
                )
            )  # fmt: skip

    def _environments(self, named: ast.expr | None, node: ast.Call) -> Iterator[tuple[ast.expr, str | None]]:
        if named is None:
            yield node, None
            return
        for one in named.elts if isinstance(named, ast.List | ast.Tuple) else [named]:
            try:
                for text in literals.texts(one, self.at.scopes):
                    yield one, text
            except Computed:
                yield one, None

    def _arguments(self, given: Mapping[str, ast.expr]) -> Iterator[tuple[str, Any]]:
        for name, node in given.items():
            try:
                yield name, literals.value(node, self.at.scopes)
            except (Computed, TypeError):
                continue

    # Names

    def _name(self, node: ast.expr) -> str:
        return self.source.dotted(node)

    def _first_name(self, maker: ast.Call) -> dict[str, ast.expr]:
        return {"env": maker.args[0], **keywords(maker)} if maker.args else keywords(maker)

    def _is_decorator(self, node: ast.expr) -> bool:
        name = self._name(node)
        return name in _DECORATORS or name.endswith(_OF_TASK)

    def _maker(self, node: ast.expr) -> ast.Call | None:
        """The call of ``task.env`` that an expression is, by itself or through a name."""
        if isinstance(node, ast.Call) and self._is_decorator(node.func):
            return node
        return self.makers.get(node.id) if isinstance(node, ast.Name) else None

    def _function(self, node: ast.expr) -> tuple[Source, Function] | None:
        """The function that an expression names, here or in a module beside the DAGs."""
        if isinstance(node, ast.Attribute) and node.attr == "function":  # of a decorated one
            node = node.value
        if isinstance(node, ast.Name):
            for scope in self.at.scopes:
                found = [one for one in _functions(scope.body) if one.name == node.id]
                if found:
                    return self.source, found[-1]
        return self._elsewhere(self._name(node))

    def _elsewhere(self, name: str) -> tuple[Source, Function] | None:
        module, _, last = name.rpartition(".")
        path = self.sources.module(module) if module else None
        if path is None:
            return None
        try:
            source = self.sources.read(path)
        except Unreadable:
            return None
        found = [one for one in _functions(source.tree.body) if one.name == last]
        return (source, found[-1]) if found else None


def _functions(body: list[ast.stmt]) -> Iterator[Function]:
    """The functions that ``body`` binds, those in its branches included."""
    for node in body:
        if isinstance(node, Function):
            yield node
        elif not isinstance(node, ast.ClassDef):
            for block in ("body", "orelse", "finalbody"):
                yield from _functions(getattr(node, block, []))
            for part in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
                yield from _functions(part.body)


def _command(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    words = [*_words(arguments.get("cmds")), *_words(arguments.get("arguments"))]
    return tuple(words) if "cmds" in arguments else ()


def _words(given: Any) -> list[str]:
    return [str(word) for word in given] if isinstance(given, list | tuple) else []
