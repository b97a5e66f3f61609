"""Which task's value feeds which parameter of which other task, in a folder of DAGs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from podenv.catalogue.automemory import AUTO
from podenv.catalogue.request import GPU
from podenv.check.graph import Edge, Graph, Place
from podenv.dagrun.folder import DagFolder
from podenv.dagrun.usage import usage

_VALUE = "return_value"  # the key of what a task returns


def graph(folder: DagFolder) -> Graph:
    """What `podenv check --dag-graph` asks of DAGs that Airflow has loaded."""
    uses = usage(folder)
    limits = []
    for use in uses:
        asked = {"cpu": use.cpu, "memory": use.memory, GPU: use.gpu}
        found = {name: value for name, value in asked.items() if value not in (None, AUTO)}
        limits.append((use.environment, use.dag_id, use.task_id, found))
    return Graph(
        tuple(edge for dag in folder.dags.values() for task in dag.tasks for edge in _edges(dag.dag_id, task)),
        frozenset(use.environment for use in uses),
        tuple(limits),
        dict(folder.broken),
    )


def _edges(dag_id: str, task: Any) -> Iterator[Edge]:
    """What feeds the parameters of ``task``; a mapped one gets elements, of which nothing is known here."""
    function = getattr(task, "python_callable", None)
    args, kwargs = getattr(task, "op_args", None), getattr(task, "op_kwargs", None)
    if not callable(function) or not isinstance(args, list | tuple) or not isinstance(kwargs, dict):
        return
    try:
        bound = inspect.signature(function).bind_partial(*args, **kwargs).arguments
    except (TypeError, ValueError):
        return
    for name, value in bound.items():
        up = getattr(value, "operator", None)
        fed = getattr(up, "python_callable", None)
        if getattr(value, "key", None) == _VALUE and callable(fed):
            yield Edge(dag_id, _place(fed), _place(function), name, task.task_id)


def _place(function: Callable[..., Any]) -> Place:
    code = inspect.unwrap(function).__code__
    return Place(code.co_filename, code.co_firstlineno, code.co_name)
