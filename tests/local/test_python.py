"""Which interpreter an environment gets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from podenv import lock
from podenv.errors import PythonNotFound
from podenv.venv import python

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
BASE = Path(sys._base_executable)  # type: ignore[attr-defined]


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any Python: an empty PATH folder, no pyenv, nothing of uv's; its uv may not download."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "managed"))
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    return folder


def find(version: str) -> Path:
    return python.find(version, wanted_by="etl", uv=lock.uv())


def test_a_virtual_environment_on_path_stands_for_the_interpreter_behind_it(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "active"], check=True)
    monkeypatch.setenv("PATH", str(tmp_path / "active" / "bin"))
    assert find(HERE).samefile(BASE)


def test_a_shim_that_fails_or_starts_another_version_is_passed_over(bare: Path, tmp_path: Path) -> None:
    script(bare / f"python{HERE}", "echo 'pyenv: version not installed' >&2; exit 127")
    script(bare / "python3", "printf '3.1\\n/nowhere\\n'")
    script(tmp_path / "pyenv" / "versions" / f"{HERE}.9" / "bin" / f"python{HERE}", f'exec "{BASE}" "$@"')
    assert find(HERE).samefile(BASE)


def test_a_shim_of_pyenv_is_not_started(bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shim = script(tmp_path / "pyenv" / "shims" / f"python{HERE}", "exit 0")
    monkeypatch.setenv("PATH", f"{shim.parent}:{bare}")
    own = script(tmp_path / "pyenv" / "versions" / f"{HERE}.9" / "bin" / f"python{HERE}", "exit 0")
    assert list(python.candidates(HERE)) == [own]


def test_an_interpreter_that_hangs_is_not_trusted(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python, "PROBE_SECONDS", 0.2)
    hanging = script(bare / "python3", "while :; do :; done")
    assert python.probe(hanging, HERE) is None


def test_of_pyenvs_versions_the_newest_patch_comes_first_and_other_minors_never(bare: Path, tmp_path: Path) -> None:
    versions = tmp_path / "pyenv" / "versions"
    for name in ("3.1.2", "3.12.9", "3.12.10", "3.12-dev", "pypy3.12-7.3.16"):
        script(versions / name / "bin" / "python3.12", "exit 0")
    assert [path.parents[1].name for path in python.candidates("3.12")] == ["3.12.10", "3.12.9"]


def test_uvs_own_interpreters_come_after_all_others(bare: Path, tmp_path: Path) -> None:
    managed = script(
        tmp_path / "managed" / f"cpython-{HERE}.7-linux-x86_64-gnu" / "bin" / f"python{HERE}", f'exec "{BASE}" "$@"'
    )
    assert managed not in python.candidates(HERE)
    assert find(HERE).samefile(BASE)


@pytest.mark.parametrize("setting", ["never", "manual"])
def test_where_no_download_is_allowed_the_error_says_what_is_missing_and_how_to_get_it(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", setting)
    with pytest.raises(PythonNotFound) as raised:
        find("3.12")
    assert str(raised.value) == (
        f"Environment 'etl' needs Python 3.12: no Python 3.12 on PATH, in {tmp_path}/pyenv/versions or in "
        f"{tmp_path}/managed, and UV_PYTHON_DOWNLOADS forbids to download it. Install Python 3.12 with your system's "
        "packages or `pyenv install 3.12`, or let `uv python install 3.12` fetch it where there is network."
    )


def test_a_download_that_fails_for_want_of_network_says_so(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "automatic")
    monkeypatch.setenv("UV_PYTHON_INSTALL_MIRROR", "http://127.0.0.1:9")
    with pytest.raises(PythonNotFound, match=r"uv could not download it \(Connection refused.*pyenv install 3.12"):
        find("3.12")
