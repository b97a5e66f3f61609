"""One Airflow home for the session, and an empty project for what a page has people do."""

from __future__ import annotations

import os
import sys
import uuid
from pathlib import Path

import pytest
from tests import airflowhome
from tests.chart.helm import SUPPORTED, fetch
from tests.docs.pages import ROOT
from tests.docs.walk import OnACluster

airflowhome.prepare(ROOT / "tests" / "dags" / "project" / "dags")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project beside an empty cache; of settings only those that name a cluster are left."""
    for name in tuple(os.environ):
        if name.startswith("AIRFLOW") or name in ("PODENV_CATALOGUE", "PODENV_BACKEND"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PODENV_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")
    made = tmp_path / "pipelines"
    made.mkdir()
    return made


@pytest.fixture
def without_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """No cluster is in reach, nor a registry."""
    for name in tuple(os.environ):
        if name.startswith(("PODENV_", "KUBE")) and name != "PODENV_CACHE":
            monkeypatch.delenv(name)
    monkeypatch.setenv("PODENV_BASE_IMAGE", "127.0.0.1:1/base:{python}")  # no registry of others is asked


@pytest.fixture
def on_a_cluster(monkeypatch: pytest.MonkeyPatch) -> OnACluster:
    """Namespaces of the test's own on the cluster of the kubeconfig."""
    made = OnACluster(f"podenv-doc{uuid.uuid4().hex[:6]}-", os.environ["PODENV_REGISTRY"])
    for name in ("PODENV_NAMESPACE_PREFIX", "AIRFLOW__PODENV__NAMESPACE_PREFIX"):
        monkeypatch.setenv(name, made.prefix)
    helm = os.environ.get("PODENV_HELM") or str(fetch(SUPPORTED[0]))
    monkeypatch.setenv("PODENV_HELM", helm)
    monkeypatch.setenv("PATH", str(Path(helm).parent), prepend=os.pathsep)
    return made
