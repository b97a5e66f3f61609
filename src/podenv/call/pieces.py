"""What a function uses of its own file, and what that uses: followed from the function, statement by statement."""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Iterable, Iterator, MutableMapping, MutableSequence, MutableSet, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import FunctionType, ModuleType
from typing import Any

from podenv.call import loaded, plain
from podenv.call.loaded import Found
from podenv.call.statements import Piece, globals_set, import_of, part, piece, without
from podenv.call.tree import Function, Import, constant, imported, syntax_tree, used
from podenv.call.units import AIRFLOW, Block, File, Unit

# What every file has besides its own names.
_GIVEN = frozenset(dir(builtins)) | {
    "__annotations__", "__builtins__", "__doc__", "__file__", "__loader__", "__name__", "__package__", "__spec__",
}  # fmt: skip
_ABSENT = object()
_CONTAINERS = (MutableMapping, MutableSequence, MutableSet)


@dataclass(frozen=True)
class Problem:
    """A ``name`` that cannot travel and what to do about it; ``airflow``: it is, or comes from, Airflow's."""

    name: str
    remedy: str
    airflow: bool = False


@dataclass
class Parts:
    """A function and what travels with it.

    ``pieces`` stand in the file, ``inner`` in the function ``around`` it, which has the names ``values`` as well;
    ``constants`` are a notebook's. ``defaults``: those of the function's parameters that travel as values.
    """

    pieces: list[Piece] = field(default_factory=list)
    inner: list[Piece] = field(default_factory=list)
    around: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    constants: dict[str, Any] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    nodes: list[ast.stmt] = field(default_factory=list)
    """The statements that travel; of imports, the parts that do."""


def follow(found: Found, *, wrappers: int, cells: Sequence[File] = ()) -> Parts:
    """``found`` and all that it uses; of its decorators the innermost ones, which wrap it ``wrappers`` times.

    ``cells``: the other cells of its notebook, the newest first.
    """
    return _Follower(found, wrappers, cells).follow()


class _Follower:
    def __init__(self, found: Found, wrappers: int, cells: Sequence[File]) -> None:
        self._file = found.file
        self._node = found.node
        self._function = found.function
        self._notebook = cells
        self._around = found.around
        self._globals = found.function.__globals__
        self._cells = _cells(found.function)
        self._parts = Parts(around=self._around[-1].name if self._around else "")
        self._taken: dict[Unit, set[str]] = {}  # what travels, and the names for which it does
        self._inner: set[Unit] = set()
        self._seen: set[tuple[str, bool]] = set()
        self._airflow: dict[tuple[str, bool], bool] = {}
        self._wrappers = wrappers

    def follow(self) -> Parts:
        parts = self._parts
        decorators = self._decorators()
        parts.defaults = self._defaults()
        travels = without(self._node, decorators, parts.defaults.keys())
        self._need(used([travels]), inner=bool(self._around))
        self._touch()
        self._write(decorators)
        made = {name for unit in self._taken for name in globals_set(unit.node)} | set(globals_set(travels))
        named = {one for one in parts.problems if one.name not in made}
        parts.problems = sorted(named, key=lambda one: (one.name, one.remedy))
        parts.nodes = [part(unit.node, names) for unit, names in self._taken.items()] + [travels]
        return parts

    # What travels

    def _need(self, names: Iterable[str], *, inner: bool) -> None:
        todo = [(name, inner) for name in sorted(names)]
        while todo:
            name, inside = todo.pop()
            itself = name == self._node.name and inside == bool(self._around)
            if (name, inside) not in self._seen and not itself:
                self._seen.add((name, inside))
                todo += self._resolve(name, inside=inside)

    def _resolve(self, name: str, *, inside: bool) -> list[tuple[str, bool]]:
        """Let ``name`` travel; what it uses in turn, with True for what stands in the function around."""
        if inside and plain.is_plain(self._cells.get(name, _ABSENT)):
            self._parts.values[name] = self._cells[name]
            return []
        inside = inside and name in self._locals
        units = self._local_units(name) if inside else self._module_binding(name)
        if not units:
            self._unbound(
                name, self._cells.get(name, _ABSENT) if inside else self._globals.get(name, _ABSENT), inside=inside
            )
            return []
        if self._refused(name, units, inside=inside):
            return []
        if not inside and self._has_another_value(name, units):
            self._parts.constants[name] = self._globals[name]
            return []
        for unit in units:
            self._take(unit, name, inner=inside)
        return [(one, inside) for unit in units for one in sorted(unit.used)]

    def _has_another_value(self, name: str, units: list[Unit]) -> bool:
        """True if the text says another constant than was loaded: the file has changed since."""
        if len(units) > 1 or name not in self._globals or any(name in unit.touched for unit in self._module.touching):
            return False
        literal, value = constant(units[0].node), self._globals[name]
        return literal is not None and plain.is_plain(value) and literal[0] != value

    def _take(self, unit: Unit, name: str, *, inner: bool) -> None:
        self._taken.setdefault(unit, set()).add(name)
        if inner:
            self._inner.add(unit)

    def _touch(self) -> None:
        """Take the statements that change what travels, until nothing more comes."""
        before = -1
        while before != len(self._taken):
            before = len(self._taken)
            needed = {name for names in self._taken.values() for name in names}
            for unit, inside in self._touching():
                certain = (unit.touched | self._registered(unit)) & needed
                touched = certain or self._changed(unit) & needed
                if not touched or unit in self._taken or unit.stays or unit.node in (self._node, *self._around):
                    continue
                if any(self._is_airflow(name, inside=inside) for name in unit.used):
                    changed = sorted(name for name in certain if not isinstance(self._globals.get(name), ModuleType))
                    for name in changed:
                        why = f"line {unit.first_line} changes it by what comes from Airflow: pass it as an argument"
                        self._parts.problems.append(Problem(name, why, airflow=True))
                    continue
                self._take(unit, min(touched), inner=inside)
                self._need(unit.used, inner=inside)

    def _registered(self, unit: Unit) -> set[str]:
        """What the decorators of ``unit`` change, and the classes of this file that hear of their subclasses."""
        found = {name for name in unit.registered if not isinstance(self._globals.get(name), ModuleType)}
        own = self._function.__module__
        for base in unit.node.bases if isinstance(unit.node, ast.ClassDef) else ():
            above = getattr(self._globals.get(base.id), "__mro__", ()) if isinstance(base, ast.Name) else ()
            found |= {one.__name__ for one in above if "__init_subclass__" in vars(one) and one.__module__ == own}
        return found

    def _changed(self, unit: Unit) -> set[str]:
        """The containers that functions of this file change which ``unit`` calls for what they do."""
        names: set[str] = set()
        for function in (one for name in unit.called for one in self._module_binding(name)):
            names |= function.changed | (unit.handed if function.changes_arguments else frozenset())
        return {name for name in names if isinstance(self._globals.get(name), _CONTAINERS)}

    # Where names are bound

    def _touching(self) -> Iterator[tuple[Unit, bool]]:
        for block in self._blocks:
            yield from ((unit, True) for unit in block.touching)
        yield from ((unit, False) for unit in self._module.touching)

    @cached_property
    def _module(self) -> Block:
        return self._file.block(self._file.tree, self._node.lineno)

    @cached_property
    def _blocks(self) -> list[Block]:
        """Of the functions around it, the innermost first."""
        return [self._file.block(around, self._node.lineno) for around in reversed(self._around)]

    def _module_binding(self, name: str) -> list[Unit]:
        others = (cell.block(cell.tree, 0) for cell in self._notebook)
        return next((block.binding[name] for block in (self._module, *others) if name in block.binding), [])

    def _local_units(self, name: str) -> list[Unit]:
        return next((block.binding[name] for block in self._blocks if name in block.binding), [])

    @cached_property
    def _locals(self) -> frozenset[str]:
        """The names of the functions around it."""
        found = set(self._cells)
        for around in self._around:
            found |= {argument.arg for argument in ast.walk(around.args) if isinstance(argument, ast.arg)}
        return frozenset(found.union(*(block.binding for block in self._blocks)))

    # What cannot travel

    def _refused(self, name: str, units: list[Unit], *, inside: bool) -> bool:
        stays = next((unit.stays for unit in units if unit.stays), "")
        if self._is_airflow(name, inside=inside):
            self._parts.problems.append(Problem(name, self._airflow_remedy(name, units, inside=inside), airflow=True))
        elif not inside and not all(loaded.is_from(self._globals.get(name), unit.file) for unit in units):
            raise loaded.Changed
        elif stays:
            remedy = f"{stays}: pass it as an argument, or make it a default, `{name}={name}`"
            self._parts.problems.append(Problem(name, remedy))
        else:
            return False
        return True

    def _is_airflow(self, name: str, *, inside: bool) -> bool:
        """True if ``name`` is Airflow's, or is made with what is."""
        key = name, inside
        if key not in self._airflow:
            self._airflow[key] = False  # where names use each other
            self._airflow[key] = self._comes_from_airflow(name, inside=inside)
        return self._airflow[key]

    def _comes_from_airflow(self, name: str, *, inside: bool) -> bool:
        if inside and plain.is_plain(self._cells.get(name, _ABSENT)):
            return False
        local = inside and name in self._locals
        for unit in self._local_units(name) if local else self._module_binding(name):
            if isinstance(unit.node, Import):
                roots = [module.partition(".")[0] for module in imported(part(unit.node, {name}))]
                if any(root in AIRFLOW for root in roots):
                    return True
            elif unit.imports_airflow or any(self._is_airflow(one, inside=local) for one in unit.used):
                return True
        return False

    def _airflow_remedy(self, name: str, units: list[Unit], *, inside: bool) -> str:
        unit = units[0]
        if isinstance(unit.node, Import):
            return "it is Airflow's: pass what you need of it as an argument, or import it inside the function"
        value = self._cells.get(name) if inside else self._globals.get(name)
        if isinstance(unit.node, Function) and is_airflows(value):
            return f"it is a task, line {unit.first_line}: move what both need into a function without a decorator"
        through = next((one for one in sorted(unit.used) if self._is_airflow(one, inside=inside)), "Airflow")
        where = f"line {unit.first_line} makes it with {through!r}, which comes from Airflow"
        if isinstance(unit.node, Function | ast.ClassDef):
            return f"{where}: pass what it needs as an argument, or import that inside it"
        return f"{where}: pass it as an argument"

    def _unbound(self, name: str, value: Any, *, inside: bool) -> None:
        """A name that no statement here binds: a ``*`` import does, a call of the function around, or others."""
        if not inside and name in _GIVEN:
            return
        statement = self._star_import(name, value) or import_of(name, value, self._function.__module__)
        if is_airflows(value):
            self._parts.problems.append(
                Problem(name, "it is Airflow's: pass what you need of it as an argument", airflow=True)
            )
        elif statement is not None:
            self._take(Unit(File("", statement, ast.Module([], [])), syntax_tree(statement).body[0]), name, inner=False)
        elif value is _ABSENT:
            self._parts.problems.append(Problem(name, "it is not defined; import or define it"))
        elif self._notebook and plain.is_plain(value):
            self._parts.constants[name] = value
        elif isinstance(value, FunctionType) and name in self._function.__code__.co_freevars:
            remedy = "its decorator hides the function: let it use functools.wraps"
            self._parts.problems.append(Problem(name, remedy))
        else:
            self._parts.problems.append(Problem(name, "pass it as an argument"))

    def _star_import(self, name: str, value: Any) -> str | None:
        for node in self._module.stars:
            if value is not _ABSENT:
                module = "." * node.level + (node.module or "")
                package = str(self._globals.get("__package__") or "")
                full = f"{package}{module}" if node.level == 1 else module
                if getattr(sys.modules.get(full), name, _ABSENT) is value and full.partition(".")[0] not in AIRFLOW:
                    return f"from {module} import {name}"
        return None

    # How the function stands

    def _decorators(self) -> list[ast.expr]:
        """Those that wrap the function that the task got; what stands above belongs to the task."""
        kept: list[ast.expr] = []
        for decorator in reversed(self._node.decorator_list):
            if len(kept) == self._wrappers or is_airflows(self._value(_root(decorator))):
                break
            names = sorted(used([ast.copy_location(ast.Expr(decorator), decorator)]))
            airflow = [name for name in names if self._is_airflow(name, inside=bool(self._around))]
            if airflow:
                remedy = (
                    f"the decorator at line {decorator.lineno} wraps the function and needs it, and it comes from "
                    "Airflow: put that decorator above the task's own"
                )
                self._parts.problems.append(Problem(airflow[0], remedy, airflow=True))
                return kept
            kept.insert(0, decorator)
        if self._wrappers and not kept:
            remedy = "it is wrapped by what is not one of its decorators: write that above it, as `@...`"
            self._parts.problems.append(Problem(self._node.name, remedy))
        return kept

    def _value(self, name: str) -> Any:
        return self._cells.get(name, self._globals.get(name))

    def _defaults(self) -> dict[str, Any]:
        """The defaults that are made from names, by their values: a loop's variable has another one by now."""
        arguments = self._node.args
        positional = [*arguments.posonlyargs, *arguments.args]
        pairs = list(zip(positional[len(positional) - len(arguments.defaults) :], arguments.defaults, strict=True))
        values = dict(zip((argument.arg for argument, _ in pairs), self._function.__defaults__ or (), strict=False))
        values |= self._function.__kwdefaults__ or {}
        pairs += [(a, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d is not None]
        return {
            argument.arg: values[argument.arg]
            for argument, default in pairs
            if any(isinstance(part, ast.Name) for part in ast.walk(default))
            and plain.is_plain(values.get(argument.arg, _ABSENT))
        }

    # What is sent

    def _write(self, decorators: list[ast.expr]) -> None:
        parts, node = self._parts, self._node
        first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
        own = Piece(self._file.name, first, "".join(self._file.lines[first - 1 : node.end_lineno]))
        hidden = any(node.name in unit.bound for unit in self._taken)
        inner = bool(self._around) and bool(parts.values or self._inner or hidden)
        order = {cell.name: -number for number, cell in enumerate(self._notebook, 1)}
        for unit, names in self._taken.items():
            (parts.inner if unit in self._inner else parts.pieces).append(piece(unit, names))
        (parts.inner if inner else parts.pieces).append(own)
        for pieces in (parts.inner, parts.pieces):
            pieces.sort(key=lambda one: (one.line > 0, order.get(one.filename, 0), one.line, one.column))


def _root(decorator: ast.expr) -> str:
    """The name that a decorator begins with."""
    while not isinstance(decorator, ast.Name):
        inner = getattr(decorator, "func", None) or getattr(decorator, "value", None)
        if inner is None:
            return ""
        decorator = inner
    return decorator.id


def is_airflows(value: Any) -> bool:
    """True if ``value`` is a module, a class, a function or an object of Airflow's, or of podenv's."""
    module = value.__name__ if isinstance(value, ModuleType) else type(value).__module__
    own = getattr(value, "__module__", None) if isinstance(value, type | FunctionType) else None
    return any(isinstance(one, str) and one.partition(".")[0] in AIRFLOW for one in (module, own))


def _cells(function: FunctionType) -> dict[str, Any]:
    """The values of the names around ``function``, and around the functions among them."""
    found: dict[str, Any] = {}
    todo, seen = [function], set()
    while todo:
        one = todo.pop(0)
        seen.add(one)
        for name, cell in zip(one.__code__.co_freevars, one.__closure__ or (), strict=True):
            try:
                value = cell.cell_contents
            except ValueError:  # not assigned yet
                value = _ABSENT
            found.setdefault(name, value)
            if isinstance(value, FunctionType) and value not in seen:
                todo.append(value)
    return found
