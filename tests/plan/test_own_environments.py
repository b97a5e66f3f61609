"""What README and the example pipelines say of the project's own environments, asked of the real package index."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from podenv.cli.app import app

ROOT = Path(__file__).parents[2]


def test_no_two_of_the_three_stages_can_share_an_environment_whatever_its_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PODENV_CACHE", str(tmp_path))
    monkeypatch.setenv("PODENV_CATALOGUE", str(ROOT / "envs"))
    for name in ("PODENV_REGISTRY", "AIRFLOW__CORE__DAGS_FOLDER"):
        monkeypatch.delenv(name, raising=False)
    result = CliRunner().invoke(app, ["plan", "--no-sync", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["environments"], found["proven"], found["apart_by_python_alone"]) == (3, True, [])
    assert {tuple(one["environments"]): one["text"] for one in found["clashes"] if one["why"] == "versions"} == {
        ("data-cleaning", "data-ingestion"): "pandas==2.1.* (data-cleaning) against pandas==1.5.* (data-ingestion)",
        ("data-cleaning", "model-training"): "numpy==1.26.* (data-cleaning) against numpy>=2 (model-training)",
        ("data-ingestion", "model-training"): "numpy<2 (data-ingestion) against numpy>=2 (model-training)",
    }
    tasks = {one["name"]: [(task["dag"], task["task"]) for task in one["tasks"]] for one in found["proposals"]}
    assert tasks["model-training"] == [("helper_func_dag", "explore"), ("multi_env_dag", "train")]
