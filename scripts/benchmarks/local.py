"""Local environments beside what Airflow ships: ExternalPythonOperator and ``@task.kubernetes``."""

from __future__ import annotations

import logging
import os
import shutil
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
PANDAS = "data-cleaning"
TASK_INSTANCE = SimpleNamespace(dag_id="bench", task_id="one", run_id="run", map_index=-1, try_number=1)
TASKS = 500
DEFINITIONS = 40
MODULES = 20
MODULE_BYTES = 10 * 1024
TRAVEL_SECONDS = 0.030  # what the modules may cost a warm task

DAG_FILE = """
from airflow.sdk import dag, task
{definitions}
@dag(schedule=None)
def many():
{tasks}

many()
"""
DEFINITION = """
LIMIT_{number} = {number}

def helper_{number}(value):
    return value + LIMIT_{number}
"""
TASK = """
    @task.{decorator}
    def task_{number}(day="2026-01-01"):
        total = sum(range({number})){use}
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
    context: Any = {"ti": TASK_INSTANCE}
    assert ours.execute(context) == peer.execute(context) == 42
    measured = alternate(lambda: ours.execute(context), lambda: peer.execute(context), rounds=15)
    return Comparison("a warm task that returns one value", "ExternalPythonOperator", *measured, promised=0.6)


def with_pandas() -> int:
    """A task whose import takes longer than its work."""
    import pandas as pd

    return int(pd.Series([40, 2]).sum())


def waiting_interpreter() -> Comparison:
    """A task that imports pandas, in an interpreter that waited for it with pandas loaded, and in a new one."""
    from podenv.call import source
    from podenv.catalogue.environment import Catalogue
    from podenv.local import Limits, LocalRun

    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "envs", folder, dirs_exist_ok=True)
        values = Path(folder, PANDAS, "values.yaml")
        values.write_text(values.read_text(encoding="utf-8") + "warm: {idle: 1, imports: [pandas]}\n", encoding="utf-8")
        environment = Catalogue(Path(folder))[PANDAS]
        call = source.build_call(with_pandas, [], {})

        def run(*, many: bool) -> None:
            one = LocalRun(environment, limits=Limits(), env={}, emit=lambda line: None, many=many)
            assert one.call(call) == 42
            time.sleep(1)  # the next one waits by then

        measured = alternate(lambda: run(many=True), lambda: run(many=False), rounds=9)
    ours, peer = (seconds - 1 for seconds in measured)
    return Comparison("a local task that imports pandas, of an environment with idle pods", "without", ours, peer, 0.5)


def travelling() -> Comparison:
    """What modules that travel add to a warm task: it imports all of them."""
    from airflow.sdk import DAG

    from podenv import EnvPodOperator

    with tempfile.TemporaryDirectory() as folder:
        _write_modules(Path(folder))
        sys.path.append(folder)
        names: dict[str, Any] = {"__name__": "travels"}
        exec(compile(Path(folder, "travels.py").read_text(), Path(folder, "travels.py"), "exec"), names)
        with DAG("travel", schedule=None):
            functions = {"with": names["imports_all"], "without": one_value}
            tasks = {
                name: EnvPodOperator(task_id=name, env=ENVIRONMENT, python_callable=one)
                for name, one in functions.items()
            }
        context: Any = {"ti": TASK_INSTANCE}
        measured = alternate(
            lambda: tasks["with"].execute(context), lambda: tasks["without"].execute(context), rounds=15, of=min
        )
        sys.path.remove(folder)
    added = measured[0] - measured[1]
    what = f"what {MODULES} modules that travel ({MODULES * MODULE_BYTES // 1024} KiB) add to a warm task"
    return Comparison(what, "30 ms", added, TRAVEL_SECONDS, promised=1.0)


def _write_modules(folder: Path) -> None:
    """A package of modules that look like people's, and the file of a function that imports all of them."""
    package = folder / "common"
    package.mkdir()
    (package / "__init__.py").touch()
    for number in range(MODULES):
        text, line = "import re\n", 0
        while len(text) < MODULE_BYTES:
            line += 1
            text += f'''
def step_{line}(rows, limit={line}):
    """Keep the rows of module {number} that are below ``limit``, with their names in lower case."""
    kept = [row for row in rows if row.get("size", 0) < limit and not row["name"].startswith("_")]
    for row in kept:
        row["name"] = re.sub(r"[^a-z]+", "-", row["name"].lower())
    return sorted(kept, key=lambda row: (row["size"], row["name"]))
'''
        (package / f"module_{number}.py").write_text(text, encoding="utf-8")
    imports = "".join(f"    from common import module_{number}\n" for number in range(MODULES))
    (folder / "travels.py").write_text(f"def imports_all():\n{imports}    return 42\n", encoding="utf-8")


def parse(*, definitions: int = 0) -> Comparison:
    """The parse of a DAG file with 500 tasks, each with a function of its own, and with definitions that they use."""
    kinds = {"ours": f'env("{ENVIRONMENT}")', "peer": 'kubernetes(image="python:3.11")'}
    with tempfile.TemporaryDirectory() as folder:
        code = {}
        for kind, decorator in kinds.items():
            file = Path(folder, f"{kind}.py")
            uses = [f" + helper_{number % definitions}(1)" if definitions else "" for number in range(TASKS)]
            tasks = "".join(TASK.format(decorator=decorator, number=n, use=use) for n, use in enumerate(uses))
            head = "".join(DEFINITION.format(number=number) for number in range(definitions))
            file.write_text(DAG_FILE.format(tasks=tasks, definitions=head), encoding="utf-8")
            code[kind] = compile(file.read_text(encoding="utf-8"), file, "exec")
        measured = alternate(
            lambda: exec(code["ours"], {"__name__": "ours"}),
            lambda: exec(code["peer"], {"__name__": "peer"}),
            rounds=15,
            clock=time.process_time,
            of=min,  # it is the same work each time: whatever is more is noise
        )
    beside = f" beside {definitions} definitions" if definitions else ""
    return Comparison(f"parse of {TASKS} tasks{beside} (CPU)", "@task.kubernetes", *measured, promised=1.0)


def import_podenv() -> Comparison:
    """``import podenv``, beside the 30 ms that it may take."""
    runs = [
        subprocess.run([sys.executable, "-c", IMPORTS], check=True, capture_output=True, text=True) for _ in range(9)
    ]
    return Comparison("import podenv", "30 ms", median(float(run.stdout) for run in runs), 0.030, promised=1.0)


def main() -> bool:
    """True if every ratio is what the project claims."""
    os.environ |= {"PODENV_BACKEND": "local", "PODENV_CATALOGUE": str(ROOT / "envs")}
    os.environ.setdefault("AIRFLOW_HOME", str(ROOT / "bench-results" / "airflow"))
    os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
    logging.disable(logging.WARNING)
    return show(
        "local",
        [warm_task(), waiting_interpreter(), travelling(), parse(), parse(definitions=DEFINITIONS), import_podenv()],
    )
