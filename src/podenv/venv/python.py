"""Python interpreters of this machine: on PATH, in pyenv's versions, in uv's own; else downloaded by uv."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from podenv import process
from podenv.errors import ProgramError, ProgramFailed, PythonNotFound

PROBE_SECONDS = 20.0  # an interpreter on a cold network disk starts slowly, one that hangs is not trusted
DOWNLOAD_SECONDS = 900.0
# A released CPython with the usual ABI, since that is what most wheels are for, able to load its own library. It says
# itself where it is: behind a shim, or behind the virtual environment that is active now, stands another file.
_PROBE = """
import sys, sysconfig, zipfile, hashlib
usual = sys.implementation.name == "cpython" and sys.version_info.releaselevel == "final"
if usual and not sysconfig.get_config_var("Py_GIL_DISABLED"):
    print("%d.%d" % sys.version_info[:2])
    print(getattr(sys, "_base_executable", None) or sys.executable)
"""


def find(version: str, *, wanted_by: str, uv: Path, log: Callable[[str], None] = lambda _: None) -> Path:
    """An interpreter of ``version`` (like ``3.13``) that was seen to run; uv downloads one where there is none.

    ``wanted_by`` names the environment in the error. ``UV_PYTHON_DOWNLOADS=never`` (or ``manual``) forbids to
    download it. Raises `PythonNotFound`.
    """
    if found := _first_that_runs(candidates(version), version):
        return found
    managed = _uv_python_folder(uv)
    if found := _first_that_runs(_newest_first(managed, f"cpython-{version}.", version), version):
        return found
    return _download(version, managed, wanted_by=wanted_by, uv=uv, log=log)


def candidates(version: str) -> Iterator[Path]:
    """Files that may be a Python ``version``: on PATH by full name, in pyenv's versions, on PATH by general name."""
    names = (f"python{version}", "python3", "python")
    yield from _on_path(names[:1])
    yield from _newest_first(_pyenv_root() / "versions", f"{version}.", version)
    yield from _on_path(names[1:])


def probe(candidate: Path, version: str) -> Path | None:
    """Where the interpreter behind ``candidate`` is, when it starts and says that it is a released CPython ``version``.

    None otherwise: a pyenv shim may fail, or start another version.
    """
    try:
        # Isolated, and outside the working directory's reach: a .python-version there must not decide.
        said = process.run([candidate, "-I", "-c", _PROBE], cwd=candidate.parent, timeout=PROBE_SECONDS).stdout
    except ProgramError:
        return None
    answer = said.splitlines()
    return Path(answer[1]) if len(answer) == 2 and answer[0] == version and answer[1] else None


def _first_that_runs(possible: Iterator[Path], version: str) -> Path | None:
    return next(filter(None, (probe(candidate, version) for candidate in possible)), None)


def _on_path(names: tuple[str, ...]) -> Iterator[Path]:
    shims = _pyenv_root() / "shims"  # each starts a dozen shells, and what stands behind them comes by itself
    for name in names:
        for folder in os.get_exec_path():
            candidate = Path(folder, name)
            if folder and candidate.parent != shims and os.access(candidate, os.X_OK) and candidate.is_file():
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
    return Path(process.run([uv, "python", "dir", "--color=never"], timeout=PROBE_SECONDS).stdout.strip())


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
        process.run([uv, "python", "install", "--color=never", "--no-bin", version], timeout=DOWNLOAD_SECONDS)
    except ProgramFailed as error:
        why = (error.stderr.strip().splitlines() or ["it said nothing"])[-1].strip()
        raise PythonNotFound(
            f"Environment {wanted_by!r} needs Python {version}: {searched}, and uv could not download it "
            f"({why.removeprefix('cause: ').removeprefix('error: ')}). {remedy}"
        ) from None
    if found := _first_that_runs(_newest_first(managed, f"cpython-{version}.", version), version):
        return found
    raise PythonNotFound(
        f"Environment {wanted_by!r} needs Python {version}; uv installed one in {managed}, "
        f"but it does not start. {remedy}"
    )
