"""What the tests of podenv check share."""

from pathlib import Path

import pytest
from tests.check.project import Project


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODENV_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An empty project, which is the working directory."""
    made = Project(tmp_path / "project")
    monkeypatch.chdir(made.root)
    return made
