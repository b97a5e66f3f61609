"""`podenv doctor`, as a person starts it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PODENV = Path(sys.executable).parent / "podenv"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def podenv(tmp_path: Path) -> Run:
    """Run podenv in a folder with nothing set up, and without the network."""
    outside = ("PODENV_", "AIRFLOW", "_PODENV", "KUBE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(outside)}
    index = {"UV_DEFAULT_INDEX": (tmp_path / "index").as_uri()}

    def run(*words: object, exit_code: int = 0, **changes: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [PODENV, *map(str, words)],
            cwd=tmp_path,
            env={**kept, **index, "HOME": str(tmp_path), "PODENV_CACHE": str(tmp_path / "cache"), **changes},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == exit_code, done.stdout + done.stderr
        return done

    return run


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


def test_what_lacks_is_named_with_its_remedy_and_the_exit_code_says_so(podenv: Run, tmp_path: Path) -> None:
    podenv("new", "etl", "--python", "3.11")
    done = podenv("doctor", "--local", "--json", exit_code=1)
    found = {one["check"]: (one["state"], one["text"]) for one in json.loads(done.stdout)}
    assert found["locks"] == ("lacks", "not fresh: etl; run `podenv lock etl`.")
    assert found["cluster"] == ("skipped", "not looked at: --local")
    assert done.stderr.startswith("error: Something that is needed lacks: ")


def test_a_cluster_that_is_named_and_gone_lacks(podenv: Run, tmp_path: Path) -> None:
    done = podenv("doctor", "--json", exit_code=1, KUBECONFIG=str(tmp_path / "gone"))
    found = {one["check"]: (one["state"], one["text"]) for one in json.loads(done.stdout)}
    assert found["cluster"][0] == "lacks"
    assert found["cluster"][1].startswith("The kubeconfig cannot be used: ")
    assert found["releases"] == ("skipped", "the cluster cannot be asked")
