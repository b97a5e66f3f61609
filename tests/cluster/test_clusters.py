"""One command for environments of several clusters: two contexts of the real one, and one that leads nowhere."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from tests.cluster.releases import Stage
from tests.cluster.test_teams import account

from podenv.cli.app import app

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


# Of each command that talks to a cluster: what follows it, and its exit code.
COMMANDS: dict[str, tuple[tuple[str, ...], int]] = {
    "up": ((), 1),  # after it has asked the clusters: they have no requirements to lock
    "deploy": ((), 0),
    "status": ((), 0),
    "diff": ((), 0),
    "affected": (("six<2",), 2),  # an image that is built elsewhere says nothing
    "check": (("--cluster", "--select", "limit", "{dags}"), 2),  # the nodes are not for a team to see
    "prune": (("--pods",), 0),
    "doctor": (("--json",), 1),  # there are no locks
    "history": (("report",), 0),
    "warm": (("report",), 1),  # there are no idle pods
    "test": (("report",), 0),
    "rollback": (("report", "1", "--yes"), 0),
    "uninstall": (("report", "--yes"), 0),
}


def test_each_command_goes_to_the_cluster_of_each_environment(stage: Stage, tmp_path: Path) -> None:
    # Two contexts, of accounts that may do nothing in the namespace of the other; the current one leads nowhere.
    stage.cluster.create("/api/v1/namespaces", {"metadata": {"name": stage.namespace("ci")}})
    contexts = {"etl": "one", "report": "two"}
    (tmp_path / "dags").mkdir()
    config: dict[str, Any] = yaml.safe_load(kubeconfig(tmp_path / "kubeconfig").read_text())
    config["current-context"] = "away"
    for name, context in contexts.items():
        stage.write(name, cluster={"context": context})
        token = yaml.safe_load(account(stage, context, tmp_path / context).read_text())["users"][0]["user"]
        config["users"].append({"name": context, "user": token})
        entry = next(one for one in config["contexts"] if one["name"] == context)
        entry["context"] = {**entry["context"], "user": context}
        rights = stage.run("rights", name, "--service-account", f"{stage.namespace('ci')}/{context}")[1]
        subprocess.run(["kubectl", "apply", "-f", "-"], input=rights, text=True, check=True, stdout=subprocess.PIPE)
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(config))

    group: Any = typer.main.get_command(app)
    found = {name: group.get_command(None, name) for name in group.commands}
    assert {name for name, one in found.items() if any(it.name == "context" for it in one.params)} == COMMANDS.keys()
    for command, (words, expected) in COMMANDS.items():
        filled = [one.format(dags=tmp_path / "dags") for one in words]
        code, said = run(stage, command, *filled, "--kubeconfig", str(file))
        assert (code, command) == (expected, command), said
        assert "127.0.0.1:1 " not in said, said
        assert "forbidden" not in said or command == "check", said


def run(stage: Stage, *words: str) -> tuple[int, str]:
    """Exit code of a command, and all that it says."""
    if words[0] != "doctor":  # which ends all programs of its process
        code, stdout, stderr = stage.run(*words)
        return code, f"{words}: {stdout}{stderr}"
    process = stage.start(*words)
    stdout, stderr = process.communicate(timeout=180)
    return process.returncode, f"{words}: {stdout}{stderr}"
