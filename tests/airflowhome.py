"""One Airflow home for the session, set before anything imports Airflow, whichever folder's tests come first."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

from podenv.dagrun import home

_made: list[Path] = []  # of this process: one that starts others hands its variables on


def variables_of_others() -> dict[str, str]:
    """The environment variables without settings of podenv and Airflow, for a program that a person starts."""
    return {name: one for name, one in os.environ.items() if not name.startswith(("PODENV_", "AIRFLOW", "_PODENV"))}


def prepare(folder: Path) -> None:
    """Make the home for the DAGs of ``folder``; what this process has made already stays."""
    if "airflow" in sys.modules or _made:
        return
    cache = Path(tempfile.mkdtemp(prefix="podenv-airflow-"))
    _made.append(cache)
    atexit.register(shutil.rmtree, cache, ignore_errors=True)
    os.environ.pop("AIRFLOW_HOME", None)
    home.prepare(folder, cache=cache)
