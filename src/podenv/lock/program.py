"""The uv program, and the variables that it is started with."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from packaging.version import Version

from podenv import process
from podenv.errors import ProgramUnsupported

# 0.12 finds the same versions, but says why there are none in words that podenv does not know; 0.11 takes versions that
# have no wheel for the image, and 0.8 lacks options.
OLDEST = Version("0.13")
_INSTALL = "`pip install 'podenv[cli]'` or `pip install -U uv`"
_ANSWER_SECONDS = 10.0
# Settings of uv that would change what one requirements.in resolves to, or hide the limits set here.
_IGNORED = ("UV_CONSTRAINT", "UV_EXCLUDE", "UV_NO_CONFIG", "UV_OVERRIDE", "UV_PROJECT", "UV_WORKING_DIR")


def uv() -> Path:
    """The uv program: the one installed beside podenv, else from PATH.

    Raises `ProgramNotFound`, `ProgramUnsupported` for one that is too old.
    """
    try:
        from uv import find_uv_bin

        found = Path(find_uv_bin())
    except (ImportError, FileNotFoundError):
        found = process.find_program("uv", "Install it with `pip install 'podenv[cli]'` or `pip install uv`.")
    _check(found)
    return found


@lru_cache(maxsize=8)
def _check(found: Path) -> None:
    said = process.run([found, "--version"], timeout=_ANSWER_SECONDS).stdout
    version = said.split()[1] if len(said.split()) > 1 else said.strip()
    if Version(version) < OLDEST:
        raise ProgramUnsupported(f"{found} is uv {version}, and podenv needs {OLDEST} or newer. Run {_INSTALL}.")


def uv_variables() -> dict[str, str]:
    """This process's variables, but for those that would let what uv does and says depend on more than the lock."""
    kept = {name: value for name, value in os.environ.items() if name not in _IGNORED}
    return {**kept, "COLUMNS": "100000"}  # else uv breaks its sentences at the terminal's width
