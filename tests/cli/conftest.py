"""Podenv, started as a person starts it, with no setting of the person who runs the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

PODENV = Path(sys.executable).parent / "podenv"
Run = Callable[..., subprocess.CompletedProcess[str]]
_OUTSIDE = ("PODENV_", "AIRFLOW", "_PODENV", "KUBE", "NO_COLOR", "FORCE_COLOR", "COLUMNS")


@pytest.fixture
def variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """What the program's environment is made of: no setting of the person who runs the tests, a cache of its own."""
    for name in tuple(os.environ):
        if name.startswith(_OUTSIDE):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PODENV_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("PODENV_BASE_IMAGE", "127.0.0.1:1/base:{python}")  # `podenv lock` asks no registry of others
    return os.environ


@pytest.fixture
def podenv(tmp_path: Path, variables: Mapping[str, str]) -> Run:
    """Run podenv in a folder with nothing set up; keywords are variables."""

    def run(*words: object, exit_code: int = 0, folder: str = ".", **changes: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [PODENV, *map(str, words)],
            cwd=tmp_path / folder,
            env={**variables, **changes},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == exit_code, done.stdout + done.stderr
        return done

    return run
