"""Whether a module really lacks a name: ty does not read compiled modules, nor what a module does to itself."""

from __future__ import annotations

import ast
import re
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from podenv.call.tree import syntax_tree
from podenv.check import engine
from podenv.check.modules import Modules
from podenv.check.shelf import Shelf
from podenv.check.sources import binds

_MEMBER = re.compile(r"Module `([\w.]+)` has no member `(\w+)`")
# Ways in which a module gets names that its text does not show.
_DYNAMIC = re.compile(r"\bglobals\s*\(|\bsetattr\s*\(|\bvars\s*\(|__dict__|sys\.modules|__getattr__|\bexec\s*\(")


def of_module(said: str) -> tuple[str, str] | None:
    """The module and the member in what ty says of a missing one; None where it is about an object."""
    match = _MEMBER.search(said)
    return (match[1], match[2]) if match else None


class Members:
    """The names of the modules on one shelf."""

    def __init__(self, shelf: Shelf, modules: Modules) -> None:
        self._folder = shelf.packages
        self._modules = modules

    def lacks(self, module: str, name: str) -> bool:
        """True if it is certain that ``module`` has no ``name``."""
        if any(part.startswith("_") for part in (*module.split("."), name)) or module == engine.VIEWS:
            return False
        if module not in self._modules:
            # The standard library, which ty knows by version; it leaves out old names of OSError, like `mmap.error`.
            return name != "error"
        if f"{module}.{name}" in self._modules:
            return False
        stem = self._folder.joinpath(*module.split("."))
        if any(file.is_file() for file in (stem.with_name(f"{stem.name}.pyi"), stem / "__init__.pyi")):
            return True  # its authors wrote down what it has
        for file in (stem / "__init__.py", stem.with_name(f"{stem.name}.py")):
            if file.is_file():
                return not _is_dynamic(file)
        return False

    def names(self, module: str) -> list[str]:
        """Public names that the text of ``module`` binds at its top, to tell what was probably meant."""
        stem = self._folder.joinpath(*module.split("."))
        alone = [stem.with_name(f"{stem.name}{suffix}") for suffix in (".pyi", ".py")]
        for file in (stem / "__init__.pyi", alone[0], stem / "__init__.py", alone[1]):
            with suppress(OSError, SyntaxError, ValueError, RecursionError):
                body = syntax_tree(file.read_text(errors="replace")).body
                return sorted({name for node in body for name in binds(node) if not name.startswith("_")})
        return []


@lru_cache(maxsize=1024)
def _is_dynamic(file: Path) -> bool:
    try:
        text = file.read_text(errors="replace")
        if _DYNAMIC.search(text):
            return True
        tree = syntax_tree(text)
    except (OSError, SyntaxError, ValueError, RecursionError):
        return True
    stars = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    return any(alias.name == "*" for node in stars for alias in node.names)
