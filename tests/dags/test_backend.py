"""Which backend runs a task, and what happens where there is none."""

from __future__ import annotations

import pytest

from podenv.errors import SettingError


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
