"""The Python files of a project: read once, with what they import and which modules stand beside them."""

from __future__ import annotations

import ast
import os
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from pathlib import Path

from podenv.call.tree import syntax_tree

Function = ast.FunctionDef | ast.AsyncFunctionDef
_LEFT_OUT = ("__pycache__", "node_modules", "site-packages")


class Unreadable(Exception):
    """A file that cannot be parsed: ``line`` and ``column`` where, and ``why``."""

    def __init__(self, why: str, line: int = 1, column: int = 1) -> None:
        super().__init__(why)
        self.why = why
        self.line = line
        self.column = column


@dataclass(eq=False)
class Source:
    """One file: its ``path``, the ``name`` that a person here would call it by, its ``text`` and its ``tree``."""

    path: Path
    name: str
    text: str
    tree: ast.Module

    @cached_property
    def lines(self) -> list[str]:
        """The lines as Python counts them, without their ends."""
        return self.text.split("\n")

    @cached_property
    def imported(self) -> dict[str, str]:
        """Local name -> dotted name, of every absolute import in the file, at any depth."""
        found: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    top = alias.name.partition(".")[0]
                    found[alias.asname or top] = alias.name if alias.asname else top
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
        return found

    @cached_property
    def _parents(self) -> dict[ast.AST, ast.AST]:
        return {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    def above(self, node: ast.AST) -> Iterator[ast.stmt]:
        """The statements around ``node``, the innermost first."""
        while (found := self._parents.get(node)) is not None:
            if isinstance(found, ast.stmt):
                yield found
            node = found

    @cached_property
    def _statements(self) -> dict[tuple[type, int, int], ast.stmt]:
        found = (node for node in ast.walk(self.tree) if isinstance(node, ast.stmt))
        return {(type(node), node.lineno, node.col_offset): node for node in found}

    def statement(self, node: ast.stmt) -> ast.stmt | None:
        """The statement of this file's tree that ``node``, of another tree of the same text, is."""
        return self._statements.get((type(node), node.lineno, node.col_offset))

    def dotted(self, node: ast.expr) -> str:
        """What an expression like ``sdk.task.env`` names, through the file's imports; empty for other expressions."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        return ".".join([self.imported.get(node.id, node.id), *reversed(parts)])


@dataclass
class Sources:
    """Files by their path, each parsed once; ``roots`` are the folders in which modules are looked for."""

    roots: Sequence[Path]
    _parsed: dict[Path, Source | Unreadable] = field(default_factory=dict)

    def read(self, path: Path) -> Source:
        """The file at ``path``. Raises `Unreadable`."""
        path = path.absolute()
        if path not in self._parsed:
            try:
                self._parsed[path] = parse(path)
            except Unreadable as error:
                self._parsed[path] = error
        found = self._parsed[path]
        if isinstance(found, Unreadable):
            raise found
        return found

    def module(self, name: str) -> Path | None:
        """The file of the module ``name`` beside the DAGs; None where there is none."""
        for root in self.roots:
            stem = root.joinpath(*name.split("."))
            for file in (stem / "__init__.py", stem.with_name(f"{stem.name}.py")):
                if file.is_file():
                    return file
        return None

    def has(self, name: str) -> bool:
        """True if ``name`` is a module beside the DAGs, or a folder of them without an __init__.py."""
        if self.module(name) is not None:
            return True
        folders = (root.joinpath(*name.split(".")) for root in self.roots)
        return any(folder.is_dir() and next(folder.rglob("*.py"), None) is not None for folder in folders)

    def package(self, path: Path) -> str:
        """The package that the module at ``path`` belongs to; empty at the top."""
        for root in self.roots:
            if path.is_relative_to(root):
                return ".".join(path.relative_to(root).parent.parts)
        return ""


def parse(path: Path) -> Source:
    """The file at ``path``. Raises `Unreadable`."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise Unreadable(str(error.strerror)) from None
    try:
        encoding, _ = tokenize.detect_encoding(BytesIO(raw).readline)
        text = raw.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
    except (SyntaxError, UnicodeDecodeError, LookupError):
        raise Unreadable("it is not text in UTF-8, nor in an encoding that its first lines name") from None
    try:
        tree = syntax_tree(text)
    except SyntaxError as error:
        raise Unreadable(error.msg, error.lineno or 1, error.offset or 1) from None
    except ValueError as error:  # a null byte
        raise Unreadable(str(error)) from None
    except (RecursionError, MemoryError):
        raise Unreadable("its expressions are nested too deeply") from None
    return Source(path, shown(path), text.removeprefix("\ufeff"), tree)


def binds(node: ast.stmt) -> Iterator[str]:
    """The names that a statement binds where it stands: a definition, an import, an assignment."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from (target.id for target in targets if isinstance(target, ast.Name))


def shown(path: Path) -> str:
    """``path`` from the working directory, with slashes; whole where it lies outside."""
    relative = os.path.relpath(path)
    return Path(path if relative.startswith("..") else relative).as_posix()


def files(paths: Sequence[Path], suffix: str = ".py") -> Iterator[Path]:
    """The files that ``paths`` name, folders searched; hidden folders and virtual environments are left out."""
    for path in paths:
        if path.is_dir():
            yield from _below(path, suffix)
        elif path.suffix == suffix:
            yield path


def _below(folder: Path, suffix: str) -> Iterator[Path]:
    for above, folders, names in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and name not in _LEFT_OUT and not Path(above, name, "pyvenv.cfg").exists()
        )
        yield from (Path(above, name) for name in sorted(names) if name.endswith(suffix) and not name.startswith("."))
