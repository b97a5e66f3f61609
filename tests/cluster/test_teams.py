"""An administrator prepares namespaces, and a team deploys into them with no right outside: two service accounts."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster.releases import Stage

pytestmark = pytest.mark.cluster

RBAC = "rbac.authorization.k8s.io"
# What makes namespaces, and gives rights there that the administrator need not have.
ADMIN = [
    {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["create", "get", "patch"]},
    {
        "apiGroups": [RBAC],
        "resources": ["roles", "rolebindings"],
        "verbs": ["create", "get", "patch", "escalate", "bind"],
    },
]


def kubectl(config: Path, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    argv = ["kubectl", "--kubeconfig", str(config), *words]
    return subprocess.run(argv, input=given, capture_output=True, text=True, check=False, timeout=120)


def account(stage: Stage, name: str, file: Path) -> Path:
    """A service account, and a kubeconfig with its token."""
    place = stage.namespace("ci")
    path = f"/api/v1/namespaces/{place}/serviceaccounts"
    stage.cluster.create(path, {"metadata": {"name": name}})
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = stage.cluster.create(f"{path}/{name}/token", request)["status"]["token"]
    argv = ["kubectl", "config", "view", "--minify", "--flatten", "--raw", "--output=json"]
    config = json.loads(subprocess.run(argv, capture_output=True, check=True, timeout=60).stdout)
    config["users"][0]["user"] = {"token": token}
    file.write_text(yaml.safe_dump(config))
    file.chmod(0o600)
    return file


@contextmanager
def cluster_role(stage: Stage, name: str, rules: list[dict[str, Any]]) -> Iterator[None]:
    """The ``rules`` in all namespaces for the service account ``name``."""
    whole = stage.namespace(name)
    meta = {"metadata": {"name": whole}}
    base = f"/apis/{RBAC}/v1"
    role = {"apiGroup": RBAC, "kind": "ClusterRole", "name": whole}
    subjects = [{"kind": "ServiceAccount", "name": name, "namespace": stage.namespace("ci")}]
    stage.cluster.create(f"{base}/clusterroles", {**meta, "rules": rules})
    stage.cluster.create(f"{base}/clusterrolebindings", {**meta, "roleRef": role, "subjects": subjects})
    try:
        yield
    finally:
        stage.cluster.delete(f"{base}/clusterrolebindings/{whole}")
        stage.cluster.delete(f"{base}/clusterroles/{whole}")


def test_a_team_deploys_into_what_an_administrator_prepared(stage: Stage, tmp_path: Path) -> None:
    stage.cluster.create("/api/v1/namespaces", {"metadata": {"name": stage.namespace("ci")}})
    admin, team = (account(stage, name, tmp_path / name) for name in ("admin", "team"))
    airflow = {"serviceAccounts": [{"name": "af-worker", "namespace": "airflow"}], "secrets": True}
    for name in ("etl", "report"):
        stage.write(name, access=airflow)

    def by_team(*words: str) -> tuple[int, str]:
        """Exit code, and the lines of errors."""
        code, _, stderr = stage.run(*words, "--kubeconfig", str(team))
        return code, "\n".join(line for line in stderr.splitlines() if line.startswith("error: "))

    code, said = by_team("deploy", "etl")
    assert code == 1
    assert said.count("\n") == 0
    assert f'cannot list resource "secrets" in API group "" in the namespace "{stage.namespace("etl")}"' in said
    assert said.endswith("permission; `podenv rights` prints all that a deploy needs.")

    printed = stage.run("rights", "--service-account", f"{stage.namespace('ci')}/team")[1]
    with cluster_role(stage, "admin", ADMIN):
        applied = kubectl(admin, "apply", "--filename", "-", given=printed)
    assert applied.returncode == 0, applied.stderr

    doctor = stage.start("doctor", "--json", "--kubeconfig", str(team))  # it ends all programs of its process
    findings = json.loads(doctor.communicate(timeout=120)[0])
    assert [one["text"] for one in findings if one["check"] == "your rights"] == ["you may deploy"]
    for command in (
        ("deploy",), ("deploy", "--dry-run"), ("status",), ("diff",), ("history", "etl"), ("test", "etl"),
    ):  # fmt: skip
        assert by_team(*command) == (0, ""), command
    stage.write("etl", access=airflow, env={"A": "1"})
    assert by_team("deploy") == (0, "")
    assert by_team("rollback", "etl", "--yes") == (0, "")
    assert stage.revisions("etl") == [(3, "deployed"), (2, "superseded"), (1, "superseded")]
    assert by_team("uninstall", "report", "--yes") == (0, "")
    left = stage.cluster.list("coordination.k8s.io/v1", "Lease", namespace=stage.namespace("etl"))
    assert left == []

    # An environment for which nothing was prepared fails alone, and so does what the administrator keeps.
    stage.write("other", access=airflow)
    code, said = by_team("deploy", "other")
    assert (code, said.count("\n")) == (1, 0)
    assert f'in the namespace "{stage.namespace("other")}"' in said
    stage.write("etl", access=airflow, resourceQuota={"hard": {"pods": "9"}})
    code, said = by_team("deploy", "etl")
    assert (code, said.count("\n")) == (1, 0)
    assert 'resource "limitranges"' in said or 'resource "resourcequotas"' in said
    assert said.endswith("permission; `podenv rights` prints all that a deploy needs.")
    assert stage.revisions("etl")[0] == (3, "deployed")
