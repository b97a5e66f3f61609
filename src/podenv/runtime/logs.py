"""What the function logs reaches the task's log: INFO and above with level and name, as Airflow's own tasks do.

Nothing is loaded for it: the module ``logging`` is set up when the function, or what it uses, imports it.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # typing costs every task milliseconds
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any


def prepare() -> None:
    """Set up ``logging`` as soon as it is imported."""
    if "logging" in sys.modules:  # by the interpreter's start
        _set_up(sys.modules["logging"])
    else:
        sys.meta_path.insert(0, _Watch())


class _Watch:
    """Finds ``logging`` as the others do, and sets it up once it is loaded."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != "logging":
            return None
        sys.meta_path.remove(self)  # it is loaded once
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                spec.loader = _Loader(spec.loader)  # type: ignore[assignment]
                return spec
        return None


class _Loader:
    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: Any) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # From here on the module is as if this loader had never been.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        _set_up(module)


def _set_up(logging: Any) -> None:
    """The root logger gets no handler, so that ``basicConfig`` and ``dictConfig`` of the function's own still work.

    `logging.lastResort` writes what finds no handler, to what ``sys.stderr`` is at that moment.
    """
    logging.getLogger().setLevel(logging.INFO)
    logging.lastResort.setLevel(logging.NOTSET)
    logging.lastResort.setFormatter(logging.Formatter(logging.BASIC_FORMAT))
