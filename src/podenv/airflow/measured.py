"""What an execution used: one line of its log, a rendered field, the task's state store, Airflow's metrics."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

from podenv.airflow import compat, settings
from podenv.usage.record import TaskUsage, usage_of

if TYPE_CHECKING:
    from airflow.sdk import Context

    from podenv.airflow.task import EnvTask
    from podenv.runtime.call import Result

_GAUGES = ("peak_memory_bytes", "memory_limit_bytes", "cpu_seconds", "throttled_seconds", "written_bytes")


class Execution(Protocol):
    """What a backend knows of the last process or pod that it ran; times in seconds."""

    result: Result | None
    growths: int
    relaunches: int
    waited_seconds: float

    @property
    def usage(self) -> dict[str, float]: ...

    @property
    def seconds(self) -> float | None: ...


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
            waited_seconds=round(ran.waited_seconds, 1) or None,
            growths=ran.growths,
            relaunches=ran.relaunches,
        )
        if usage.line:
            settings.log.info("%s", usage.line)
        task.podenv = usage.known
    except Exception as problem:  # noqa: BLE001 - what is kept of a task must not fail it
        settings.log.warning("What this task used is not known: %s.", problem)
        return
    where = {"dag_id": task.dag_id, "task_id": task.task_id, "environment": usage.environment}
    for step in (partial(_store, context, usage), partial(_emit, usage, where)):
        try:
            step()
        except Exception as problem:  # noqa: BLE001 - nor must one place keep it from another
            settings.log.warning("What this task used is not kept everywhere: %s.", problem)


def _store(context: Context, usage: TaskUsage) -> None:
    """Keep it of each try, where Airflow keeps such things (3.3): the rendered field is the last one's."""
    if (store := context.get("task_state_store")) is not None:
        store.set(f"podenv-{context['ti'].try_number}", usage.known)


def _emit(usage: TaskUsage, tags: dict[str, str]) -> None:
    """Send it to Airflow's own metrics: StatsD or OpenTelemetry, as it is set up there."""
    known = usage.known
    compat.Stats.incr("podenv.task.runs", tags={**tags, "state": usage.state})
    if usage.seconds is not None:
        compat.Stats.timing("podenv.task.duration", usage.seconds * 1000, tags=tags)
    for name in _GAUGES:
        if name in known:
            compat.Stats.gauge(f"podenv.task.{name}", known[name], tags=tags)
    for name in ("growths", "relaunches", "out_of_memory_kills"):
        if known.get(name):
            compat.Stats.incr(f"podenv.task.{name}", known[name], tags=tags)
