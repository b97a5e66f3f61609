"""One Airflow home for the session, set before anything imports Airflow, and one run of the test DAG for many tests.

`dag.test()` costs ten seconds once in a process, then half a second a run.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests import airflowhome

from podenv.dagrun import folder as dagfolder
from podenv.dagrun import run as dagrun
from podenv.dagrun.results import RunResult, TaskResult

PROJECT = Path(__file__).parent / "project"

airflowhome.prepare(PROJECT / "dags")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            # Of Airflow's own, on what it imports.
            for said in (
                "Using `httpx` with `starlette.testclient`",
                "Could not import graphviz",
                "'HTTP_422_",
                "The `airflow.utils.operator_helpers.determine_kwargs` attribute",  # its own @task.sensor
            ):
                item.add_marker(pytest.mark.filterwarnings(f"ignore:{said}"))


@dataclass
class Run:
    """A run of a DAG, and what its tasks printed."""

    result: RunResult
    lines: list[tuple[str, str]]

    def __getitem__(self, task_id: str) -> TaskResult:
        (found,) = self.all(task_id)
        return found

    def all(self, task_id: str) -> list[TaskResult]:
        """The mapped tasks of ``task_id``, by their index."""
        return sorted((t for t in self.result.tasks if t.task_id == task_id), key=lambda t: t.map_index)

    def printed(self, task_id: str) -> list[str]:
        """Without the lines on which environment runs it, on the making of that, and on what it used."""
        start = re.compile(r"(Making|Made) the virtual environment of |Environment '[a-z-]+' \(Python |Peak ")
        return [line for task, line in self.lines if task == task_id and not start.match(line)]


@pytest.fixture(scope="session")
def run_dag() -> Callable[..., Run]:
    """Runs one DAG of a folder for real."""

    def run(dag_id: str, *, folder: Path = PROJECT / "dags", conf: dict[str, Any] | None = None, **kwargs: Any) -> Run:
        lines: list[tuple[str, str]] = []
        on_line = kwargs.pop("on_line", lambda task, line: None)

        def note(task: str, line: str) -> None:
            lines.append((task, line))
            on_line(task, line)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("airflow.settings.DAGS_FOLDER", str(folder))
            return Run(dagrun.run(dagfolder.read(folder), dag_id, conf=conf, on_line=note, **kwargs), lines)

    return run


@pytest.fixture(scope="session")
def behaviours(run_dag: Callable[..., Run]) -> Run:
    """The one run of `project/dags/behaviours.py`."""
    return run_dag("behaviours")
