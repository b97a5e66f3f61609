"""Which backend runs a task, and what happens where there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from podenv.errors import SettingError

if TYPE_CHECKING:
    from tests.dags.conftest import Run


def test_backend_comes_from_airflows_configuration_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from podenv.airflow import settings

    monkeypatch.delenv("PODENV_BACKEND", raising=False)
    monkeypatch.setenv("AIRFLOW__PODENV__BACKEND", "local")
    assert settings.backend() == "local"
    monkeypatch.setenv("PODENV_BACKEND", "kubernetes")
    assert settings.backend() == "kubernetes"


def test_unknown_backend_is_refused_with_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    from podenv.airflow import settings

    monkeypatch.setenv("PODENV_BACKEND", "locl")
    with pytest.raises(SettingError, match=r"There is no backend 'locl'\. Did you mean 'local'\?"):
        settings.backend()


def test_where_airflow_itself_fails_its_error_is_the_tasks(
    run_dag: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: Any) -> None:
        raise RuntimeError("the database is locked")

    monkeypatch.setattr("airflow.sdk.execution_time.supervisor.run_task_in_process", fail)
    run = run_dag("interrupted")
    assert [(task.state, task.error) for task in run.result.tasks] == [
        ("failed", "RuntimeError: the database is locked"),
        ("failed", "RuntimeError: the database is locked"),
    ]
