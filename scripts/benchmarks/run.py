"""`podenv run` beside Airflow's own `airflow dags test`: the same DAG of one task, in an environment that is ready."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from benchmarks.report import Comparison, alternate, show

FIRST_TASK_SECONDS = 5.0
ROUNDS = 5
DAG = """
from airflow.sdk import dag, task

@dag(schedule=None)
def one():
    @task.env("small")
    def answer():
        return 42

    answer()

one()
"""


def started(argv: list[str], root: Path, environ: Mapping[str, str], until: str = "") -> float:
    """Seconds until the program's first line that begins with ``until``; it runs to its end. Exits where it fails."""
    began, seconds, said = time.perf_counter(), 0.0, []
    with subprocess.Popen(
        argv,
        cwd=root,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as program:
        assert program.stdout is not None
        for line in program.stdout:
            said.append(line)
            if until and not seconds and line.startswith(until):
                seconds = time.perf_counter() - began
    if program.returncode or (until and not seconds):
        sys.exit(f"error: {' '.join(argv)} failed, or printed no line {until!r}:\n{''.join(said)}")
    return seconds


def compared(root: Path) -> list[Comparison]:
    """What `podenv run` takes in all, and until its first task."""
    (root / "envs" / "small").mkdir(parents=True)
    (root / "envs" / "small" / "values.yaml").write_text('python: "3.11"\n', encoding="utf-8")
    (root / "envs" / "small" / "requirements.in").write_text("# none\n", encoding="utf-8")
    (root / "dags").mkdir()
    (root / "dags" / "one.py").write_text(DAG, encoding="utf-8")
    names = ("AIRFLOW", "PODENV_", "_PODENV")
    ours = {name: value for name, value in os.environ.items() if not name.startswith(names)}
    ours["PODENV_CACHE"] = str(root / "cache")
    peer = {
        **ours,
        "AIRFLOW_HOME": str(root / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(root / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PODENV_BACKEND": "local",
    }
    podenv, airflow = (str(Path(sys.executable).parent / name) for name in ("podenv", "airflow"))
    started([podenv, "lock"], root, ours)
    started([airflow, "db", "migrate"], root, peer)
    first: list[float] = []
    whole = alternate(
        lambda: first.append(started([podenv, "run", "one"], root, ours, until="answer | Environment")),
        lambda: started([airflow, "dags", "test", "one"], root, peer),
        rounds=ROUNDS,
    )
    return [
        Comparison("podenv run of one task", "airflow dags test", *whole, promised=1.0),
        # The first of all made the database and the environment.
        Comparison(
            "podenv run until its first task", f"{FIRST_TASK_SECONDS:g} s", median(first[1:]), FIRST_TASK_SECONDS, 1.0
        ),
    ]


def main() -> bool:
    """True if every ratio is what the project claims."""
    with tempfile.TemporaryDirectory(prefix="podenv-bench-") as folder:
        return show("run", compared(Path(folder)))
