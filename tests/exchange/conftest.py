"""Environments that share no library and no Python, a store in a folder, and tasks in them."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.local.conftest import add_environment

from podenv.call import source
from podenv.catalogue.environment import Catalogue
from podenv.local import Limits, LocalRun
from podenv.runtime.reference import references


@pytest.fixture(scope="session", autouse=True)
def _cache(cache: Path) -> None:
    """All tests here share one."""


@pytest.fixture(scope="session")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """Environments, each with another library for tables; ``engineless`` has pandas and nothing for Parquet."""
    root = tmp_path_factory.mktemp("project") / "envs"
    add_environment(root, "pandas", "3.11", "pandas==2.1.*", "numpy<2", "pyarrow<20")
    add_environment(root, "engineless", "3.11", "pandas==2.1.*", "numpy<2")
    add_environment(root, "fastparquet", "3.11", "pandas==2.1.*", "numpy<2", "fastparquet")
    add_environment(root, "polars", "3.13", "polars")
    add_environment(root, "arrow", "3.13", "pyarrow")
    add_environment(root, "old", "3.8", "iniconfig==2.0.0")
    return Catalogue(root)


@dataclass
class Tasks:
    """Runs functions in environments by name; ``store`` is the folder of their values, ``lines`` the log.

    ``usage`` is what the runtime measured of the last one.
    """

    catalogue: Catalogue
    store: Path
    lines: list[str] = field(default_factory=list)
    usage: dict[str, float] = field(default_factory=dict)

    def __call__(self, environment: str, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        run = LocalRun(self.catalogue[environment], limits=Limits(), env={}, emit=self.lines.append)
        call = source.build_call(function, args, options.pop("kwargs", {}), None)
        try:
            return run.call(call, ticket=self.ticket([*call.args, *call.kwargs.values()], **options))
        finally:
            self.usage = run.result.usage if run.result else {}

    def ticket(self, arguments: Any, *, everything: bool = False, most: int = 32) -> dict[str, Any]:
        prefix = secrets.token_hex(4)
        return {
            "put": [self.address(f"{prefix}/{number}") for number in range(most)],
            "get": {one.key: self.address(one.key) for one in references(arguments)},
            "all": everything,
        }

    def kept(self) -> list[str]:
        """The files of the store."""
        return [str(one.relative_to(self.store)) for one in self.store.rglob("*") if one.is_file()]

    def address(self, key: str) -> dict[str, Any]:
        return {"url": (self.store / key).as_uri(), "headers": {}, "key": key}


@pytest.fixture
def tasks(catalogue: Catalogue, tmp_path: Path) -> Tasks:
    return Tasks(catalogue, tmp_path / "store")
