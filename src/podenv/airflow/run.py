"""`run_in_env` in a process that has Airflow: a plain ``@task``, a script that imports it.

The function gets what it is called with, in a task and outside: nothing of the task's context.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow.sdk import get_current_context

from podenv.airflow import compat, settings, stores, tracing
from podenv.airflow.passing import readable
from podenv.call import source
from podenv.call.termination import ended_by_sigterm


def run_in_env(name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """`podenv.run_in_env`, with Airflow's settings; in a task, its log and its DAG's catalogue."""
    try:
        context: Any = get_current_context()
    except RuntimeError:  # not in a task
        context = None
    within = _locally if settings.backend() == "local" else _in_a_pod
    return readable(within(name, function, args, kwargs, context))


def _locally(
    name: str, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], context: Any
) -> Any:
    from podenv.local import Limits, LocalRun  # the local backend is loaded when a task executes, not at parse

    environment = settings.folder_catalogue(_start(function, context))[name]
    limits = environment.resources.limits
    call = source.build_call(function, args, kwargs, python=environment.python, code=settings.code())
    run = LocalRun(
        environment,
        limits=Limits(cpu=limits.get("cpu"), memory=limits.get("memory"), max_memory=None),
        env={},
        emit=settings.emit,
        trace=tracing.variables(),
        many=context is None or compat.runs_whole_dag(),
    )
    settings.log.info("%s", run.facts)
    if run.missing:
        settings.log.warning("%s", run.missing)
    exchange = stores.of_call(function, context)
    with ended_by_sigterm(run.kill):
        if exchange is None:
            return run.call(call)
        return exchange.found(run.call(call, ticket=exchange.ticket(call)))


def _in_a_pod(
    name: str, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], context: Any
) -> Any:
    from podenv.airflow import podcall  # loaded when a task executes, not at parse

    return podcall.call(name, function, args, kwargs, context=context, file=_start(function, context))


def _start(function: Callable[..., Any], context: Any) -> str | None:
    """Where the search for the catalogue begins: the DAG file, else the function's file, else the working directory."""
    if context is not None:
        return str(context["dag"].fileloc)
    code = getattr(inspect.unwrap(function), "__code__", None)
    return code.co_filename if code and Path(code.co_filename).is_file() else None  # a notebook's cell has no file
