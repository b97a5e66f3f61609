"""podenv's settings, as an Airflow process sees them."""

from __future__ import annotations

import logging
import os
from functools import lru_cache
from pathlib import Path

from airflow.providers.common.compat.sdk import conf

from podenv.environment import Catalogue
from podenv.errors import SettingError, nearest

# Below airflow.task: the task's log, whoever runs the task.
log = logging.getLogger("airflow.task.podenv")
BACKENDS = ("kubernetes", "local")


def backend() -> str:
    """Where tasks run: ``PODENV_BACKEND``, else ``[podenv] backend``. Raises `SettingError`."""
    chosen = os.environ.get("PODENV_BACKEND") or conf.get("podenv", "backend", fallback="kubernetes")
    if chosen not in BACKENDS:
        raise SettingError(
            f"There is no backend {chosen!r}.{nearest(chosen, BACKENDS)} "
            "Set PODENV_BACKEND or [podenv] backend to 'kubernetes' or 'local'."
        )
    return chosen


def require_local() -> None:
    """Raise `SettingError` unless the backend is ``local``, the only one of this release."""
    if backend() != "local":
        raise SettingError(
            "The Kubernetes backend comes with the next release of podenv; "
            "set PODENV_BACKEND=local (or [podenv] backend = local) to run on this machine."
        )


def catalogue(file: str | Path | None) -> Catalogue:
    """The catalogue for the DAG ``file``. Raises `CatalogueNotFound`."""
    return _catalogue(None if file is None else str(file), os.environ.get("PODENV_CATALOGUE"))


@lru_cache(maxsize=256)  # 500 tasks of a file look once; what is not found is looked for again
def _catalogue(file: str | None, variable: str | None) -> Catalogue:
    configured = conf.get("podenv", "catalogue", fallback="") or None
    return Catalogue.find(None if file is None else Path(file), configured=configured)


def emit(line: str) -> None:
    """Write a line that a task printed into its log."""
    log.info("%s", line)
