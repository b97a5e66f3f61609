"""`podenv doctor`, as a person starts it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Run


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home without kubeconfig, and an index that needs no network."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("UV_DEFAULT_INDEX", (tmp_path / "index").as_uri())


def test_a_laptop_without_cluster_is_well_without_it(podenv: Run, tmp_path: Path) -> None:
    podenv("new", "etl", "--python", f"{sys.version_info.major}.{sys.version_info.minor}")
    (tmp_path / "index").mkdir()
    podenv("lock")
    shown = podenv("doctor").stdout.splitlines()
    assert shown[0].split() == ["CHECK", "STATE", "WHAT"]
    states = {cells[0]: cells[1] for line in shown[1:7] if (cells := re.split(r"  +", line))}
    # A folder as an index serves this machine, and no build.
    assert states == {
        **dict.fromkeys(["versions", "uv", "catalogue", "locks", "Python"], "ok"),
        "package index": "warning",
    }
    assert shown[-1].startswith("skipped: builder, registry, helm, cluster, your rights, releases, Airflow's rights,")


def test_what_failed_is_named_with_its_remedy_and_the_exit_code_says_so(podenv: Run, tmp_path: Path) -> None:
    podenv("new", "etl", "--python", "3.11")
    done = podenv("doctor", "--local", "--json", exit_code=1)
    found = {one["check"]: (one["state"], one["text"]) for one in json.loads(done.stdout)}
    assert found["locks"] == ("failed", "not fresh: etl; run `podenv lock etl`.")
    assert found["cluster"] == ("skipped", "not looked at: --local")
    assert done.stderr.startswith("error: Some checks failed: ")


def test_a_cluster_that_is_named_and_gone_is_a_failure(podenv: Run, tmp_path: Path) -> None:
    done = podenv("doctor", "--json", exit_code=1, KUBECONFIG=str(tmp_path / "gone"))
    found = {one["check"]: (one["state"], one["text"]) for one in json.loads(done.stdout)}
    assert found["cluster"][0] == "failed"
    assert found["cluster"][1].startswith("The kubeconfig cannot be used: ")
    assert found["releases"] == ("skipped", "the cluster cannot be asked")
