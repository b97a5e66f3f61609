"""`from podenv import env` as type checkers see it: the same lines are right or wrong for each of them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import podenv
from podenv.airflow import decorator

ROOT = Path(__file__).parents[2]
RIGHT = """\
from typing import assert_type

from airflow.sdk import XComArg

from podenv import env


@env("ingest", cpu="500m", memory="1Gi", retries=2, labels={"team": "a"})
def ingest(day: str, limit: int = 10) -> dict[str, list[float]]:
    return {}


@env("train", gpu=1, container_resources={"limits": {"memory": "1Gi"}})
async def train(rows: list[float], *, rate: float = 0.1) -> float:
    return rate


found = ingest("2026-01-01", limit=3)
argument: XComArg = found
train(found)
train(found["rows"], rate=found["rate"])
train.override(task_id="again", memory="2Gi")([1.0])
train.expand(rows=[[1.0], [2.0]])
train.partial(rate=0.5).expand(rows=found)
found >> train([1.0])
assert_type(ingest.function("x"), dict[str, list[float]])
"""
WRONG = """\
from podenv import env


@env("ingest", memory=1)  # wrong
def ingest(day: str, limit: int = 10) -> int:
    return 1


@env  # wrong
def bare() -> None: ...


ingest("x", limit="3")  # wrong
ingest()  # wrong
ingest("x", 1, 2)  # wrong
ingest(da="x")  # wrong
ingest.overide(task_id="y")  # wrong
"""
Checker = Callable[[Path], set[int]]


def lines_of(argv: list[str | Path], pattern: str) -> set[int]:
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return {int(line) for line in re.findall(pattern, done.stdout)}


def mypy(file: Path) -> set[int]:
    return lines_of([sys.executable, "-m", "mypy", "--strict", file], rf"{file.name}:(\d+): error")


def ty(file: Path) -> set[int]:
    program = shutil.which("ty") or pytest.skip("needs the program ty on PATH")
    argv: list[str | Path] = [program, "check", "--python", sys.prefix, "--output-format", "concise", file]
    return lines_of(argv, rf"{file.name}:(\d+):\d+: error")


def pyright(file: Path) -> set[int]:
    program = shutil.which("pyright") or pytest.skip("needs the program pyright on PATH")
    argv = [program, "--outputjson", "--pythonpath", sys.executable, str(file)]
    done = subprocess.run(argv, cwd=file.parent, capture_output=True, text=True, timeout=300, check=False)
    found = json.loads(done.stdout)["generalDiagnostics"]
    return {one["range"]["start"]["line"] + 1 for one in found if one["severity"] == "error"}


@pytest.mark.parametrize("check", [mypy, ty, pyright])
def test_the_task_keeps_its_parameters_and_its_value_fits_every_parameter(tmp_path: Path, check: Checker) -> None:
    (tmp_path / "right.py").write_text(RIGHT)
    assert check(tmp_path / "right.py") == set()


@pytest.mark.parametrize("check", [mypy, ty, pyright])
def test_wrong_arguments_are_errors_on_their_lines(tmp_path: Path, check: Checker) -> None:
    (tmp_path / "wrong.py").write_text(WRONG)
    marked = {number for number, line in enumerate(WRONG.splitlines(), 1) if line.endswith("# wrong")}
    assert check(tmp_path / "wrong.py") == marked


def test_it_is_the_decorator_of_task_env() -> None:
    assert podenv.env is vars(decorator)["env"]


def test_the_stub_is_loaded_by_nothing() -> None:
    code = "import sys, podenv; podenv.env; print([name for name in sys.modules if name.endswith('.typed')])"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
