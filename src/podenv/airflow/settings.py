"""podenv's settings, as an Airflow process sees them."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from podenv.airflow import deployed
from podenv.airflow.compat import conf
from podenv.airflow.fields import FieldsLog
from podenv.catalogue import names
from podenv.catalogue.environment import Catalogue
from podenv.errors import CatalogueNotFound, PodenvError, SettingError, UnknownEnvironment, nearest

if TYPE_CHECKING:
    from podenv.exchange.address import StoreAddress

# Below airflow.task, which every executor writes into the task's log.
_log = logging.getLogger("airflow.task.podenv")
log = FieldsLog(_log)
BACKENDS = ("kubernetes", "local")
PAYLOADS = ("env", "secret")
RESULTS = ("value", "exchange")


def backend() -> str:
    """Where tasks run: ``PODENV_BACKEND``, else ``[podenv] backend``. Raises `SettingError`."""
    chosen = os.environ.get("PODENV_BACKEND") or conf.get("podenv", "backend", fallback="kubernetes")
    if chosen not in BACKENDS:
        raise SettingError(
            f"There is no backend {chosen!r}.{nearest(chosen, BACKENDS)} "
            "Set PODENV_BACKEND or [podenv] backend to 'kubernetes' or 'local'."
        )
    return chosen


def payload() -> str:
    """How a Call travels: ``env`` or ``secret``, from ``[podenv] payload``. Raises `SettingError`."""
    chosen: str = conf.get("podenv", "payload", fallback="env")
    if chosen not in PAYLOADS:
        raise SettingError(
            f"[podenv] payload cannot be {chosen!r}.{nearest(chosen, PAYLOADS)} Set it to 'env' or 'secret'."
        )
    return chosen


def results() -> str:
    """How values come back: ``value`` or ``exchange``, from ``[podenv] results``. Raises `SettingError`."""
    return check_results(conf.get("podenv", "results", fallback="value"), "[podenv] results")


def check_results(chosen: str, where: str) -> str:
    """``chosen`` where it is a way for values. Raises `SettingError`."""
    if chosen not in RESULTS:
        raise SettingError(f"{where} cannot be {chosen!r}.{nearest(chosen, RESULTS)} Set it to 'value' or 'exchange'.")
    return chosen


def exchange() -> StoreAddress | None:
    """Where values go that are too much for XCom, as it was asked for; else None. Raises `SettingError`.

    PODENV_EXCHANGE, else ``[podenv] exchange``.
    """
    from podenv.exchange.address import parse
    from podenv.exchange.calls import VARIABLE

    if chosen := os.environ.get(VARIABLE):
        return parse(chosen, VARIABLE)
    if chosen := conf.get("podenv", "exchange", fallback=""):
        return parse(chosen, "[podenv] exchange")
    return None


def exchange_of_others() -> StoreAddress | None:
    """What stands in where nobody asked for a store; None where nothing does. Raises `SettingError`.

    A folder in the bucket of ``[common.io] xcom_objectstorage_path``, where that names a Connection; on this machine
    one in the user's cache.
    """
    from podenv.exchange.address import parse

    local = backend() == "local"
    if chosen := conf.get("common.io", "xcom_objectstorage_path", fallback=""):
        found = parse(chosen, "[common.io] xcom_objectstorage_path").below("podenv")
        # A folder of the worker's is none of a pod's; without a Connection, signing may wait for credentials in vain.
        if found.connection or (local and found.scheme == "file"):
            return found
    if not local:
        return None
    from podenv.local import exchange_folder

    return parse(exchange_folder().as_uri(), "the cache")


def code() -> str:
    """Folders with modules that travel, with commas between; empty where the DAG's bundle is the one."""
    return str(conf.get("podenv", "code", fallback=""))


def fernet_key() -> bytes:
    """Airflow's Fernet key, which is secret; empty if Airflow has no key."""
    return str(conf.get("core", "fernet_key", fallback="")).encode()


def airflow_id() -> str:
    """What tells this Airflow from others that share a cluster: ``[podenv] airflow_id``, else derived.

    Derived from what the components of one Airflow share, its Fernet key and its address. A label's value.
    """
    chosen: str = conf.get("podenv", "airflow_id", fallback="")
    if chosen:
        if not re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", chosen):
            raise SettingError(
                f"[podenv] airflow_id cannot be {chosen!r}: it becomes a label, so use at most 63 letters, digits, "
                "'-', '_' and '.', beginning and ending with a letter or a digit."
            )
        return chosen
    address = str(conf.get("api", "base_url", fallback=""))
    return hashlib.sha256(b"\0".join((b"podenv airflow", fernet_key(), address.encode()))).hexdigest()[:16]


def pod_url() -> str:
    """The page of a pod, with ``{namespace}`` and ``{pod}`` in it; empty if pods have no page."""
    return str(conf.get("podenv", "pod_url", fallback=""))


def namespace(environment: str, file: str | Path | None) -> str:
    """Where ``environment`` is deployed, as the catalogue for the DAG ``file`` or else its name says.

    Raises `UnknownEnvironment`, `ValuesError`.
    """
    known = catalogue_or_none(file)
    return names.namespace(environment, _prefix()) if known is None else known[environment].namespace(_prefix())


def catalogue(file: str | Path | None) -> Catalogue:
    """The catalogue for the DAG ``file``: a folder, or what is deployed. Raises `CatalogueNotFound`."""
    variable = os.environ.get("PODENV_CATALOGUE")
    if not variable and _configured() == deployed.WORD:
        found = deployed.catalogue(_prefix())
        if isinstance(found, str):
            raise CatalogueNotFound(f"[podenv] catalogue = cluster, and the cluster cannot be read: {found}.")
        return found
    return _catalogue(None if file is None else str(file), variable, _prefix())


def folder_catalogue(file: str | Path | None) -> Catalogue:
    """The catalogue of files for the DAG ``file``, which the local backend needs. Raises `CatalogueNotFound`."""
    found = catalogue(file)
    if isinstance(found, deployed.DeployedCatalogue):
        raise CatalogueNotFound(
            "[podenv] catalogue = cluster, and tasks on this machine need the locks in an envs/ folder; "
            "name one in PODENV_CATALOGUE."
        )
    return found


def catalogue_or_none(file: str | Path | None) -> Catalogue | None:
    """As `catalogue`; None if no catalogue is found."""
    with suppress(CatalogueNotFound):
        return catalogue(file)
    return None


@lru_cache(maxsize=256)  # 500 tasks of a file search once; a catalogue that was not found is searched for again
def _catalogue(file: str | None, variable: str | None, prefix: str) -> Catalogue:
    return _Delivered.find(None if file is None else Path(file), configured=_configured(), prefix=prefix)


class _Delivered(Catalogue):
    """The folder that Airflow reads: often a copy, in the image or beside the DAGs."""

    def refusal(self, name: str) -> PodenvError:
        error = super().refusal(name)
        if isinstance(error, UnknownEnvironment):
            remedy = (
                f"`podenv list` shows all, `podenv new {name} --python X.Y` makes it. If it was made already, this "
                "copy of envs/ is older than the DAG: deliver both together, or remove the copy."
            )
            return UnknownEnvironment(name, self.root, self.names(), remedy=remedy)
        return error


def _prefix() -> str:
    variable = os.environ.get("PODENV_NAMESPACE_PREFIX")
    return variable or str(conf.get("podenv", "namespace_prefix", fallback=names.NAMESPACE_PREFIX))


def _configured() -> str | None:
    return conf.get("podenv", "catalogue", fallback="") or None


def emit(line: str) -> None:
    """Write a line that a task printed into its log."""
    _log.info("%s", line)
