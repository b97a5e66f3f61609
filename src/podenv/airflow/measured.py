"""What an execution used and took: one line of its log, a rendered field, the task's state store, Airflow's metrics."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from podenv.airflow import compat, settings
from podenv.usage.record import TaskUsage, usage_of

if TYPE_CHECKING:
    from airflow.sdk import Context

    from podenv.airflow.task import EnvTask
    from podenv.runtime.call import Result
    from podenv.usage.tally import Tally

METRICS = {
    "podenv.task.runs": "counter",
    "podenv.task.failures": "counter",
    "podenv.task.launches": "counter",
    "podenv.task.relaunches": "counter",
    "podenv.task.adoptions": "counter",
    "podenv.task.out_of_memory_kills": "counter",
    "podenv.task.api_requests": "counter",
    "podenv.task.duration": "timer",
    "podenv.task.waiting": "timer",
    "podenv.task.starting": "timer",
    "podenv.task.call_bytes": "gauge",
    "podenv.task.result_bytes": "gauge",
    "podenv.task.peak_memory_bytes": "gauge",
    "podenv.task.memory_limit_bytes": "gauge",
    "podenv.task.cpu_seconds": "gauge",
    "podenv.task.throttled_seconds": "gauge",
    "podenv.task.written_bytes": "gauge",
}
"""What Airflow's metrics get, and of which kind; a timer counts milliseconds."""
_GAUGES = ("peak_memory_bytes", "memory_limit_bytes", "cpu_seconds", "throttled_seconds", "written_bytes")


class Execution(Protocol):
    """What a backend knows of the last process or pod that it ran; times in seconds."""

    result: Result | None

    @property
    def tally(self) -> Tally: ...

    @property
    def usage(self) -> dict[str, float]: ...

    @property
    def seconds(self) -> float | None: ...

    @property
    def where(self) -> dict[str, Any]: ...


def keep(task: EnvTask, context: Context, ran: Execution, *, started: str, error: BaseException | None) -> None:
    """Keep what the execution of ``task`` used, which ended with ``error``; never raises."""
    try:
        usage = usage_of(
            ran.usage,
            task.pod_resources or {},
            error,
            environment=task.env,
            backend=settings.backend(),
            started=started,
            lock=task.ran_lock,
            python=ran.result.python if ran.result is not None else task.ran_python,
            image=task.pod_image,
            seconds=None if ran.seconds is None else round(ran.seconds, 3),
            waited_seconds=round(ran.tally.waited_seconds, 1) or None,
            growths=ran.tally.growths,
            relaunches=ran.tally.lost,
            reasons=dict(ran.tally.relaunches) or None,
            travelled=task.travelled or None,
            **ran.where,
        )
        if usage.line:
            settings.log.info("%s", usage.line)
        task.podenv = usage.known
    except Exception as problem:  # noqa: BLE001 - what is kept of a task must not fail it
        settings.log.warning("What this task used is not known: %s.", problem)
        return
    size = ran.result.size if ran.result is not None else None
    metrics = _Metrics(task)

    def emit() -> None:
        metrics.of_usage(usage, size)
        metrics.of_tally(ran.tally)

    for step in (partial(_store, context, usage), emit):
        _try(step)


def deferred(task: EnvTask, ran: Execution) -> None:
    """Send what the execution of ``task`` counted until it was deferred: another process goes on with it."""
    _try(lambda: _Metrics(task).of_tally(ran.tally))


def _try(step: Callable[[], None]) -> None:
    try:
        step()
    except Exception as problem:  # noqa: BLE001 - one place must not keep it from another, nor fail the task
        settings.log.warning("What this task used is not kept everywhere: %s.", problem)


def _store(context: Context, usage: TaskUsage) -> None:
    """Keep it of each try, where Airflow keeps such things (3.3): the rendered field is the last one's."""
    if (store := context.get("task_state_store")) is not None:
        store.set(f"podenv-{context['ti'].try_number}", usage.known)


class _Metrics:
    """Sends to Airflow's own metrics: StatsD or OpenTelemetry, as it is set up there."""

    def __init__(self, task: EnvTask) -> None:
        self._tags = {"dag_id": task.dag_id, "task_id": task.task_id, "environment": task.env}

    def of_usage(self, usage: TaskUsage, size: int | None) -> None:
        """What one run used; ``size`` is that of its result, in bytes."""
        self._send("runs", 1, state=usage.state)
        if usage.failure is not None:
            self._send("failures", 1, failure=usage.failure)
        if usage.seconds is not None:
            self._send("duration", usage.seconds * 1000)
        if usage.out_of_memory_kills:
            self._send("out_of_memory_kills", usage.out_of_memory_kills)
        for name in _GAUGES:
            if (value := usage.known.get(name)) is not None:
                self._send(name, value)
        if size is not None:
            self._send("result_bytes", size)

    def of_tally(self, tally: Tally) -> None:
        """What it took."""
        for name, tag, counted in (
            ("launches", "kind", tally.launches),
            ("relaunches", "reason", tally.relaunches),
        ):
            for value, times in counted.items():
                self._send(name, times, **{tag: value})
        for name, times in (("adoptions", tally.adoptions), ("api_requests", tally.requests)):
            if times:
                self._send(name, times)
        if tally.waited_seconds:
            self._send("waiting", tally.waited_seconds * 1000)
        for seconds in tally.starts:
            self._send("starting", seconds * 1000)
        if tally.call_bytes is not None:
            self._send("call_bytes", tally.call_bytes)

    def _send(self, name: str, value: float, **tags: str) -> None:
        name, tags = f"podenv.task.{name}", {**self._tags, **tags}
        match METRICS[name]:
            case "counter":
                compat.Stats.incr(name, int(value), tags=tags)
            case "timer":
                compat.Stats.timing(name, value, tags=tags)
            case "gauge":
                compat.Stats.gauge(name, value, tags=tags)
