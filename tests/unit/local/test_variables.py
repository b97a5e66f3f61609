"""Which variables of this process a task gets."""

from __future__ import annotations

import os

import pytest

from podenv.local import variables

PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        monkeypatch.delenv(name)


def test_a_task_reaches_the_network_as_this_process_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.setenv(name, f"http://{name}:3128")
    assert variables.of_machine(None) == {
        **{name: f"http://{name}:3128" for name in PROXIES},
        "PYTHONUNBUFFERED": "1",
    }


def test_what_is_not_named_stays_here(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "JAVA_HOME", "AIRFLOW_CONN_DB"):
        monkeypatch.setenv(name, "x")
    assert variables.of_machine(None) == {"PYTHONUNBUFFERED": "1"}


@pytest.mark.parametrize("text", ["AWS_*,JAVA_HOME", "AWS_* JAVA_HOME", " AWS_PROFILE, AWS_REGION\n JAVA_HOME,"])
def test_names_and_patterns_can_be_passed_on(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    given = {"AWS_PROFILE": "dev", "AWS_REGION": "eu", "JAVA_HOME": "/jdk"}
    for name, value in {**given, "OTHER": "x", "aws_lower": "x"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PODENV_PASS_ENV", text)
    assert variables.of_machine(None) == {**given, "PYTHONUNBUFFERED": "1"}


def test_a_cpu_limit_bounds_the_threads_unless_they_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert variables.of_machine("1500m")["OMP_NUM_THREADS"] == "2"
    assert "OMP_NUM_THREADS" not in variables.of_machine(None)
