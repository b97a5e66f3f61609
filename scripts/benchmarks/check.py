"""`podenv check`: many tasks that did not change, and a first look at one environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.report import Comparison, show
from podenv.catalogue.environment import Catalogue, Environment
from podenv.lock import lockfile, sources

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "envs" / "data-cleaning"
UNCHANGED, COLD = 2.5, 2.0  # seconds
ROUNDS = 5
TASK = """
    @task.env("{environment}")
    def task_{number}(rows: list[dict]) -> dict:
        import pandas as pd
        from numpy import mean

        frame = pd.DataFrame(rows).rename(columns={{"a": "b_{number}"}})
        return {{"rows": len(frame), "mean": float(mean([1, {number}]))}}

    task_{number}([])
"""
HEAD = "from airflow.sdk import dag, task\n\n\n@dag(schedule=None)\ndef etl_{number}():\n"
PODENV = [sys.executable, "-c", "from podenv.cli import main; main()"]


def lay_out(root: Path, *, environments: int, tasks: int) -> None:
    """So many environments, each with a lock of its own, and a DAG file for each with its share of the tasks."""
    (root / "dags").mkdir(parents=True)
    for number in range(environments):
        name = f"bench-{number:02}"
        folder = root / "envs" / name
        shutil.copytree(SOURCE, folder)
        _relock(Catalogue(root / "envs")[name], f"# lock {number}\n")
        functions = "".join(TASK.format(environment=name, number=one) for one in range(tasks // environments))
        dag = HEAD.format(number=number) + functions + f"\n\netl_{number}()\n"
        (root / "dags" / f"etl_{number:02}.py").write_text(dag)


def _relock(environment: Environment, comment: str) -> None:
    """Make the lock another one, which asks for the same."""
    body = environment.lock_file.read_bytes().split(b"\n", 2)[2]
    beside = environment.folder / ".beside"
    lockfile.write(environment, sources.read(environment), body + comment.encode(), beside=beside)


def timed(root: Path, before: Callable[[], None] = lambda: None) -> float:
    """The median seconds of the whole command, its start included."""
    times = []
    for _ in range(ROUNDS):
        before()
        began = time.perf_counter()
        done = subprocess.run([*PODENV, "check"], cwd=root, capture_output=True, text=True)
        times.append(time.perf_counter() - began)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "not checked" not in done.stderr, done.stderr
    return median(times)


def unchanged(root: Path) -> Comparison:
    """500 tasks in 50 environments, all checked before."""
    lay_out(root, environments=50, tasks=500)
    subprocess.run([*PODENV, "check"], cwd=root, check=True, capture_output=True)
    took = timed(root)
    return Comparison("check of 500 tasks in 50 environments, unchanged", f"{UNCHANGED:g} s", took, UNCHANGED, 1.0)


def cold(root: Path, cache: Path) -> Comparison:
    """50 tasks in one environment: no result is kept, and its lock is unpacked from uv's cache."""
    lay_out(root, environments=1, tasks=50)
    subprocess.run([*PODENV, "check"], cwd=root, check=True, capture_output=True)  # fills uv's cache

    def forget() -> None:
        for folder in ("check", "shelves"):
            shutil.rmtree(cache / folder)

    took = timed(root, forget)
    return Comparison("check of 50 tasks in one environment, cold", f"{COLD:g} s", took, COLD, 1.0)


def main() -> bool:
    """True if every ratio is what the project claims; the packages come from PyPI, or from uv's cache."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PODENV_CACHE"] = str(Path(folder, "cache"))
        os.environ.pop("PODENV_CATALOGUE", None)
        return show("check", [unchanged(Path(folder, "many")), cold(Path(folder, "one"), Path(folder, "cache"))])
