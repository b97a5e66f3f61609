"""`podenv template --all`, `podenv release-files`, the examples for GitOps tools; real helm, no cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.chart.helm import SUPPORTED, fetch
from typer.testing import CliRunner

from podenv.catalogue import names
from podenv.catalogue.values import dump
from podenv.cli.app import app
from podenv.release import chart

DIGEST = f"sha256:{'1' * 64}"
EXAMPLES = Path(__file__).parents[2] / "docs" / "guides" / "gitops"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("PODENV_NAMESPACE_PREFIX", "PODENV_REGISTRY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PODENV_CATALOGUE", str(tmp_path / "envs"))
    monkeypatch.setenv("PODENV_HELM", str(fetch(SUPPORTED[0])))
    return tmp_path


def write(home: Path, name: str, *, tag: str = "", **values: Any) -> None:
    image: dict[str, Any] = {"registry": "127.0.0.1:1", "repository": "etl", "external": True}
    image |= {"tag": tag} if tag else {"digest": DIGEST}
    folder = home / "envs" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "values.yaml").write_text(dump({"python": "3.11", "image": image, **values}))


def run(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(words))
    return result.exit_code, result.stdout, result.stderr


def tree(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}


def test_a_folder_of_manifests_is_the_same_again_and_says_what_would_change(home: Path) -> None:
    write(home, "etl", env={"A": "1", "DB_PASSWORD": "hunter2"})
    write(home, "old")
    lock = home / "deploy" / "images.lock"
    lock.parent.mkdir()
    # What was asked of a registry before; it is not asked again.
    write(home, "etl", tag="v1", env={"A": "1", "DB_PASSWORD": "hunter2"})
    lock.write_text(
        f"kubernetes: '1.34'\nimages: {{etl: '127.0.0.1:1/etl:v1@{DIGEST}', old: '127.0.0.1:1/etl@{DIGEST}'}}\n"
    )
    assert run("template", "--all", "--out", "deploy")[0] == 0
    before = tree(home / "deploy")
    assert sorted(before) == ["etl/manifests.yaml", "images.lock", "old/manifests.yaml"]
    kinds = [one["kind"] for one in yaml.safe_load_all(before["etl/manifests.yaml"])]
    assert kinds == ["Namespace", "ServiceAccount", "PodTemplate"]
    assert f"127.0.0.1:1/etl@{DIGEST}" in before["etl/manifests.yaml"]
    assert run("template", "--all", "--out", "deploy", "--offline")[0] == 0
    assert tree(home / "deploy") == before
    assert run("release-files", "deploy", "--check") == (0, "deploy: nothing changes\n", "")

    write(home, "etl", tag="v2", env={"A": "2", "DB_PASSWORD": "hunter3"})
    (home / "envs" / "old" / "values.yaml").unlink()
    (home / "envs" / "old").rmdir()
    (home / "deploy" / "old" / "notes").write_text("ours")
    code, stdout, stderr = run("release-files", "deploy", "--check")
    assert code == 1
    assert f"etl: image 127.0.0.1:1/etl:v1@{DIGEST} becomes 127.0.0.1:1/etl:v2\n" in stdout
    assert "etl: change PodTemplate/etl\n" in stdout
    assert "hunter" not in stdout
    assert "old: its files would be removed\n" in stdout
    assert stderr == "Run `podenv template --all --out deploy`, and commit what it writes.\n"
    assert run("release-files", "deploy")[0] == 0

    code, _, stderr = run("template", "--all", "--out", "deploy", "--offline")
    assert code == 1
    assert "images.lock does not have 127.0.0.1:1/etl:v2, which 'etl' needs now" in stderr
    assert "1 of 1 environments failed; nothing was written." in stderr
    assert tree(home / "deploy") == {**before, "old/notes": "ours"}

    write(home, "etl", tag="v1")
    code, stdout, _ = run("template", "--all", "--out", "deploy")
    assert code == 0
    assert "old: removed; deploy/old stays, since it holds other files\n" in stdout
    assert sorted(tree(home / "deploy")) == ["etl/manifests.yaml", "images.lock", "old/notes"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("template",), "name one environment, or write all with"),
        (("template", "etl", "--offline"), "--offline and --refresh go with --all"),
        (("template", "--all", "--out", "envs"), "is in the catalogue"),
        (("release-files", "deploy"), "there is no deploy/images.lock"),
    ],
)
def test_what_does_not_go_together_is_refused(home: Path, words: tuple[str, ...], said: str) -> None:
    write(home, "etl")
    code, _, stderr = run(*words)
    assert code == 2
    assert said in " ".join(stderr.replace("│", " ").split())


def test_the_examples_name_what_podenv_names(home: Path) -> None:
    (application,) = yaml.safe_load_all((EXAMPLES / "applicationset.yaml").read_text())
    assert application["spec"]["generators"][0]["git"]["directories"] == [{"path": "deploy/*"}]
    source = application["spec"]["template"]["spec"]["source"]
    assert source["path"] == "{{.path.path}}"
    assert application["spec"]["template"]["spec"]["destination"]["namespace"] == names.namespace("{{.path.basename}}")
    repository, release = yaml.safe_load_all((EXAMPLES / "helmrelease.yaml").read_text())
    metadata = yaml.safe_load((chart.folder() / "Chart.yaml").read_text())
    assert repository["spec"]["url"].endswith(f"/{chart.NAME}")
    assert repository["spec"]["ref"]["tag"] == metadata["version"]
    name = release["spec"]["releaseName"]
    assert release["spec"]["chartRef"]["name"] == repository["metadata"]["name"]
    assert release["spec"]["targetNamespace"] == release["spec"]["storageNamespace"] == names.namespace(name)
