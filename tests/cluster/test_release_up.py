"""The three real environments, from their locks to pods that run on the cluster."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.chart.helm import SUPPORTED, fetch
from tests.cluster.releases import swept
from typer.testing import CliRunner

from podenv.cli.app import app
from podenv.release.cluster import Cluster

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
NAMES = ["data-cleaning", "data-ingestion", "model-training"]


@pytest.fixture
def prefix(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    made = f"podenv-up{uuid.uuid4().hex[:6]}-"
    monkeypatch.setenv("PODENV_NAMESPACE_PREFIX", made)
    monkeypatch.setenv("PODENV_CATALOGUE", str(ROOT / "envs"))
    monkeypatch.setenv("PODENV_HELM", str(fetch(SUPPORTED[0])))
    with swept(Cluster(), made):
        yield made


def test_up_brings_all_environments_out_without_drift_and_their_tests_pass(prefix: str) -> None:
    def run(*arguments: str) -> list[dict[str, object]]:
        result = CliRunner().invoke(app, [*arguments, "--json"])
        assert result.exit_code == 0, result.output
        rows = json.loads(result.stdout)
        return rows if isinstance(rows, list) else [rows]

    assert [(row["environment"], row["action"]) for row in run("up")] == [(name, "installed") for name in NAMES]
    assert [(row["environment"], row["action"]) for row in run("up")] == [(name, "unchanged") for name in NAMES]
    rows = run("status")
    assert [(row["environment"], row["state"], row["health"], row["drift"]) for row in rows] == [
        (name, "deployed", "ok", []) for name in NAMES
    ]
    for name in NAMES:
        (tested,) = run("test", name)
        assert tested["passed"] is True
        assert "FAILED" not in str(tested["log"])
