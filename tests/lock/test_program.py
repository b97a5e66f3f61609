"""Which uv podenv takes."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

from podenv import lock
from podenv.errors import ProgramNotFound, ProgramUnsupported
from podenv.lock import program

ROOT = Path(__file__).parents[2]


def test_uv_is_the_one_beside_podenv_else_a_new_enough_one_on_path_else_an_error_that_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lock.uv() == Path(sys.executable).parent / "uv"
    monkeypatch.setitem(sys.modules, "uv", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProgramNotFound) as missing:
        lock.uv()
    assert str(missing.value) == "uv is not on PATH. Install it with `pip install 'podenv[cli]'` or `pip install uv`."
    found = tmp_path / "uv"
    found.write_text("#!/bin/sh\necho 'uv 0.12.9 (x86_64-unknown-linux-gnu)'\n")
    found.chmod(0o755)
    with pytest.raises(ProgramUnsupported) as old:
        lock.uv()
    assert str(old.value) == (
        f"{found} is uv 0.12.9, and podenv needs 0.13 or newer. Run `pip install 'podenv[cli]'` or `pip install -U uv`."
    )
    found.write_text("#!/bin/sh\necho 'uv 0.13.0'\n")
    assert lock.uv() == found


def test_the_oldest_uv_is_the_one_that_the_package_asks_for() -> None:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["cli"]
    assert f"uv>={program.OLDEST}" in asked
