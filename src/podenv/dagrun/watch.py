"""Sees the tasks of a run begin and end."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

from podenv.dagrun import home
from podenv.dagrun.lines import Lines
from podenv.dagrun.results import TaskResult
from podenv.errors import FunctionRaised, PodenvError


class Watch:
    """A listener of Airflow's: it tells ``lines`` which task runs, and ``on_end`` how each ended."""

    def __init__(self, lines: Lines, on_end: Callable[[TaskResult], None]) -> None:
        from podenv.airflow.compat import hookimpl

        self._lines, self._on_end = lines, on_end
        self._began = 0.0
        self._results: dict[tuple[str, int], TaskResult] = {}
        # Airflow calls these by their names; they are marked here because Airflow may not be imported with the module.
        for name in ("on_task_instance_running", "on_task_instance_success", "on_task_instance_failed"):
            setattr(type(self), name, hookimpl(getattr(type(self), name)))

    @contextmanager
    def listening(self) -> Iterator[None]:
        """While this lasts, Airflow tells us of its tasks."""
        from podenv.airflow.compat import get_listener_manager

        manager = get_listener_manager()
        manager.add_listener(self)  # type: ignore[no-untyped-call]
        try:
            yield
        finally:
            manager.pm.unregister(self)

    def on_task_instance_running(self, task_instance: Any) -> None:
        home.started()
        self._lines.task, self._began = task_instance.task_id, time.monotonic()

    def on_task_instance_success(self, task_instance: Any) -> None:
        value = task_instance.xcom_pull(task_ids=task_instance.task_id, map_indexes=task_instance.map_index)
        self._end(task_instance, value=value)

    def on_task_instance_failed(self, task_instance: Any, error: BaseException | str | None) -> None:
        self._end(task_instance, error=self._explain(error))

    def _end(self, task_instance: Any, **outcome: Any) -> None:
        self._lines.end_line()
        task = task_instance.task
        result = TaskResult(
            task_instance.task_id,
            task_instance.map_index,
            getattr(task, "env", None),
            task_instance.state.value,
            tries=task_instance.try_number,
            seconds=time.monotonic() - self._began,
            python=getattr(task, "ran_python", None),
            lock=getattr(task, "ran_lock", None),
            limits=(getattr(task, "pod_resources", None) or {}).get("limits"),
            max_memory=getattr(task, "ran_max_memory", None) or getattr(task, "max_memory", None),
            usage=getattr(task, "podenv", None),
            **outcome,
        )
        self._results.pop((result.task_id, result.map_index), None)  # an earlier try
        self._results[result.task_id, result.map_index] = result
        self._on_end(result)

    def _explain(self, error: BaseException | str | None) -> str:
        """Why a task failed, in one line; the traceback, where there is one to see, goes to the lines."""
        from podenv.airflow.compat import AirflowException

        if isinstance(error, FunctionRaised) and error.__cause__:  # of `run_in_env`; a task of podenv's has logged it
            self._lines.say(error.remote_traceback)
        if not isinstance(error, BaseException) or isinstance(error, PodenvError | AirflowException):
            return str(error)
        self._lines.say("".join(traceback.format_exception(type(error), error, _own_part(error.__traceback__))))
        return f"{type(error).__name__}: {error}"

    def all_results(self, ended: Any, dag: Any) -> list[TaskResult]:
        """The results of all tasks of the run, those that never ran included, in the order of their ends."""
        for instance in ended.get_task_instances():
            key = instance.task_id, instance.map_index
            state = str(instance.state)
            if key in self._results:
                self._results[key] = replace(self._results[key], state=state)
                continue
            task = dag.get_task(instance.task_id)
            environment = getattr(task, "env", None) or getattr(task, "partial_kwargs", {}).get("env")
            why = self._lines.failure if state == "failed" else None  # Airflow itself failed at it
            self._results[key] = TaskResult(*key, environment, state, error=why)
        return list(self._results.values())


def _own_part(trace: TracebackType | None) -> TracebackType | None:
    """The traceback without Airflow's frames at its top; the whole one if all its frames are Airflow's."""
    spec = find_spec("airflow")
    assert spec is not None
    assert spec.origin is not None
    airflow = Path(spec.origin).parent
    step = trace
    while step is not None and airflow in Path(step.tb_frame.f_code.co_filename).parents:
        step = step.tb_next
    return step or trace
