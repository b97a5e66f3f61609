"""The environment variables of a task on this machine."""

from __future__ import annotations

import os
import re
import sys
from fnmatch import fnmatchcase
from math import ceil
from pathlib import Path

from podenv.catalogue import quantity

PASS_VARIABLE = "PODENV_PASS_ENV"  # noqa: S105 - no password
"""Names and patterns, separated by commas or spaces, of further variables of this process that tasks get."""
# What a program needs of this machine; all else, Airflow's settings and secrets first, stays here.
_KEPT = (
    "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "LC_*", "TZ", "TMPDIR",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
    "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
)  # fmt: skip
# How numerical libraries are told the number of their threads.
_THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS", "LOKY_MAX_CPU_COUNT",
)  # fmt: skip


def of_machine(cpu: str | None) -> dict[str, str]:
    """What a task gets from this process, and how many threads it may use of a limit of ``cpu``."""
    patterns = (*_KEPT, *re.split(r"[,\s]+", os.environ.get(PASS_VARIABLE, "")))
    kept = {name: value for name, value in os.environ.items() if any(fnmatchcase(name, one) for one in patterns)}
    threads = {} if cpu is None else dict.fromkeys(_THREADS, str(max(1, ceil(quantity.parse(cpu)))))
    return {**kept, **threads, "PYTHONUNBUFFERED": "1"}


def of_venv(folder: Path, path: str | None) -> dict[str, str]:
    """What puts the programs of the virtual environment ``folder`` first, before ``path``, else this machine's."""
    return {"VIRTUAL_ENV": str(folder), "PATH": f"{folder / 'bin'}{os.pathsep}{path or _path_of_this_machine()}"}


def _path_of_this_machine() -> str:
    """PATH without the virtual environment that podenv itself runs in: its ``pip`` must not pass for the task's."""
    own = Path(sys.prefix) / "bin"
    folders = os.get_exec_path()
    return os.pathsep.join(f for f in folders if sys.prefix == sys.base_prefix or Path(f) != own)
