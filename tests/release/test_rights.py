"""`podenv rights`: what an administrator applies before a team deploys; without helm and cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from podenv.cli.app import app


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODENV_CATALOGUE", str(tmp_path / "envs"))
    monkeypatch.delenv("PODENV_NAMESPACE_PREFIX", raising=False)
    for name, values in {
        "etl": "networkPolicy: {enabled: true}",
        "one": "namespace: shared",
        "two": "namespace: shared\nwarm: {idle: 1}",
    }.items():
        folder = tmp_path / "envs" / name
        folder.mkdir(parents=True)
        (folder / "values.yaml").write_text(f'python: "3.11"\n{values}\n')


def run(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["rights", *words])
    return result.exit_code, result.stdout, result.stderr


def test_a_namespace_that_environments_share_is_prepared_once_with_the_rights_of_all() -> None:
    code, stdout, stderr = run("--service-account", "ci/deployer", "--group", "team-a")
    assert (code, stderr) == (0, "")
    items: list[dict[str, Any]] = list(yaml.safe_load_all(stdout))
    kinds = [(one["kind"], one["metadata"]["name"], one["metadata"].get("namespace", "")) for one in items]
    assert kinds == [
        ("Namespace", "podenv-etl", ""),
        ("Role", "podenv-deployer", "podenv-etl"),
        ("RoleBinding", "podenv-deployer", "podenv-etl"),
        ("Namespace", "shared", ""),
        ("Role", "podenv-deployer", "shared"),
        ("RoleBinding", "podenv-deployer", "shared"),
    ]
    assert items[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert items[2]["subjects"] == [
        {"kind": "ServiceAccount", "name": "deployer", "namespace": "ci"},
        {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "team-a"},
    ]
    own, shared = (
        {resource: rule["verbs"] for rule in items[i]["rules"] for resource in rule["resources"]} for i in (1, 4)
    )
    assert own["networkpolicies"] == ["create", "get", "list", "patch", "delete"]
    assert own["podtemplates"] == ["create", "get", "list", "patch", "delete"]
    assert set(shared) - set(own) == {"pods/attach", "deployments", "jobs"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "say who gets the rights: --service-account NAMESPACE/NAME, --group or --user."),
        (("--service-account", "deployer"), "'deployer' is not a service account; write it like ci/deployer"),
        (("nothing", "--user", "jane"), "There is no environment 'nothing'"),
    ],
)
def test_a_wrong_call_prints_nothing_to_apply(words: tuple[str, ...], said: str) -> None:
    code, stdout, stderr = run(*words)
    assert code != 0
    assert stdout == ""
    assert said in " ".join(stderr.replace("│", " ").split())


def test_objects_whose_rights_are_not_known_are_named(tmp_path: Path) -> None:
    file = tmp_path / "envs" / "etl" / "values.yaml"
    file.write_text('python: "3.11"\nextraObjects: [{apiVersion: v1, kind: ConfigMap, metadata: {name: site}}]\n')
    code, stdout, stderr = run("etl", "--user", "jane")
    assert (code, stderr) == (0, "warning: etl: its extraObjects (ConfigMap) need rights of their own; add them.\n")
    assert "ConfigMap" not in stdout
