"""One Airflow home for the session, set before anything imports Airflow, whichever folder's tests come first."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

from podenv.dagrun import home


def prepare(folder: Path) -> None:
    """Make the home for the DAGs of ``folder``; what a session has made already stays."""
    if "airflow" in sys.modules or "_PODENV_AIRFLOW_HOME" in os.environ:
        return
    cache = Path(tempfile.mkdtemp(prefix="podenv-airflow-"))
    atexit.register(shutil.rmtree, cache, ignore_errors=True)
    os.environ.pop("AIRFLOW_HOME", None)
    home.prepare(folder, cache=cache)
