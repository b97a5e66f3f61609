"""Which backend runs a task, and what happens where there is none."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest

from podenv.errors import SettingError

if TYPE_CHECKING:
    from tests.dags.conftest import Run

COMES = (
    "The Kubernetes backend comes with the next release of podenv; "
    "set PODENV_BACKEND=local (or [podenv] backend = local) to run on this machine."
)


def nothing() -> None: ...


def test_without_the_local_backend_a_call_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from podenv.airflow.run import run_in_env

    monkeypatch.delenv("PODENV_BACKEND", raising=False)
    with pytest.raises(SettingError) as caught:
        run_in_env("plain", nothing)
    assert str(caught.value) == COMES


def test_without_the_local_backend_a_task_fails_at_once_and_is_not_retried(
    run_dag: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("podenv.airflow.dags._local_backend", nullcontext)
    monkeypatch.delenv("PODENV_BACKEND", raising=False)
    run = run_dag("retried")
    assert run["work"].state == "failed"
    assert run["work"].tries == 1
    assert run["work"].error == COMES


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
