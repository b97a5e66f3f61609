"""As much of Airflow as a DAG file needs to be loaded, where the real one costs two seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


class _Task:
    """``@task``, ``@task.env(...)``: what it returns is an object that knows the function."""

    def __init__(self, function: Any = None) -> None:
        self.__wrapped__ = function

    def env(self, *names: Any, **options: Any) -> Callable[[Any], Any]:
        return _Task

    def __call__(self, function: Any) -> Any:
        return _Task(function)


class _Dag:
    def __init__(self, *names: str) -> None: ...

    def __enter__(self) -> _Dag:
        return self

    def __exit__(self, *error: object) -> None: ...


class _Variable:
    @staticmethod
    def get(name: str) -> str:
        return f"the value of {name}"


def _dag(function: Any) -> Any:
    return function


@contextmanager
def loaded() -> Iterator[None]:
    """While this lasts, ``airflow`` is this."""
    airflow, sdk = ModuleType("airflow"), ModuleType("airflow.sdk")
    for name, value in {"task": _Task(), "DAG": _Dag, "Variable": _Variable, "dag": _dag}.items():
        for one in (value, type(value)):
            if getattr(one, "__module__", "").startswith("tests."):
                one.__module__ = "airflow.sdk"
        setattr(sdk, name, value)
    airflow.sdk = sdk  # type: ignore[attr-defined]
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "airflow"}
    for name in before:
        del sys.modules[name]
    sys.modules.update({"airflow": airflow, "airflow.sdk": sdk})
    try:
        yield
    finally:
        del sys.modules["airflow"], sys.modules["airflow.sdk"]
        sys.modules.update(before)


def load(path: Any, text: str) -> dict[str, Any]:
    """The names of the DAG file ``path`` with this text."""
    path.write_text(text)
    namespace: dict[str, Any] = {"__name__": path.stem, "__file__": str(path)}
    with loaded():
        exec(compile(text, str(path), "exec", dont_inherit=True), namespace)
    return namespace
