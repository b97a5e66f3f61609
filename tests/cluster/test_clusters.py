"""One command for environments of several clusters: two contexts of the real one, and one that leads nowhere."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster.releases import Stage

pytestmark = pytest.mark.cluster


def kubeconfig(file: Path) -> Path:
    """The contexts `one` (the current) and `two` of the cluster in force, and `away`."""
    argv = ["kubectl", "config", "view", "--minify", "--flatten", "--raw", "--output=json"]
    config: dict[str, Any] = json.loads(subprocess.run(argv, capture_output=True, check=True, timeout=60).stdout)
    context = config["contexts"][0]["context"]
    config["clusters"].append({"name": "away", "cluster": {"server": "https://127.0.0.1:1"}})
    config["contexts"] = [
        {"name": "one", "context": context},
        {"name": "two", "context": context},
        {"name": "away", "context": {**context, "cluster": "away"}},
    ]
    file.write_text(yaml.safe_dump({**config, "current-context": "one"}))
    file.chmod(0o600)
    return file


def test_one_deploy_serves_several_clusters_and_status_shows_all(stage: Stage, tmp_path: Path) -> None:
    stage.write("etl")
    stage.write("report", cluster={"context": "two"})
    stage.write("train", cluster={"context": "away"})
    config = ("--kubeconfig", str(kubeconfig(tmp_path / "kubeconfig")))

    code, stdout, stderr = stage.run("deploy", "--json", *config)
    assert code == 1
    rows = {row["environment"]: row for row in json.loads(stdout)}
    assert {name: row["action"] for name, row in rows.items()} == {
        "etl": "installed", "report": "installed", "train": "failed",
    }  # fmt: skip
    assert rows["train"]["error"].startswith(
        "Environment 'train', in context 'away': The API server https://127.0.0.1:1 does not answer"
    )
    assert "1 of 3 environments could not be deployed." in stderr

    code, stdout, _ = stage.run("status", "--json", *config)
    found = {row["environment"]: (row["cluster"], row["state"], row["drift"]) for row in json.loads(stdout)}
    assert code == 1
    assert found == {
        "etl": ("", "deployed", []), "report": ("two", "deployed", []), "train": ("away", "unknown", []),
    }  # fmt: skip

    # The name of the cluster is no part of the release.
    stage.write("report", cluster={"context": "one"})
    code, stdout, _ = stage.run("deploy", "etl", "report", "--json", *config)
    assert (code, [row["action"] for row in json.loads(stdout)]) == (0, ["unchanged", "unchanged"])
    # All of them in the cluster of the option.
    assert stage.run("deploy", "train", "--context", "two", *config)[0] == 0
    for command in (
        ("history", "report"),
        ("test", "report"),
        ("diff", "etl", "report"),
        ("uninstall", "report", "--yes"),
    ):
        assert stage.run(*command, *config)[0] == 0, command
