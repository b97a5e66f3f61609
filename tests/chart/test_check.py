"""`files/check.py`, which `helm test` runs inside an image, on real interpreters."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.chart.helm import CHART

from podenv.venv.python import candidates, probe

CHECK = (CHART / "files" / "check.py").read_text(encoding="utf-8")
OWN = "{}.{}".format(*sys.version_info[:2])


class Image:
    """A Python in which only what is added here is installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, package: str, module: str, text: str = "") -> None:
        (self.folder / f"{module}.py").write_text(text)
        info = self.folder / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "RECORD").write_text(f"{module}.py,,\n{info.name}/RECORD,,\n")

    def check(self, *argv: str, python: str | Path = sys.executable) -> tuple[int, list[str]]:
        done = subprocess.run(
            [python, "-S", "-c", CHECK, *argv],
            env={**os.environ, "PYTHONPATH": str(self.folder)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.stderr == ""
        return done.returncode, re.sub(r"[0-9]+\.[0-9]{2} s", "T s", done.stdout).splitlines()


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return Image(tmp_path)


def test_it_imports_every_module_and_counts_the_packages(image: Image) -> None:
    image.add("etl", "etl")
    image.add("Etl.Other", "etl_other")
    code, lines = image.check(OWN, "etl", "etl-other")
    assert code == 0
    assert lines == [
        f"Python {sys.version.split()[0]}", "import etl: T s", "import etl_other: T s", "2 packages installed",
    ]  # fmt: skip


def test_without_a_lock_it_checks_the_python(image: Image) -> None:
    assert image.check(OWN)[0] == 0
    code, lines = image.check("3.8")
    assert code == 1
    assert lines[-1] == f"FAILED the image has Python {OWN}, the values say 3.8"


@pytest.mark.parametrize("entry", ["numpy", "numpy==1.26.4", "numpy @ https://example.com/numpy.tar.gz"])
def test_a_package_of_the_lock_that_is_not_there_is_named(image: Image, entry: str) -> None:
    image.add("etl", "etl")
    code, lines = image.check(OWN, "etl==1.0", entry)
    assert code == 1
    assert [one for one in lines if one.startswith("FAILED")] == ["FAILED numpy is in the lock and not in the image"]


def test_a_package_may_be_there_in_another_version_which_podenv_verify_tells(image: Image) -> None:
    image.add("etl", "etl")
    assert image.check(OWN, "etl==2.0", "etl @ git+https://example.com/etl@0123")[0] == 0


def test_every_module_that_cannot_be_imported_is_named(image: Image) -> None:
    image.add("needs", "needs", "import no_such_module")
    image.add("leaves", "leaves", "raise SystemExit(3)")
    image.add("fine", "fine")
    code, lines = image.check(OWN)
    assert code == 1
    assert lines[-2:] == [
        "FAILED import leaves: SystemExit: 3",
        "FAILED import needs: ModuleNotFoundError: No module named 'no_such_module'",
    ]
    assert "import fine: T s" in lines


@pytest.mark.parametrize("version", ["3.8", "3.10", "3.13"])
def test_it_runs_on_every_python(image: Image, version: str) -> None:
    found = next(filter(None, (probe(one, version) for one in candidates(version))), None)
    if found is None:
        pytest.skip(f"there is no Python {version} on this machine")
    image.add("etl", "etl")
    assert image.check(version, "etl", python=found)[0] == 0
