"""The DAGs of a folder, for the commands that need them: what uses which environment, and one run of one of them.

`prepare` comes first, before anything imports Airflow: Airflow reads its settings when it is imported. So the imports
of it stand inside the functions.
"""

from __future__ import annotations

import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from podenv.errors import DagsUnreadable, FunctionRaised, PodenvError, SettingError, UnknownDag

if TYPE_CHECKING:
    from podenv.catalogue.request import TaskRequest


@dataclass(frozen=True)
class TaskUse:
    """A task, the environment it runs in and its limits there (Kubernetes quantities; None is no limit)."""

    dag_id: str
    task_id: str
    environment: str
    cpu: str | None
    memory: str | None
    max_memory: str | None
    gpu: str | None
    file: str


@dataclass(frozen=True)
class TaskResult:
    """How a task ended. ``environment`` is None for a task without; ``map_index`` is -1 for one that is not mapped.

    ``value`` is what it returned; ``error`` why it failed. ``tries`` is 0 and ``seconds`` None where it never ran.
    """

    task_id: str
    map_index: int
    environment: str | None
    state: str
    tries: int = 0
    seconds: float | None = None
    value: Any = None
    error: str | None = None


@dataclass(frozen=True)
class RunResult:
    """How a run of a DAG ended: ``state`` is ``success`` or ``failed``; the tasks are in the order of their ends."""

    dag_id: str
    run_id: str
    state: str
    seconds: float
    tasks: list[TaskResult]


def prepare(folder: Path, *, cache: Path) -> None:
    """Settle how Airflow will look at ``folder``; call it before Airflow is imported.

    Without ``AIRFLOW_HOME`` it gets a home of its own below ``cache``: the user's home folder stays as it is.
    """
    if "airflow" in sys.modules:
        return
    folder = folder.absolute()
    if "AIRFLOW_HOME" not in os.environ:
        key = sha256(f"{folder}\n{version('apache-airflow')}".encode()).hexdigest()[:16]
        os.environ["AIRFLOW_HOME"] = str(cache / "airflow" / key)
        os.environ["_PODENV_AIRFLOW_HOME"] = "1"
    os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(folder)
    os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
    # Airflow's own narration; what the tasks say comes through all the same.
    os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "CRITICAL")


def load(folder: Path, *, broken: dict[str, str] | None = None) -> dict[str, Any]:
    """The DAGs of ``folder`` by their id.

    A file that Airflow cannot import goes into ``broken`` with the reason; where that is None, it raises
    `DagsUnreadable`.
    """
    from podenv.airflow.compat import DagBag

    if not folder.is_dir():
        raise SettingError(f"There is no folder {folder} with DAGs; name another one.")
    bag = DagBag(str(folder.absolute()))
    errors = {file: _last_line(error) for file, error in sorted(bag.import_errors.items())}
    if errors and broken is None:
        raise DagsUnreadable(errors)
    if broken is not None:
        broken.update(errors)
    return dict(sorted(bag.dags.items()))


def _last_line(error: str) -> str:
    """What went wrong, of a traceback as text; without the type of our own errors, whose message says it all."""
    line = error.strip().splitlines()[-1]
    kind, colon, message = line.partition(": ")
    return message if colon and kind.startswith("podenv.errors.") else line


def usage(folder: Path, *, broken: dict[str, str] | None = None) -> list[TaskUse]:
    """Which task uses which environment, mapped ones included; ``broken`` is as for `load`."""
    from podenv.airflow import settings
    from podenv.catalogue.request import GPU

    uses = []
    for dag in load(folder, broken=broken).values():
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
                        memory=resources.limits.get("memory"),
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


def run(
    folder: Path,
    dag_id: str,
    *,
    conf: Mapping[str, Any] | None = None,
    backend: str = "local",
    on_line: Callable[[str, str], None] = lambda task, line: None,
    on_end: Callable[[TaskResult], None] = lambda result: None,
) -> RunResult:
    """Run one DAG to its end in this process, its tasks on ``backend``; retries come at once.

    ``on_line`` gets each line that a task prints, with the task's id, as it is printed; ``on_end`` each task as it
    ends.
    Raises `DagsUnreadable` and `UnknownDag` where it is not among those that can be imported, `SettingError`; a task
    that fails is in the result.
    """
    broken: dict[str, str] = {}
    dags = load(folder, broken=broken)
    if dag_id not in dags:
        if broken:  # it may be in one of them
            raise DagsUnreadable(broken)
        raise UnknownDag(dag_id, folder, list(dags))
    _ensure_database()
    dag = dags[dag_id]
    for task in dag.tasks:
        task.retry_delay = timedelta(0)  # nobody waits five minutes at a terminal
    watch = _Watch(on_line, on_end)
    began = time.monotonic()
    with watch.listening(), _on(backend):
        ended = dag.test(run_conf=dict(conf or {}))
    seconds = time.monotonic() - began
    return RunResult(dag_id, ended.run_id, str(ended.state), seconds, watch.with_those_that_never_ran(ended, dag))


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


def _ensure_database() -> None:
    """Make the metadata database of podenv's own Airflow home, once; a user's own is only looked at."""
    from podenv.airflow import compat

    if "_PODENV_AIRFLOW_HOME" in os.environ:
        made = Path(os.environ["AIRFLOW_HOME"], "podenv-made-the-database")
        if not made.exists():
            compat.make_database()
            made.touch()
        return
    if not compat.database_is_current():
        raise SettingError(
            f"The metadata database of AIRFLOW_HOME ({os.environ['AIRFLOW_HOME']}) is not up to date; "
            "run `airflow db migrate`, or unset AIRFLOW_HOME to use one of podenv's own."
        )


class _Watch:
    """Sees the tasks of a run begin, print and end."""

    def __init__(self, on_line: Callable[[str, str], None], on_end: Callable[[TaskResult], None]) -> None:
        from podenv.airflow.compat import hookimpl

        self._on_line, self._on_end = on_line, on_end
        self._task = ""
        self._began = 0.0
        self._open = ""
        self.results: dict[tuple[str, int], TaskResult] = {}
        # Airflow calls these by their names; they are marked here because Airflow may not be imported with the module.
        for name in ("on_task_instance_running", "on_task_instance_success", "on_task_instance_failed"):
            setattr(type(self), name, hookimpl(getattr(type(self), name)))

    def on_task_instance_running(self, task_instance: Any) -> None:
        self._task, self._began = task_instance.task_id, time.monotonic()

    def on_task_instance_success(self, task_instance: Any) -> None:
        value = task_instance.xcom_pull(task_ids=task_instance.task_id, map_indexes=task_instance.map_index)
        self._end(task_instance, value=value)

    def on_task_instance_failed(self, task_instance: Any, error: BaseException | str | None) -> None:
        self._end(task_instance, error=self._explain(error))

    def _end(self, task_instance: Any, **outcome: Any) -> None:
        result = TaskResult(
            task_instance.task_id,
            task_instance.map_index,
            getattr(task_instance.task, "env", None),
            task_instance.state.value,
            tries=task_instance.try_number,
            seconds=time.monotonic() - self._began,
            **outcome,
        )
        self.results.pop((result.task_id, result.map_index), None)  # an earlier try
        self.results[result.task_id, result.map_index] = result
        self._on_end(result)

    def _explain(self, error: BaseException | str | None) -> str:
        from podenv.airflow.compat import AirflowException

        if isinstance(error, FunctionRaised) and error.__cause__:  # of `run_in_env`; a task of podenv's has logged it
            for line in error.remote_traceback.splitlines():
                self._on_line(self._task, line)
        if not isinstance(error, BaseException) or isinstance(error, PodenvError | AirflowException):
            return str(error)
        for part in traceback.format_exception(error):
            for line in part.rstrip().splitlines():
                self._on_line(self._task, line)
        return f"{type(error).__name__}: {error}"

    def write(self, text: str) -> int:
        """Take what a plain task prints."""
        *lines, self._open = (self._open + text).split("\n")
        for line in lines:
            self._on_line(self._task, line)
        return len(text)

    def flush(self) -> None:
        """Lines are whole."""

    @contextmanager
    def listening(self) -> Iterator[None]:
        """While this lasts, the tasks' lines and ends come here."""
        from podenv.airflow.compat import get_listener_manager
        from podenv.airflow.settings import log

        handler = logging.Handler()
        handler.emit = lambda record: self._on_line(self._task, record.getMessage())  # type: ignore[method-assign]
        before = log.level, log.propagate
        manager = get_listener_manager()
        manager.add_listener(self)  # type: ignore[no-untyped-call]
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False
        try:
            with redirect_stdout(self):
                yield
        finally:
            log.removeHandler(handler)
            log.setLevel(before[0])
            log.propagate = before[1]
            manager.pm.unregister(self)

    def with_those_that_never_ran(self, ended: Any, dag: Any) -> list[TaskResult]:
        """All tasks of the run, in the order of their ends."""
        for instance in ended.get_task_instances():
            key = instance.task_id, instance.map_index
            state = str(instance.state)
            if key in self.results:
                self.results[key] = replace(self.results[key], state=state)
                continue
            task = dag.get_task(instance.task_id)
            environment = getattr(task, "env", None) or getattr(task, "partial_kwargs", {}).get("env")
            self.results[key] = TaskResult(*key, environment, state)
        return list(self.results.values())
