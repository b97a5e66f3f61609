"""Local environments beside what Airflow ships: ExternalPythonOperator and ``@task.kubernetes``."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

from benchmarks.report import Comparison, alternate, show

ROOT = Path(__file__).parents[2]
ENVIRONMENT = "data-ingestion"
TASKS = 500

DAG_FILE = """
from airflow.sdk import dag, task

@dag(schedule=None)
def many():
{tasks}

many()
"""
TASK = """
    @task.{decorator}
    def task_{number}(day="2026-01-01"):
        total = sum(range({number}))
        return {{"day": day, "total": total}}

    task_{number}()
"""
IMPORTS = """
import sys, time
began = time.perf_counter()
import podenv
print(time.perf_counter() - began)
heavy = {"airflow", "kubernetes", "pydantic", "typer"} & sys.modules.keys()
assert not heavy, heavy
"""


def one_value() -> int:
    """The task of both operators."""
    return 42


def warm_task() -> Comparison:
    """One execution of a task that returns one value, in an environment that is ready."""
    from airflow.providers.standard.operators.python import ExternalPythonOperator
    from airflow.sdk import DAG

    from podenv import EnvPodOperator
    from podenv.catalogue.environment import Catalogue
    from podenv.venv import sync

    environment = Catalogue.find(ROOT)[ENVIRONMENT]
    interpreter = sync(environment).path / "bin" / "python"
    # Without these it starts more interpreters, to look for Airflow and pendulum.
    quiet: dict[str, Any] = {"expect_airflow": False, "expect_pendulum": False}
    with DAG("bench", schedule=None):
        ours = EnvPodOperator(task_id="ours", env=ENVIRONMENT, python_callable=one_value)
        peer = ExternalPythonOperator(task_id="peer", python=str(interpreter), python_callable=one_value, **quiet)
    context: Any = {"ti": SimpleNamespace(try_number=1)}
    assert ours.execute(context) == peer.execute(context) == 42
    measured = alternate(lambda: ours.execute(context), lambda: peer.execute(context), rounds=15)
    return Comparison("a warm task that returns one value", "ExternalPythonOperator", *measured, promised=0.6)


def parse() -> Comparison:
    """The parse of a DAG file with 500 tasks, each with a function of its own."""
    kinds = {"ours": f'env("{ENVIRONMENT}")', "peer": 'kubernetes(image="python:3.11")'}
    with tempfile.TemporaryDirectory() as folder:
        code = {}
        for kind, decorator in kinds.items():
            file = Path(folder, f"{kind}.py")
            tasks = "".join(TASK.format(decorator=decorator, number=number) for number in range(TASKS))
            file.write_text(DAG_FILE.format(tasks=tasks), encoding="utf-8")
            code[kind] = compile(file.read_text(encoding="utf-8"), file, "exec")
        measured = alternate(
            lambda: exec(code["ours"], {"__name__": "ours"}),
            lambda: exec(code["peer"], {"__name__": "peer"}),
            rounds=15,
            clock=time.process_time,
            of=min,  # it is the same work each time: whatever is more is noise
        )
    return Comparison(f"parse of {TASKS} tasks (CPU)", "@task.kubernetes", *measured, promised=1.0)


def import_podenv() -> Comparison:
    """``import podenv``, beside the 30 ms that it may take."""
    runs = [
        subprocess.run([sys.executable, "-c", IMPORTS], check=True, capture_output=True, text=True) for _ in range(9)
    ]
    return Comparison("import podenv", "30 ms", median(float(run.stdout) for run in runs), 0.030, promised=1.0)


def main() -> bool:
    """Whether every ratio is what the project claims."""
    os.environ |= {"PODENV_BACKEND": "local", "PODENV_CATALOGUE": str(ROOT / "envs")}
    os.environ.setdefault("AIRFLOW_HOME", str(ROOT / "bench-results" / "airflow"))
    os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
    logging.disable(logging.WARNING)
    return show("local", [warm_task(), parse(), import_podenv()])
