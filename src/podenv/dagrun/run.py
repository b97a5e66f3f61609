"""One run of one DAG in this process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from podenv.dagrun import history, home
from podenv.dagrun.folder import DagFolder
from podenv.dagrun.lines import Lines, OnLine
from podenv.dagrun.results import RunResult, TaskResult
from podenv.dagrun.watch import Watch


def run(
    folder: DagFolder,
    dag_id: str,
    *,
    conf: Mapping[str, Any] | None = None,
    backend: str = "local",
    catalogue: Path | None = None,
    on_line: OnLine = lambda task, line: None,
    on_end: Callable[[TaskResult], None] = lambda result: None,
) -> RunResult:
    """Run one DAG to its end in this process, its tasks on ``backend``; retries come at once.

    ``on_line`` gets each line that a task prints or logs, with the task's id, as it comes; ``on_end`` each task as it
    ends. What the tasks used is kept for the project with this ``catalogue``.
    Raises what `DagFolder.dag` raises, and `SettingError`; a task that fails is in the result.
    """
    from podenv.airflow import compat

    dag = folder.dag(dag_id)
    lines = Lines(on_line)

    def ended(result: TaskResult) -> None:
        if catalogue is not None and result.usage:
            history.add(catalogue, dag_id, result.task_id, result.usage)
        on_end(result)

    watch = Watch(lines, ended)
    with lines.heard(), _on(backend):
        home.ensure_database()
        compat.serve_newest_execution_api_only()
        for task in dag.tasks:
            task.retry_delay = timedelta(0)  # a person at a terminal does not wait five minutes
        began = time.monotonic()
        with watch.listening(), compat.parsed_once(folder.bag, reuse=home.is_own()):
            made = dag.test(run_conf=dict(conf or {}))
        seconds = time.monotonic() - began
    return RunResult(dag_id, made.run_id, str(made.state), seconds, watch.all_results(made, dag))


@contextmanager
def _on(backend: str) -> Iterator[None]:
    before = os.environ.get("PODENV_BACKEND")
    os.environ["PODENV_BACKEND"] = backend
    try:
        yield
    finally:
        del os.environ["PODENV_BACKEND"]
        if before is not None:
            os.environ["PODENV_BACKEND"] = before
