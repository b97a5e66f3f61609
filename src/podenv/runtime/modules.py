"""The modules that travelled with a Call: imported from memory, where the environment has none of the name.

Nothing is written, but for bytecode where podenv says where (on a laptop, so that a module is compiled once).
"""

from __future__ import annotations

import sys
from _frozen_importlib import ModuleSpec  # importlib.machinery's own, which costs nothing
from _frozen_importlib_external import SourceLoader as _Basics

TYPE_CHECKING = False  # typing costs every task milliseconds
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType
    from typing import Any


class Modules:
    """A finder of what travelled; what the environment has goes before it.

    ``names`` are top-level names; ``load`` brings what travelled when the first of it is imported: for each module
    its file, True for a package, and its text, None for a folder without ``__init__.py``; and packages' data files.
    """

    def __init__(self, names: list[str], load: Callable[[], dict[str, Any]], bytecode: str = "") -> None:
        self._load = load
        self._bytecode = bytecode
        self._loaded: dict[str, Any] | None = None
        self._first: list[str] = []
        self._names = [name for name in names if self._may_be_imported(name)]

    def install(self) -> None:
        """Be the last of `sys.meta_path`, and for some names the first."""
        sys.meta_path.append(self)
        if self._first:
            sys.meta_path.insert(0, _Before(self, self._first))

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name == "airflow":
            raise ModuleNotFoundError(
                "No module named 'airflow': this environment has none. Let a module that travels import it inside the "
                "functions that need it, or move what the task uses into a module without it",
                name=name,
            )
        if name.partition(".")[0] not in self._names or name not in self.found["modules"]:
            return None
        file, is_package, _ = self.found["modules"][name]
        loader: Any = _Loader(self, name)
        spec = ModuleSpec(name, loader, origin=file, is_package=is_package)
        spec.has_location = True
        return spec

    @property
    def found(self) -> dict[str, Any]:
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded

    def texts(self) -> Iterator[tuple[str, str]]:
        """The files of the modules that were imported, and their texts."""
        for name, (file, _, text) in (self._loaded or {"modules": {}})["modules"].items():
            if text and isinstance(getattr(sys.modules.get(name), "__loader__", None), _Loader):
                yield file, text

    def code(self, name: str) -> CodeType:
        file, _, text = self.found["modules"][name]
        text = text or ""
        if not self._bytecode:
            return compile(text, file, "exec", 0, True)
        return _cached(self._bytecode, text, file)

    def _may_be_imported(self, name: str) -> bool:
        """False if the environment has a module of this name, which a line then says.

        A folder without ``__init__.py`` is none where a real one travelled, as in plain Python.
        """
        for finder in sys.meta_path:
            spec = finder.find_spec(name, None) if hasattr(finder, "find_spec") else None
            if spec is not None and spec.origin is not None:
                shown = f"{name} is the environment's own, from {spec.origin}; the one beside the DAG is not used."
                print(shown)  # noqa: T201 - the task's log
                return False
            if spec is not None:
                if self.found["modules"][name][2] is not None:
                    self._first.append(name)
                break
        return True


class _Before:
    """The finder of names that the environment has as mere folders."""

    def __init__(self, modules: Modules, names: list[str]) -> None:
        self._modules = modules
        self._names = names

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        return self._modules.find_spec(name) if name.partition(".")[0] in self._names else None


class _Loader(_Basics):
    """Loads one module, and reads the data files of its package.

    Python's own `exec_module` asks `get_code`, and is left out of tracebacks as any import is.
    """

    def __init__(self, modules: Modules, name: str) -> None:
        self._modules = modules
        self._name = name

    def get_code(self, name: str) -> CodeType:
        return self._modules.code(name)

    def get_source(self, name: str) -> str:
        return str(self._modules.found["modules"][name][2] or "")

    def get_filename(self, name: str) -> str:
        return str(self._modules.found["modules"][name][0])

    def is_package(self, name: str) -> bool:
        return bool(self._modules.found["modules"][name][1])

    def get_data(self, path: str) -> bytes:
        """A data file by its path, as `pkgutil.get_data` asks for it."""
        for package, files in self._modules.found["data"].items():
            folder = self.get_filename(package).rpartition("/")[0] + "/"
            if path.startswith(folder) and path[len(folder) :] in files:
                return bytes(files[path[len(folder) :]])
        raise FileNotFoundError(2, "This file did not travel", path)

    def get_resource_reader(self, name: str) -> Any:
        if not self.is_package(name):
            return None
        from .resources import Reader

        return Reader(self._modules.found["data"].get(name, {}), name)

    @property
    def archive(self) -> Any:
        """Where `importlib.resources.files` of Python 3.9 looks, which asks no reader."""
        if tuple(sys.version_info) >= (3, 10) or not self.is_package(self._name):
            raise AttributeError("archive")
        from .resources import archive

        folder, _, name = self.get_filename(self._name).rpartition("/")[0].rpartition("/")
        return archive(self._modules.found["data"].get(self._name, {}), folder, name)


def _cached(folder: str, text: str, file: str) -> CodeType:
    """The code of ``text``, from bytecode that an earlier task left in ``folder``, a folder of this interpreter."""
    import marshal
    import os

    from .frame import sha256

    name = os.path.join(folder, sha256(f"{file}\0{text}".encode("utf-8", "surrogatepass")).hexdigest()[:32])  # noqa: PTH118
    try:
        with open(name, "rb") as stored:  # noqa: PTH123 - pathlib costs every task milliseconds
            return marshal.loads(stored.read())  # type: ignore[no-any-return]  # noqa: S302 - podenv wrote it
    except (OSError, EOFError, ValueError, TypeError):
        code = compile(text, file, "exec", 0, True)
    try:
        os.makedirs(folder, exist_ok=True)  # noqa: PTH103
        beside = f"{name}.{os.getpid()}"
        with open(beside, "wb") as made:  # noqa: PTH123
            made.write(marshal.dumps(code))
        os.replace(beside, name)  # noqa: PTH105
    except OSError:
        pass  # the next task compiles it again
    return code
