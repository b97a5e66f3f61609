"""`files/check.py`, which `helm test` runs inside an image, on real interpreters."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.chart.helm import CHART

from podenv.python import candidates, probe

CHECK = (CHART / "files" / "check.py").read_text(encoding="utf-8")
OWN = "{}.{}".format(*sys.version_info[:2])


def check(*argv: str, python: str | Path = sys.executable) -> tuple[int, list[str]]:
    done = subprocess.run([python, "-c", CHECK, *argv], capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    return done.returncode, re.sub(r"[0-9]+\.[0-9]{2} s", "T s", done.stdout).splitlines()


def test_it_imports_every_module_and_counts_the_packages() -> None:
    code, lines = check(OWN, "json", "email")
    assert code == 0
    assert lines[:3] == [f"Python {sys.version.split()[0]}", "import json: T s", "import email: T s"]
    assert re.fullmatch("[1-9][0-9]* packages installed", lines[3])


def test_without_a_lock_it_checks_the_python() -> None:
    assert check(OWN)[0] == 0
    code, lines = check("3.8")
    assert code == 1
    assert lines[-1] == f"FAILED the image has Python {OWN}, the values say 3.8"


def test_every_module_that_cannot_be_imported_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "leaves.py").write_text("raise SystemExit(3)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    code, lines = check(OWN, "no_such_module", "leaves", "json")
    assert code == 1
    assert lines[-2:] == [
        "FAILED import no_such_module: ModuleNotFoundError: No module named 'no_such_module'",
        "FAILED import leaves: SystemExit: 3",
    ]
    assert "import json: T s" in lines


@pytest.mark.parametrize("version", ["3.8", "3.10", "3.13"])
def test_it_runs_on_every_python(version: str) -> None:
    found = next(filter(None, (probe(one, version) for one in candidates(version))), None)
    if found is None:
        pytest.skip(f"there is no Python {version} on this machine")
    assert check(version, "json", python=found)[0] == 0
