"""An environment with idle pods, as `podenv run` runs its tasks on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tests.dags.conftest import PROJECT

from podenv.local import ahead

if TYPE_CHECKING:
    from tests.dags.conftest import Run

DAG = """
from airflow.sdk import dag, task
from podenv import run_in_env

def loaded(number=0):
    import os, sys
    return [number, os.getpid(), "colorsys" in sys.modules]

@dag(schedule=None)
def waits():
    first = task.env("plain")(loaded)()

    @task.env("plain")
    def mapped(number):
        import os, sys
        return [number, os.getpid(), "colorsys" in sys.modules]

    @task
    def plain():
        return run_in_env("plain", loaded, 7)

    first >> mapped.expand(number=[1, 2, 3]) >> plain()

waits()
"""


def test_after_the_first_task_each_takes_an_interpreter_that_waited(
    run_dag: Callable[..., Run], tmp_path: Path
) -> None:
    shutil.copytree(PROJECT / "envs", tmp_path / "envs")
    values = tmp_path / "envs" / "plain" / "values.yaml"
    values.write_text(values.read_text() + "warm: {idle: 1, imports: [colorsys]}\n")
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "waits.py").write_text(DAG)
    run = run_dag("waits", folder=tmp_path / "dags")
    ahead.end_all()
    values_seen = [run["loaded"].value, *(one.value for one in run.all("mapped")), run["plain"].value]
    assert [(number, was_loaded) for number, _, was_loaded in values_seen] == [
        (0, False),
        (1, True),
        (2, True),
        (3, True),
        (7, True),
    ]
    assert len({pid for _, pid, _ in values_seen}) == 5
