"""Python interpreters of this machine: on PATH, in pyenv's versions, in uv's own; else downloaded by uv."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from podenv import process
from podenv.errors import ProgramError, ProgramFailed, PythonNotFound

PROBE_TIMEOUT = 20.0  # seconds; an interpreter on a cold network disk starts slowly, one that hangs is not trusted
DOWNLOAD_TIMEOUT = 900.0
# A released CPython with its lock (wheels of locks are made for that), and able to load its own library.
_PROBE = """
import sys, sysconfig, zipfile, hashlib
ok = sys.implementation.name == "cpython" and sys.version_info.releaselevel == "final"
ok = ok and not sysconfig.get_config_var("Py_GIL_DISABLED")
print("%d.%d" % sys.version_info[:2] if ok else "other")
"""


def find(version: str, *, wanted_by: str, uv: Path, log: Callable[[str], None] = lambda _: None) -> Path:
    """An interpreter of ``version`` (like ``3.13``) that was seen to run; uv downloads one where there is none.

    ``wanted_by`` names the environment in the error. ``UV_PYTHON_DOWNLOADS=never`` (or ``manual``) forbids the download.
    Raises `PythonNotFound`.
    """
    for candidate in candidates(version):
        if runs(candidate, version):
            return candidate
    managed = _uv_python_folder(uv)
    for candidate in _newest_first(managed, f"cpython-{version}.", version):
        if runs(candidate, version):
            return candidate
    return _download(version, managed, wanted_by=wanted_by, uv=uv, log=log)


def candidates(version: str) -> Iterator[Path]:
    """Files that may be a Python ``version``: on PATH by full name, in pyenv's versions, then on PATH by general name."""
    names = (f"python{version}", "python3", "python")
    yield from _on_path(names[:1])
    yield from _newest_first(_pyenv_root() / "versions", f"{version}.", version)
    yield from _on_path(names[1:])


def runs(candidate: Path, version: str) -> bool:
    """Whether ``candidate`` starts and says that it is a released CPython ``version`` (pyenv's shims may do neither)."""
    try:
        # Isolated, and outside the working directory's reach: a .python-version there must not decide.
        said = process.run([candidate, "-I", "-c", _PROBE], cwd=candidate.parent, timeout=PROBE_TIMEOUT).stdout
    except ProgramError:
        return False
    return said.strip() == version


def _on_path(names: tuple[str, ...]) -> Iterator[Path]:
    for name in names:
        for folder in os.get_exec_path():
            candidate = Path(folder, name)
            if folder and os.access(candidate, os.X_OK) and candidate.is_file():
                yield candidate.absolute()


def _newest_first(folder: Path, prefix: str, version: str) -> Iterator[Path]:
    """``folder/<prefix>N…/bin/pythonX.Y``, the largest N first."""

    def patch(path: Path) -> int:
        digits = path.name.removeprefix(prefix).partition("-")[0]
        return int(digits) if digits.isdecimal() else -1

    for home in sorted(folder.glob(f"{prefix}*"), key=patch, reverse=True):
        candidate = home / "bin" / f"python{version}"
        if patch(home) >= 0 and candidate.is_file():
            yield candidate


def _pyenv_root() -> Path:
    return Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")


def _uv_python_folder(uv: Path) -> Path:
    return Path(process.run([uv, "python", "dir", "--color=never"], timeout=PROBE_TIMEOUT).stdout.strip())


def _download(version: str, managed: Path, *, wanted_by: str, uv: Path, log: Callable[[str], None]) -> Path:
    remedy = (
        f"Install Python {version} with your system's packages or `pyenv install {version}`, "
        f"or let `uv python install {version}` fetch it where there is network."
    )
    searched = f"no Python {version} on PATH, in {_pyenv_root() / 'versions'} or in {managed}"
    if os.environ.get("UV_PYTHON_DOWNLOADS", "").lower() in ("never", "manual", "false", "0"):
        raise PythonNotFound(
            f"Environment {wanted_by!r} needs Python {version}: {searched}, and UV_PYTHON_DOWNLOADS forbids to "
            f"download it. {remedy}"
        )
    log(f"{searched[0].upper()}{searched[1:]}; uv downloads it.")
    try:
        process.run([uv, "python", "install", "--color=never", "--no-bin", version], timeout=DOWNLOAD_TIMEOUT)
    except ProgramFailed as error:
        why = error.stderr.strip().splitlines()
        raise PythonNotFound(
            f"Environment {wanted_by!r} needs Python {version}: {searched}, and uv could not download it "
            f"({why[-1].strip().removeprefix('cause: ') if why else 'it said nothing'}). {remedy}"
        ) from None
    for candidate in _newest_first(managed, f"cpython-{version}.", version):
        if runs(candidate, version):
            return candidate
    raise PythonNotFound(
        f"Environment {wanted_by!r} needs Python {version}; uv installed one in {managed} on this {sys.platform} machine, "
        f"but it does not start. {remedy}"
    )
