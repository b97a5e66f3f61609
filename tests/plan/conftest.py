"""A project that a test makes up, its DAG files, and the commands in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.packageindex import Index
from typer.testing import CliRunner

from podenv.cli.app import app


class Project:
    """Environments and DAG files in a folder of the test's own."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def environment(self, name: str, asked: str | None, *, python: str = "3.12", values: str = "") -> Path:
        folder = self.root / "envs" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "values.yaml").write_text(f'python: "{python}"\n{values}')
        if asked is not None:
            (folder / "requirements.in").write_text(asked)
        return folder

    def dag(self, name: str, **imports: str) -> None:
        """A DAG file with one task for each environment (dashes as underscores), which imports what is said."""
        lines = ["from airflow.sdk import dag, task", "@dag(schedule=None)", f"def {name}():"]
        for environment, module in imports.items():
            lines += [f"    @task.env({environment.replace('_', '-')!r})", f"    def use_{environment}():"]
            lines += [f"        import {module}" if module else "        pass", ""]
        (self.root / "dags").mkdir(exist_ok=True)
        (self.root / "dags" / f"{name}.py").write_text("\n".join([*lines, f"{name}()", ""]))

    def podenv(self, *words: str, exit_code: int = 0) -> tuple[str, str]:
        """Standard output and standard error of a command."""
        result = CliRunner().invoke(app, list(words))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == exit_code, result.output
        return result.stdout, result.stderr

    def json(self, *words: str, exit_code: int = 0) -> Any:
        return json.loads(self.podenv(*words, "--json", exit_code=exit_code)[0])


@pytest.fixture
def project(tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch) -> Project:
    for name in ("PODENV_CATALOGUE", "PODENV_REGISTRY", "AIRFLOW__CORE__DAGS_FOLDER", "KUBECONFIG"):
        monkeypatch.setenv(name, "")  # so that what a command sets in this process is taken back
        monkeypatch.delenv(name)
    monkeypatch.setenv("PODENV_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)


@pytest.fixture
def letters(index: Index) -> Index:
    """alpha and beta in two versions each; gamma needs alpha 1, delta needs alpha 2 and beta."""
    for version in ("1.0", "2.0"):
        index.add("alpha", version)
        index.add("beta", version)
    index.add("gamma", "1.0", requires=["alpha<2"])
    index.add("delta", "1.0", requires=["alpha>=2", "beta"])
    return index
