"""The modules beside the DAG that a function imports, and what those import: found by AST, sent with the Call."""

from __future__ import annotations

import ast
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import decode_source
from pathlib import Path

from podenv.call.tree import Import, is_type_checking, syntax_tree
from podenv.call.units import AIRFLOW
from podenv.errors import SettingError, SourceError
from podenv.runtime.call import pack

DATA_FILE_LIMIT = 256 * 1024
"""Bytes of a data file that travels."""

_BINARY = (*EXTENSION_SUFFIXES, ".pyd", ".dll", ".dylib")
# Functions of importlib and pkgutil whose first argument names a module.
_NAMING = frozenset({
    "contents", "files", "get_data", "import_module", "is_resource", "open_binary", "open_text", "path", "read_binary",
    "read_text",
})  # fmt: skip
_RESOURCES = frozenset({"importlib.resources", "importlib_resources", "pkgutil"})


@dataclass(frozen=True)
class Module:
    """A module as it travels; a folder without ``__init__.py`` has no file that is there."""

    name: str
    file: Path
    is_package: bool
    text: str
    is_folder: bool = False


@dataclass
class Modules:
    """What travels: ``packed`` as it is sent, the top-level ``names``, and the ``files`` with their sizes in bytes."""

    packed: str = ""
    names: list[str] = field(default_factory=list)
    files: dict[Path, int] = field(default_factory=dict)
    texts: list[Module] = field(default_factory=list)


def folders(configured: str) -> list[Path]:
    """Where modules beside a DAG are looked for: in PODENV_CODE, in ``configured``, else where this process imports.

    Airflow adds the root of the DAG's bundle to that, Python the folder of a script. Raises SettingError.
    """
    for setting, chosen in (("PODENV_CODE", os.environ.get("PODENV_CODE")), ("[podenv] code", configured)):
        found = [Path(one.strip()).expanduser().absolute() for one in (chosen or "").split(",") if one.strip()]
        for folder in found:
            if not folder.is_dir():
                raise SettingError(
                    f"{setting} names {folder}, which is not a folder; name folders, with commas between."
                )
        if found:
            return found
    return [folder for folder in dict.fromkeys(Path(one).absolute() for one in sys.path) if _is_project(folder)]


def find(nodes: Iterable[ast.stmt], roots: Sequence[Path], *, package: str, file: str) -> Modules:
    """What ``nodes``, statements of ``file`` in ``package``, import from ``roots``, and what that imports.

    Raises SourceError for what cannot travel.
    """
    search = _Search(roots, package.partition(".")[0], _own_root(package, file))
    search.follow(_scan(list(nodes)), package=package, where=file)
    return search.modules()


@dataclass(frozen=True)
class _Scan:
    """The modules that statements import (relative ones begin with dots), with their lines; True if they read data."""

    imports: tuple[tuple[str, int], ...]
    reads_data: bool


class _Search:
    """Looks in ``roots``, and for the function's own top-level package ``own_name`` also in ``own_root``."""

    def __init__(self, roots: Sequence[Path], own_name: str, own_root: Path | None) -> None:
        self._roots = roots
        self._own_name = own_name
        self._own_root = own_root
        self._found: dict[str, Module | None] = {}
        self._projects: dict[str, Path] = {}  # of each top-level name
        self._reads_data = False
        self._listed: dict[Path, frozenset[str]] = {}

    def follow(self, scan: _Scan, *, package: str, where: str) -> None:
        """Find what ``scan`` imports, and what that imports."""
        todo = [(scan, package, where)]
        while todo:
            one, inside, file = todo.pop()
            self._reads_data |= one.reads_data
            for name, line in one.imports:
                for module in self._import(_absolute(name, inside), f"{file}:{line}"):
                    own = module.name if module.is_package else module.name.rpartition(".")[0]
                    todo.append((_scan_file(module.text, str(module.file)), own, str(module.file)))

    def modules(self) -> Modules:
        """All that was found; a folder without anything that travels is not a package."""
        found = {one.name: one for one in self._found.values() if one is not None}
        data = {
            name: files
            for name, one in found.items()
            if one.is_package and self._reads_data
            if (files := _data(one.file.parent, self._projects[name.partition(".")[0]]))
        }
        full = {name for name, one in found.items() if not one.is_folder or name in data}
        kept = [one for name, one in sorted(found.items()) if any(f"{other}.".startswith(f"{name}.") for other in full)]
        if not kept:
            return Modules()
        sizes = {one.file: len(one.text.encode("utf-8", "surrogatepass")) for one in kept if not one.is_folder}
        for name, files in data.items():
            sizes |= {found[name].file.parent / path: len(content) for path, content in files.items()}
        packed = _packed(tuple(kept), tuple((name, tuple(files.items())) for name, files in sorted(data.items())))
        return Modules(packed, sorted({one.name.partition(".")[0] for one in kept}), sizes, kept)

    def _import(self, name: str, where: str) -> Iterator[Module]:
        """The modules that an import of ``name`` loads and that were not found before; `a.*` is all of package a."""
        top = name.partition(".")[0]
        if not top or top in AIRFLOW or top in sys.stdlib_module_names:
            return
        parts = name.split(".")
        for count in range(1, len(parts) + 1):
            if parts[count - 1] == "*":
                above = self._found.get(".".join(parts[: count - 1]))
                if above is not None and above.is_package:
                    for child in sorted(self._names_in(above.file.parent)):
                        yield from self._import(f"{above.name}.{child}", where)
                return
            step = ".".join(parts[:count])
            if step not in self._found:
                self._found[step] = module = self._locate(step, where)
                if module is not None:
                    _check_inside(module.file, self._projects[top], where)
                    yield module
            if self._found[step] is None:
                return

    def _locate(self, name: str, where: str) -> Module | None:
        above, _, last = name.rpartition(".")
        if above:
            parent = self._found[above]
            return None if parent is None or not parent.is_package else self._in(parent.file.parent, name, last, where)
        roots = [*self._roots, *([self._own_root] if self._own_root and name == self._own_name else [])]
        places = [(root, module) for root in roots if (module := self._in(root, name, last, where)) is not None]
        if not places:
            return None
        root, first = next((place for place in places if not place[1].is_folder), places[0])
        for _, other in places:
            # A package may differ inside; a folder without __init__.py is none where there is a real one.
            same = other.file.resolve() == first.file.resolve() if first.is_package else other.text == first.text
            if not same and not other.is_folder:
                raise SourceError(
                    f"{where}: {name} is in two folders, {first.file} and {other.file}; rename one of them, or set "
                    "[podenv] code to the folder that is meant."
                )
        self._projects[name] = _project(root.resolve())
        return first

    def _in(self, folder: Path, name: str, last: str, where: str) -> Module | None:
        """The module ``name`` in ``folder``; a folder without ``__init__.py`` is a package without text."""
        listed = self._list(folder)
        if last in listed and "__init__.py" in self._list(folder / last):
            return _module(name, folder / last / "__init__.py", is_package=True)
        for binary in (f"{last}{suffix}" for suffix in _BINARY):
            if binary in listed:
                raise SourceError(
                    f"{where}: {folder / binary} is a binary module, made for this machine's Python, and does not "
                    "travel; put it into `packages` of the environment."
                )
        if f"{last}.py" in listed:
            return _module(name, folder / f"{last}.py", is_package=False)
        inner = self._list(folder / last) if last in listed else frozenset()
        # One inside a package may hold data only.
        if any(one.endswith(".py") or "." not in one or "." in name for one in inner):
            return Module(name, folder / last / "__init__.py", True, "", is_folder=True)
        return None

    def _list(self, folder: Path) -> frozenset[str]:
        if folder not in self._listed:
            try:
                self._listed[folder] = frozenset(os.listdir(folder))  # noqa: PTH208 - a Path for each name costs more
            except OSError:
                self._listed[folder] = frozenset()
        return self._listed[folder]

    def _names_in(self, folder: Path) -> set[str]:
        return {one.removesuffix(".py") for one in self._list(folder) if one.endswith(".py") and one != "__init__.py"}


def _absolute(name: str, package: str) -> str:
    level = len(name) - len(name.lstrip("."))
    if not level:
        return name
    above = package.split(".")[: len(package.split(".")) - level + 1] if package else []
    return ".".join([*above, name[level:]]).strip(".") if above else ""


def _module(name: str, file: Path, *, is_package: bool) -> Module:
    try:
        stamp = file.stat()
        return Module(name, file, is_package, _read(file, stamp.st_mtime_ns, stamp.st_size))
    except OSError as error:
        raise SourceError(f"{file} cannot be read: {error.strerror}.") from None


@lru_cache(maxsize=1024)
def _read(file: Path, _: int, __: int) -> str:
    try:
        return decode_source(file.read_bytes())
    except (SyntaxError, UnicodeDecodeError) as error:
        raise SourceError(f"{file} is not readable as Python: {error}.") from None


@lru_cache(maxsize=1024)
def _scan_file(text: str, file: str) -> _Scan:
    try:
        return _scan(syntax_tree(text).body)
    except SyntaxError as error:
        raise SourceError(f"{file}:{error.lineno} is not valid Python: {error.msg}.") from None
    except ValueError as error:  # a null byte, before Python 3.12
        raise SourceError(f"{file} is not valid Python: {error}.") from None


def _scan(nodes: Sequence[ast.AST]) -> _Scan:
    imports: list[tuple[str, int]] = []
    reads_data = False
    todo: list[ast.AST] = list(nodes)
    while todo:
        node = todo.pop()
        if isinstance(node, Import):
            for name in _named(node):
                reads_data |= name in _RESOURCES
                imports.append((name, node.lineno))
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "attr", None) or getattr(node.func, "id", "")
            if (
                called in _NAMING
                and isinstance(node.args[0].value, str)
                and node.args[0].value.replace(".", "").isidentifier()
            ):
                imports.append((node.args[0].value, node.lineno))
        if isinstance(node, ast.stmt) and is_type_checking(node):
            todo += getattr(node, "orelse", [])
        else:
            todo += ast.iter_child_nodes(node)
    return _Scan(tuple(dict.fromkeys(imports)), reads_data)


def _named(node: Import) -> list[str]:
    """The modules that an import may load: of ``from a import b`` also ``a.b``."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = "." * node.level + (node.module or "")
    return [base, *(f"{base}{'.' if node.module else ''}{alias.name}" for alias in node.names)]


def _data(folder: Path, project: Path) -> dict[str, bytes]:
    """The data files of the package in ``folder``, by their paths in it."""
    found: dict[str, bytes] = {}
    for above, inner, files in os.walk(folder):
        inner[:] = sorted(one for one in inner if not one.startswith((".", "__pycache__")))
        for one in sorted(files):
            file = Path(above, one)
            if one.startswith(".") or one.endswith((".py", ".pyc", ".pyi", *_BINARY)) or not file.is_file():
                continue
            if (size := file.stat().st_size) > DATA_FILE_LIMIT:
                raise SourceError(
                    f"{file} is {size / 1024**2:.1f} MiB, and a data file that travels with a package holds at most "
                    f"{DATA_FILE_LIMIT // 1024} KiB: put the package into `packages` of the environment, or the file "
                    "into storage."
                )
            _check_inside(file, project, str(folder))
            try:
                found[file.relative_to(folder).as_posix()] = file.read_bytes()
            except OSError as error:
                raise SourceError(f"{file} cannot be read: {error.strerror}.") from None
    return found


@lru_cache(maxsize=64)
def _packed(modules: tuple[Module, ...], data: tuple[tuple[str, tuple[tuple[str, bytes], ...]], ...]) -> str:
    texts = {one.name: (str(one.file), one.is_package, None if one.is_folder else one.text) for one in modules}
    return pack(texts, {name: dict(files) for name, files in data})


def _check_inside(file: Path, project: Path, where: str) -> None:
    """Refuse what a symbolic link brings from outside the project."""
    real = file.resolve()
    if not real.is_relative_to(project):
        raise SourceError(
            f"{where}: {file} is a symbolic link to {real}, outside of the project {project}; copy it into the "
            "project, or put it into `packages` of the environment."
        )


@lru_cache(maxsize=64)
def _project(root: Path) -> Path:
    """The folder that holds ``envs/`` or a repository; ``root`` where there is none."""
    for above in (root, *root.parents):
        if (above / "envs").is_dir() or (above / ".git").exists():
            return above
    return root


@lru_cache(maxsize=256)
def _is_project(entry: Path) -> bool:
    """True if ``entry`` of sys.path is a folder of somebody's own: not Python's, nor one of installed packages."""
    folder = entry.resolve()
    if not folder.is_dir() or {"site-packages", "dist-packages"} & set(folder.parts):
        return False
    installed = [Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "platstdlib", "scripts")]
    return not any(folder.is_relative_to(one) for one in installed)


def _own_root(package: str, file: str) -> Path | None:
    """The folder of the function's own top-level package, which may be an installed one."""
    if not package or not Path(file).is_file():
        return None
    folder = Path(file).absolute().parent
    parts = package.split(".")
    return folder.parents[len(parts) - 1] if tuple(parts) == folder.parts[-len(parts) :] else None
