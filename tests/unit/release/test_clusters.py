"""Environments of several clusters: one `Releases` for each context, and one that is away hides no other."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.registryserver import Answer, Asked, serving
from typer.testing import CliRunner

from podenv.catalogue.environment import Catalogue
from podenv.cli.app import app
from podenv.release import Target
from podenv.release.clusters import Clusters

IMAGE = f"image: {{registry: 127.0.0.1:1, repository: r, digest: 'sha256:{'1' * 64}', external: true}}"


KINDS = {
    "pods": "Pod", "secrets": "Secret", "limitranges": "LimitRange", "resourcequotas": "ResourceQuota", "nodes": "Node",
}  # fmt: skip


def empty(asked: Asked) -> Answer:
    """A cluster without a release, with one small node, whose quotas are not for everybody."""
    path = asked.path.partition("?")[0]
    if path == "/api/v1":
        kinds: list[dict[str, object]] = [
            {"name": one, "kind": kind, "namespaced": True} for one, kind in KINDS.items()
        ]
        kinds.append({"name": "nodes", "kind": "Node", "namespaced": False})
        return Answer(200, {}, json.dumps({"resources": kinds}).encode())
    if path == "/api/v1/nodes":
        return Answer(200, {}, b'{"items": [{"status": {"allocatable": {"cpu": "4", "memory": "8Gi"}}}]}')
    if path.endswith("/limitranges"):
        return Answer(200, {}, b'{"items": []}')
    if path.endswith("/resourcequotas"):
        return Answer(403, {}, b'{"message": "resourcequotas is forbidden"}')
    return Answer(200, {}, b'{"items": []}') if path.endswith(("/pods", "/secrets")) else Answer(404)


@pytest.fixture(autouse=True)
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Three environments in two clusters: `here` answers, `away` does not, and `here` is the current context."""
    for name, values in {"etl": "", "report": "cluster: {context: away}", "train": "cluster: {context: here}"}.items():
        folder = tmp_path / "envs" / name
        folder.mkdir(parents=True)
        (folder / "values.yaml").write_text(f'python: "3.11"\n{IMAGE}\n{values}\n')
    with serving(empty) as (host, _):
        servers = {"here": host, "away": "127.0.0.1:1"}
        config = {
            "current-context": "here",
            "contexts": [{"name": one, "context": {"cluster": one, "user": "u"}} for one in servers],
            "clusters": [{"name": one, "cluster": {"server": f"http://{at}"}} for one, at in servers.items()],
            "users": [{"name": "u", "user": {}}],
        }
        file = tmp_path / "kubeconfig"
        file.write_text(yaml.safe_dump(config))
        monkeypatch.setenv("KUBECONFIG", str(file))
        monkeypatch.setenv("PODENV_CATALOGUE", str(tmp_path / "envs"))
        monkeypatch.delenv("PODENV_NAMESPACE_PREFIX", raising=False)
        yield file


def run(*words: str) -> tuple[int, str, list[str]]:
    # The client library reads KUBECONFIG once, when it is imported.
    result = CliRunner().invoke(app, [*words, "--kubeconfig", os.environ["KUBECONFIG"]])
    return result.exit_code, result.stdout, [one for one in result.stderr.splitlines() if one.startswith("error: ")]


def test_there_is_one_releases_for_each_context(tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path / "envs")
    clusters = Clusters()
    groups = [
        (releases.target.context, [one.name for one in members]) for releases, members in clusters.groups(catalogue)
    ]
    assert groups == [(None, ["etl"]), ("away", ["report"]), ("here", ["train"])]
    assert clusters.of(catalogue["etl"]) is clusters.of(catalogue["etl"])
    one = Clusters(Target(context="here"))
    assert [(at.target.context, len(members)) for at, members in one.groups(catalogue)] == [("here", 3)]


def test_a_cluster_that_is_away_does_not_hide_the_others() -> None:
    code, stdout, errors = run("status", "--json")
    rows = {row["environment"]: (row["cluster"], row["state"]) for row in json.loads(stdout)}
    assert rows == {"etl": ("", "not deployed"), "report": ("away", "unknown"), "train": ("here", "not deployed")}
    assert code == 1
    (error,) = errors
    assert error.startswith(
        "error: Environment 'report', in context 'away': The API server http://127.0.0.1:1 does not"
    )
    code, stdout, _ = run("status")
    assert code == 1
    assert [line.split()[-1] for line in stdout.splitlines()] == ["CLUSTER", "-", "away", "here"]


def test_the_only_cluster_that_is_asked_gives_its_own_error() -> None:
    code, stdout, errors = run("status", "report")
    assert (code, stdout) == (1, "")
    assert [re.sub(r"\(.*?\)", "(…)", one, count=1) for one in errors] == [
        "error: The API server http://127.0.0.1:1 does not answer (…). Check KUBECONFIG, --kubeconfig and --context; "
        "`kubectl get namespaces` must work with the same."
    ]


@pytest.mark.parametrize("command", [("history", "etl"), ("status", "etl"), ("deploy", "etl", "--no-check")])
def test_a_context_that_the_kubeconfig_does_not_have_is_one_error(tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "envs" / "etl" / "values.yaml").write_text(f'python: "3.11"\n{IMAGE}\ncluster: {{context: her}}\n')
    code, stdout, errors = run(*command)
    assert (code, stdout) == (1, "")
    assert errors == [
        "error: The kubeconfig has no context 'her'. Did you mean 'here'? Its contexts are away, here. Correct "
        "--context, or cluster.context in the values."
    ]


def test_a_check_asks_the_cluster_of_each_environment_and_says_what_is_not_known(tmp_path: Path) -> None:
    tasks = [f"@task.env({name!r}, cpu='6')\ndef {name}(): ...\n" for name in ("etl", "report", "train")]
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "d.py").write_text("from airflow.sdk import task\n\n" + "\n".join(tasks))
    words = ["check", "--cluster", "--select", "limit", "--kubeconfig", os.environ["KUBECONFIG"]]
    result = CliRunner().invoke(app, words)
    assert re.findall(r": (`.*)", result.stdout) == [
        f"`{name}` asks for cpu 6, and the largest node has 4." for name in ("etl", "train")
    ]
    assert [
        re.split(": | http", one)[2:4] for one in result.stderr.splitlines() if one.startswith("could not check: limit")
    ] == [
        ["what the quotas of the current context allow", "The cluster refuses it"],
        ["what the cluster of context 'away' allows report", "The API server"],
        ["what the quotas of context 'here' allow", "The cluster refuses it"],
    ]
    assert result.exit_code == 1
    # One environment asks its own cluster only, whose error is the command's.
    result = CliRunner().invoke(app, [*words, "--env", "report"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "The API server http://127.0.0.1:1 does not answer" in result.stderr
