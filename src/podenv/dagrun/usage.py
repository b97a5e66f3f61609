"""Which task of a folder of DAGs uses which environment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from podenv.catalogue.automemory import AUTO
from podenv.catalogue.request import GPU
from podenv.dagrun.folder import DagFolder
from podenv.dagrun.results import TaskUse

if TYPE_CHECKING:
    from podenv.catalogue.request import TaskRequest


def usage(folder: DagFolder) -> list[TaskUse]:
    """Which task uses which environment, mapped ones included."""
    from podenv.airflow import settings

    uses = []
    for dag in folder.dags.values():
        catalogue = settings.catalogue(dag.fileloc)
        for task in dag.tasks:
            for request in _requests(task):
                assert request.env is not None
                resources = request.resources(catalogue[request.env], f"Task {task.task_id!r}")
                uses.append(
                    TaskUse(
                        dag.dag_id,
                        task.task_id,
                        request.env,
                        cpu=resources.limits.get("cpu"),
                        memory=AUTO if resources.is_auto else resources.limits.get("memory"),
                        max_memory=resources.max_memory,
                        gpu=resources.limits.get(GPU),
                        file=dag.fileloc,
                    )
                )
    return uses


def _requests(task: Any) -> Iterator[TaskRequest]:
    """What ``task`` asks for; several when it is mapped over environments or limits."""
    from podenv.airflow.compat import MappedOperator
    from podenv.airflow.operator import EnvPodOperator
    from podenv.airflow.task import mapped_request

    if isinstance(task, EnvPodOperator):
        yield task.request
    elif isinstance(task, MappedOperator) and issubclass(task.operator_class, EnvPodOperator):
        mapped = getattr(task.expand_input, "value", None)
        # In order, each once; without an environment before it is mapped.
        yield from dict.fromkeys(r for r in mapped_request(task).variants(mapped) if r.env is not None)
