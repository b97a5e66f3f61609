"""The Airflow home that a run uses: its settings, and its metadata database."""

from __future__ import annotations

import gc
import json
import os
import sys
from contextlib import suppress
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from podenv.catalogue.environment import Catalogue
from podenv.errors import PodenvError, SettingError

# Set where the home is podenv's own, which may be changed.
_OWN = "_PODENV_AIRFLOW_HOME"


def prepare(folder: Path, *, cache: Path) -> None:
    """Settle how Airflow will look at ``folder``; call it before Airflow is imported.

    Without ``AIRFLOW_HOME`` it gets a home of its own below ``cache``: the user's home folder stays as it is.
    """
    if "airflow" in sys.modules:
        return
    folder = folder.absolute()
    if "AIRFLOW_HOME" not in os.environ:
        key = sha256(f"{folder}\n{version('apache-airflow')}".encode()).hexdigest()[:16]
        os.environ["AIRFLOW_HOME"] = str(cache / "airflow" / key)
        os.environ[_OWN] = "1"
    os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(folder)
    os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"


def start_quickly() -> None:
    """Do without the garbage collector until `started`.

    Airflow's start makes a million objects and few cycles; looking for them takes a quarter of its CPU time.
    """
    gc.disable()


def started() -> None:
    """The end of `start_quickly`."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def is_own() -> bool:
    """True if the Airflow home is podenv's own, and no other Airflow reads its database."""
    return _OWN in os.environ


def connect(catalogue: Catalogue) -> None:
    """Let the Connections that values name lead to the contexts that they name, in podenv's own Airflow home.

    A user's own home has them already, and so may the shell (``AIRFLOW_CONN_...``).
    """
    for name in catalogue.names() if is_own() else ():
        with suppress(PodenvError):  # the task says what is wrong
            cluster = catalogue[name].spec.cluster
            if cluster.connection and cluster.context:
                told = {"conn_type": "kubernetes", "extra": {"cluster_context": cluster.context}}
                os.environ.setdefault(f"AIRFLOW_CONN_{cluster.connection.upper()}", json.dumps(told))


def ensure_database() -> None:
    """Make the metadata database of podenv's own Airflow home, once; a user's own is only looked at.

    Raises `SettingError` where that is not up to date.
    """
    from podenv.airflow import compat

    home = Path(os.environ["AIRFLOW_HOME"])
    if is_own():
        made = home / "podenv-made-the-database"
        if not made.exists():
            compat.make_database()
            made.touch()
    elif not compat.database_is_current():
        raise SettingError(
            f"The metadata database of AIRFLOW_HOME ({home}) is not up to date; run `airflow db migrate`, or unset "
            "AIRFLOW_HOME to use one of podenv's own."
        )
