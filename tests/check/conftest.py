"""What the tests of podenv check share."""

import os
from pathlib import Path

import pytest
from tests.check.project import Project


@pytest.fixture(autouse=True)
def _own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of its own, and nothing that the person who runs the tests, or another test's folder, has set."""
    for name in tuple(os.environ):
        if name.startswith(("PODENV_", "AIRFLOW", "KUBE")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PODENV_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An empty project, which is the working directory."""
    made = Project(tmp_path / "project")
    monkeypatch.chdir(made.root)
    return made
