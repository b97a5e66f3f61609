"""The memory of a task that is auto: what it begins with is learned from its earlier runs, and kept at each end.

A worker has no database. What is known of the last runs is an XCom of the task, which a later run of the DAG reads; a
retry, whose run's XComs Airflow has cleared, finds it in the task's state store (Airflow 3.3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from podenv.airflow import settings
from podenv.catalogue import names, quantity
from podenv.catalogue.automemory import Defaults
from podenv.catalogue.request import TaskRequest
from podenv.errors import OutOfMemory
from podenv.usage import learning
from podenv.usage.learning import History

if TYPE_CHECKING:
    from airflow.sdk import Context

    from podenv.airflow.task import EnvTask

KEY = "podenv_usage"  # of the XCom, and in the state store


class LearnedMemory:
    """The memory of one execution of ``task``. Nothing is read or written for a task whose memory is given."""

    def __init__(self, task: EnvTask, context: Context) -> None:
        self._task = task
        self._context = context
        self._lock: str | None = None  # None: not auto, as far as is known
        self._kept: History | None = None
        self._begin: int | None = None

    def settle(self, base: Defaults, lock: str, *, imports: Callable[[], int] = lambda: 0) -> TaskRequest:
        """The task's request with the memory that it begins with; ``base`` is its environment's, ``lock`` its hash.

        ``imports`` tells the bytes that its imports take, 0 where not known. Raises `ResourceError` without a cap.
        """
        task = self._task
        auto = task.request.auto(base, task.where)
        if auto is None:
            return task.request
        figure = learning.begin(auto, self._history(), lock, imports=imports())
        request = task.request.with_memory(figure.memory, auto.cap)
        if self._begin is None:
            settings.log.info("Memory is auto: %s of at most %s; %s.", request.memory, request.max_memory, figure.why)
        self._lock, self._begin, task.ran_max_memory = lock, figure.memory, request.max_memory
        return request

    @property
    def annotations(self) -> dict[str, str]:
        """What a pod says of it, for a worker that resumes: the environment may say something else by then."""
        if self._begin is None or self._task.ran_max_memory is None:
            return {}
        begin = quantity.of_bytes(self._begin)
        return {names.FIRST_MEMORY_ANNOTATION: begin, names.MAX_MEMORY_ANNOTATION: self._task.ran_max_memory}

    def resume(self, annotations: Mapping[str, str]) -> None:
        """Take up what the pod of an earlier worker says."""
        if names.FIRST_MEMORY_ANNOTATION in annotations:
            self._lock = annotations.get(names.LOCK_ANNOTATION, "")
            self._begin = quantity.to_bytes(annotations[names.FIRST_MEMORY_ANNOTATION])
            self._task.ran_max_memory = annotations.get(names.MAX_MEMORY_ANNOTATION)

    def ended(self, error: BaseException | None) -> None:
        """Keep what this execution, which ended so, tells of the next; never raises."""
        if self._lock is None or not (error is None or isinstance(error, OutOfMemory)):
            return
        seen = self._seen(error)
        if not seen:
            return
        more = learning.remember(self._history(), self._lock, **seen)
        try:
            self._context["ti"].xcom_push(key=KEY, value=more)
            if error is not None and (store := self._store()) is not None:
                store.set(KEY, more)
        except Exception as problem:  # noqa: BLE001 - what is learned for the next run must not fail this one
            settings.log.warning("What this run tells of the task's memory is not kept: %s.", problem)

    def _seen(self, error: BaseException | None) -> dict[str, int]:
        """What is known of the run, in bytes, in the words of `podenv.usage.learning`."""
        limit = ((self._task.pod_resources or {}).get("limits") or {}).get("memory")
        size = None if limit is None else quantity.to_bytes(str(limit))
        if error is not None:
            return {"killed_at": size} if size else {}
        grown = size if size and self._begin and size > self._begin else None
        peak = (self._task.podenv or {}).get("peak_memory_bytes")
        # One that was out of memory before needed more than it began with, whatever it needed this time.
        if peak and not (grown and self._begin and peak <= self._begin):
            return {"used": peak}
        return {"enough": grown} if grown else {}

    def _history(self) -> History:
        if self._kept is None:
            self._kept = []
            try:
                self._kept = learning.history(self._read())
            except Exception as problem:  # noqa: BLE001 - a task without its history runs as one that never ran
                settings.log.warning("What earlier runs of this task used cannot be read: %s.", problem)
        return self._kept

    def _read(self) -> Any:
        ti = self._context["ti"]
        if ti.try_number > 1 and (store := self._store()) is not None and (kept := store.get(KEY)):
            return kept
        # A mapped task that had fewer items before begins as its first one.
        own = -1 if ti.map_index is None else ti.map_index
        for index in dict.fromkeys((own, min(own, 0))):
            kept = ti.xcom_pull(task_ids=ti.task_id, key=KEY, map_indexes=index, include_prior_dates=True)
            if kept:
                return kept
        return None

    def _store(self) -> Any:
        return self._context.get("task_state_store")
