"""The store where `[podenv] exchange` says none."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from podenv.airflow import connections, stores
from podenv.errors import SettingError

CONTEXT = {"ti": SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=-1, try_number=1)}
PATH = "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH"


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str | None]:
    """The store of a task where these variables are set."""
    monkeypatch.delenv("PODENV_EXCHANGE", raising=False)
    connections.store.cache_clear()

    def store(*, results: str | None = None, **variables: str) -> str | None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        task: Any = SimpleNamespace(execution_timeout=timedelta(hours=1), results=results, decides=False)
        found = stores.of_task(task, CONTEXT)
        return None if found is None else str(found.store)

    return store


def test_pods_have_none_and_this_machine_has_a_folder_in_its_cache(
    chosen: Callable[..., str | None], cache: Path
) -> None:
    assert chosen(PODENV_BACKEND="kubernetes") is None
    assert chosen(PODENV_BACKEND="local") == (cache / "exchange").as_uri()


def test_airflows_own_bucket_for_xcom_stands_in(chosen: Callable[..., str | None]) -> None:
    known = {"AIRFLOW_CONN_AWS": "aws://AKIDEXAMPLE:verysecretword@"}
    assert (
        chosen(PODENV_BACKEND="kubernetes", **{PATH: "s3://aws@bucket/xcom"}, **known) == "s3://aws@bucket/xcom/podenv"
    )
    assert chosen(**{PATH: "s3://bucket/xcom"}) is None
    assert chosen(PODENV_EXCHANGE="s3://mine/p") == "s3://mine/p"
    assert chosen(PODENV_EXCHANGE="", AIRFLOW__PODENV__EXCHANGE="s3://ours") == "s3://ours"


def test_where_it_cannot_be_used_tasks_run_as_without_it(
    chosen: Callable[..., str | None], caplog: pytest.LogCaptureFixture
) -> None:
    for path in ("file:///opt/xcom", "hdfs://host/x", "s3://nosuchconnection@bucket/x"):
        assert chosen(PODENV_BACKEND="kubernetes", **{PATH: path}) is None
    with pytest.raises(SettingError, match="results = exchange needs a store"):
        chosen(results="exchange")


def test_one_that_was_asked_for_is_an_error_where_it_cannot_be_used(chosen: Callable[..., str | None]) -> None:
    with pytest.raises(SettingError, match="'hdfs://host/x' is not a valid address of a store"):
        chosen(PODENV_BACKEND="kubernetes", AIRFLOW__PODENV__EXCHANGE="hdfs://host/x")
    with pytest.raises(SettingError, match="Connection 'nowhere'"):
        chosen(AIRFLOW__PODENV__EXCHANGE="s3://nowhere@bucket/x")
