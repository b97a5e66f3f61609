"""One small catalogue with real locks, and one cache of virtual environments, for all tests of the local backend."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from podenv import lock, venv
from podenv.call import source
from podenv.catalogue.environment import Catalogue, Environment
from podenv.local import Limits, LocalRun


@pytest.fixture(scope="session", autouse=True)
def _cache(cache: Path) -> None:
    """All tests here share one."""


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that is empty at first."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("PODENV_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """``small`` (Python 3.11, six) and ``old`` (Python 3.8), with their locks."""
    root = tmp_path_factory.mktemp("project") / "envs"
    add_environment(root, "small", "3.11", "six==1.16.0")
    add_environment(root, "old", "3.8", "iniconfig==2.0.0")
    return Catalogue(root)


@pytest.fixture
def own_catalogue(catalogue: Catalogue, tmp_path: Path) -> Catalogue:
    """A copy of the catalogue that a test may change."""
    shutil.copytree(catalogue.root, tmp_path / "envs")
    return Catalogue(tmp_path / "envs")


def add_environment(root: Path, name: str, python: str, *requirements: str) -> Environment:
    """An environment with a fresh lock."""
    (root / name).mkdir(parents=True)
    (root / name / "values.yaml").write_text(f'python: "{python}"\n')
    (root / name / "requirements.in").write_text("".join(f"{one}\n" for one in requirements))
    environment = Catalogue(root)[name]
    lock.resolve(environment)
    return environment


def alive(pid: int) -> bool:
    """True if the process lives; a zombie, which waits for its parent only, does not live."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@dataclass
class Runner:
    """Calls functions in the environment ``small``; ``lines`` is what the log got."""

    environment: Environment
    lines: list[str] = field(default_factory=list)

    def run(
        self,
        limits: Limits | None = None,
        *,
        env: Mapping[str, str] | None = None,
        trace: Mapping[str, str] | None = None,
        sampled: bool = False,
        emit: Callable[[str], None] | None = None,
    ) -> LocalRun:
        return LocalRun(
            self.environment,
            limits=limits or Limits(),
            env=env or {},
            emit=emit or self.lines.append,
            trace=trace,
            sampled=sampled,
        )

    def __call__(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        return self.run(**options).call(source.build_call(function, args, {}, None))


@pytest.fixture
def runner(catalogue: Catalogue) -> Runner:
    venv.sync(catalogue["small"])
    return Runner(catalogue["small"])
