"""Executes operators as Airflow does, without Airflow's database: through deferrals, with what they log and push."""

from __future__ import annotations

import asyncio
import importlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass
class Outcome:
    """What one execution came to: ``value`` or ``error``, its log, the XComs it pushed, the seconds it took."""

    value: Any = None
    error: BaseException | None = None
    log: list[str] = field(default_factory=list)
    xcoms: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    operator: Any = None

    @property
    def printed(self) -> list[str]:
        """The log without what podenv says."""
        ours = ("Environment '", "Pod ", "Idle pod ", "A new pod ", "Peak ", "Event ")
        return [line for line in self.log if not line.startswith(ours)]

    @property
    def message(self) -> str:
        assert self.error is not None, self
        return f"{type(self.error).__name__}: {self.error}"


class TaskInstance:
    """As much of Airflow's as an operator asks for; `tests/cluster/pods/test_airflow.py` has the real one."""

    def __init__(self, task_id: str, run_id: str, try_number: int, map_index: int) -> None:
        self.dag_id, self.task_id, self.run_id = "tests", task_id, run_id
        self.try_number, self.map_index = try_number, map_index
        self.start_date = datetime.now(UTC)
        self.xcoms: dict[str, Any] = {}
        self.earlier: dict[str, Any] = {}  # of runs before

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value

    def xcom_pull(self, *, key: str, **_: Any) -> Any:
        return self.earlier.get(key)


def execute(
    operator: Any,
    *,
    run_id: str = "run",
    try_number: int = 1,
    map_index: int = -1,
    earlier: dict[str, Any] | None = None,
    **more: Any,
) -> Outcome:
    """What the operator comes to, executed in this thread; its triggers run here too.

    ``earlier`` are the XComs of an earlier run; ``more`` is of the context.
    """
    from airflow.sdk.bases.operator import ExecutorSafeguard

    ExecutorSafeguard.test_mode = True
    outcome, thread = Outcome(operator=operator), threading.get_ident()
    ti = TaskInstance(operator.task_id, run_id, try_number, map_index)
    ti.earlier = earlier or {}
    handler = logging.Handler()
    handler.emit = lambda record: outcome.log.append(record.getMessage())  # type: ignore[method-assign]
    handler.addFilter(lambda record: record.thread == thread)
    context = {"ti": ti, "run_id": run_id, "dag": operator.dag, **more}
    began = time.monotonic()
    with _task_log.heard(handler):
        try:
            outcome.value = through_deferrals(operator, context)
        except BaseException as error:
            outcome.error = error
    outcome.seconds = time.monotonic() - began
    outcome.xcoms = ti.xcoms
    return outcome


class _TaskLog:
    """The task's log, which takes what `execute` wants to see and hands nothing on while one is under way."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active = 0
        self._before = (logging.NOTSET, True)

    @contextmanager
    def heard(self, handler: logging.Handler) -> Iterator[None]:
        """Give ``handler`` the log's records as long as this lasts; threads may do so at once."""
        log = logging.getLogger("airflow.task.podenv")
        with self._lock:
            if not self._active:
                self._before = log.level, log.propagate
                log.setLevel(logging.INFO)
                log.propagate = False
            self._active += 1
        log.addHandler(handler)
        try:
            yield
        finally:
            log.removeHandler(handler)
            with self._lock:
                self._active -= 1
                if not self._active:
                    log.setLevel(self._before[0])
                    log.propagate = self._before[1]


_task_log = _TaskLog()


def through_deferrals(operator: Any, context: dict[str, Any]) -> Any:
    """What the operator returns; a trigger of it runs here, from what the database would hold of it.

    ``context["deferred"]``, where there is one, is called with each event of a trigger before the task goes on.
    """
    from podenv.airflow.compat import TaskDeferred

    deferred_hook: Callable[[Any], None] = context.pop("deferred", lambda event: None)
    method: str = "execute"
    given: dict[str, Any] = {}
    while True:
        try:
            return getattr(operator, method)(context, **given)
        except TaskDeferred as deferred:
            event = asyncio.run(anext(stored(deferred.trigger).run())).payload
            deferred_hook(event)
            method, given = deferred.method_name, {"event": event}


def stored(trigger: Any) -> Any:
    """The trigger as the triggerer makes it of what the database holds."""
    path, arguments = trigger.serialize()
    module, name = path.rsplit(".", 1)
    return getattr(importlib.import_module(module), name)(**arguments)


class InBackground:
    """One execution in a thread of its own, so that the test can act on its pod meanwhile."""

    def __init__(self, operator: Any, **more: Any) -> None:
        self.operator = operator
        self._outcome: Outcome | None = None
        self._thread = threading.Thread(target=self._run, args=(more,), daemon=True)
        self._thread.start()

    def _run(self, more: dict[str, Any]) -> None:
        self._outcome = execute(self.operator, **more)

    def outcome(self, seconds: float = 60) -> Outcome:
        """What it came to."""
        self._thread.join(seconds)
        assert self._outcome is not None, f"it still runs after {seconds} s"
        return self._outcome
