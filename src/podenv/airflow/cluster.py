"""In which cluster an environment's pods are launched: the Connection to it."""

from __future__ import annotations

from pathlib import Path

from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook

from podenv.airflow import settings
from podenv.airflow.compat import AirflowException, BaseHook
from podenv.errors import SettingError

DEFAULT = str(KubernetesHook.default_conn_name)


def connection_of(environment: str, file: str | Path | None) -> str:
    """The id of the Connection that the values name, as the catalogue for the DAG ``file`` says, else `DEFAULT`.

    Raises `SettingError` where Airflow has no such Connection, `UnknownEnvironment`, `ValuesError`.
    """
    known = settings.catalogue_or_none(file)
    chosen = known[environment].spec.cluster.connection if known is not None else ""
    if not chosen:
        return DEFAULT
    try:
        BaseHook.get_connection(chosen)
    except AirflowException as error:
        raise SettingError(
            f"Environment {environment!r}: its values name the Connection {chosen!r} to its cluster "
            f"(cluster.connection), which cannot be read: {error}. Add it to Airflow, with conn_type kubernetes, or "
            "correct the values."
        ) from None
    return chosen
