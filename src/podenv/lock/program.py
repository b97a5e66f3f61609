"""The uv program, and the variables that it is started with."""

from __future__ import annotations

import os
from pathlib import Path

from podenv import process

# Settings of uv that would change what one requirements.in resolves to, or hide the limits set here.
_IGNORED = ("UV_CONSTRAINT", "UV_EXCLUDE", "UV_NO_CONFIG", "UV_OVERRIDE", "UV_PROJECT", "UV_WORKING_DIR")


def uv() -> Path:
    """The uv program: the one installed beside podenv, else from PATH; raises `ProgramNotFound`."""
    try:
        from uv import find_uv_bin

        return Path(find_uv_bin())
    except (ImportError, FileNotFoundError):
        return process.find_program("uv", "Install it with `pip install 'podenv[cli]'` or `pip install uv`.")


def uv_variables() -> dict[str, str]:
    """This process's variables, but for those that would let what uv does and says depend on more than the lock."""
    kept = {name: value for name, value in os.environ.items() if name not in _IGNORED}
    return {**kept, "COLUMNS": "100000"}  # else uv breaks its sentences at the terminal's width
