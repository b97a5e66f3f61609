"""The values file for Airflow's official chart."""

from __future__ import annotations

from pathlib import Path

import yaml

from podenv.airflow.provider import get_provider_info

ROOT = Path(__file__).parents[2]


def test_its_options_of_podenv_are_options() -> None:
    values = yaml.safe_load((ROOT / "charts/airflow-values.yaml").read_text(encoding="utf-8"))
    options = values["config"]["podenv"]
    known = get_provider_info()["config"]["podenv"]["options"]
    assert options.keys() == {"airflow_id", "namespace_prefix", "payload"}
    assert options.keys() <= known.keys()
    assert (options["namespace_prefix"], options["payload"]) == (
        known["namespace_prefix"]["default"],
        known["payload"]["default"],
    )


def test_its_branch_is_where_git_sync_reads_it() -> None:
    """The chart has a default for `branch`, Airflow's own `v2-2-stable`, which git-sync 4 prefers to `ref`."""
    values = yaml.safe_load((ROOT / "charts/airflow-values.yaml").read_text(encoding="utf-8"))
    assert values["dags"]["gitSync"] == {
        "enabled": True, "repo": "https://git.example.com/data/pipelines.git",
        "branch": "main", "ref": "main", "subPath": "dags",
    }  # fmt: skip
