"""`EnvPodOperator`: a task in an environment of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from podenv.airflow import fields, measured, settings
from podenv.airflow.compat import AirflowFailException, AirflowSkipException, TaskDeferred
from podenv.airflow.passing import readable
from podenv.airflow.retry import retries_all_the_same
from podenv.airflow.task import EnvTask
from podenv.errors import (
    Exited,
    FunctionRaised,
    Killed,
    LocalEnvironmentError,
    PodenvError,
    ProgramError,
    SourceChanged,
    StoreUnreachable,
    TaskFailure,
)
from podenv.runtime.reference import references
from podenv.usage import record

if TYPE_CHECKING:
    from airflow.sdk import Context

    from podenv.airflow.localtask import LocalTask
    from podenv.airflow.podtask import PodTask


class EnvPodOperator(EnvTask):
    """Run a function, or a command, in the environment ``env``.

    ``python_callable`` with ``op_args`` and ``op_kwargs``, or ``cmds`` with ``arguments``. The function gets the
    context values that its signature names (``ds``, ``params``, ``try_number`` …), none by ``**kwargs``. ``cpu``,
    ``memory`` and ``gpu`` (Kubernetes quantities) set request and limit alike; for different ones pass
    ``container_resources``, merged key by key over the environment's. Out of memory, the task runs again in the same
    try with twice the memory, up to ``max_memory``. With ``memory="auto"`` it begins with what its earlier runs on this
    lock used and a quarter more; that needs ``max_memory``, or ``resources.maxMemory`` of the environment. ``relaunch``
    says how often, in one try, a pod that the cluster took away (evicted, preempted, its node lost) is launched again:
    0 is never; without it three times, but where the function may have started only if the task has ``retries``.
    ``room_timeout``: for how many seconds (an hour unless the environment says otherwise) it waits in line, in the same
    try, where the quota or the nodes have no room for its pod.
    ``results="exchange"`` lets the value go through the store (``[podenv] exchange``), whatever it is; without it a
    table, a file, bytes and what is too large for XCom do. ``connections`` names Airflow Connections that the task gets
    as environment variables (``AIRFLOW_CONN_<ID>``, or a mapping of variables to ids), ``variables`` Airflow Variables
    (``AIRFLOW_VAR_<KEY>``); a Secret that lives and dies with the pod brings them. All other arguments are those of
    KubernetesPodOperator; what they say of the pod is laid upon the environment's PodTemplate key by key.

    Raises a `PodenvError` or TypeError when the DAG is parsed, for what can never run.
    """

    _task: LocalTask | PodTask | None = None

    def execute(self, context: Context) -> Any:
        """Run the task and return its value. Raises the `TaskFailure`, or AirflowFailException where no retry helps."""
        return self._run(context, lambda task: task.run())

    def trigger_reentry(self, context: Context, event: dict[str, Any]) -> Any:
        """Go on after the task was deferred; returns and raises as `execute`."""
        return self._run(context, lambda task: task.resume(event))

    def get_openlineage_facets_on_start(self) -> Any:
        """For OpenLineage's provider, which calls it where it is installed."""
        from podenv.airflow import lineage

        return lineage.of_start(self)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """For OpenLineage's provider, which calls it at the end, also of a task that failed."""
        from podenv.airflow import lineage

        return lineage.of_end(self)

    def on_kill(self) -> None:
        """End the task's pod, or its whole process tree; runs in a signal handler and after a timeout: never raises."""
        self._killed = True
        if self._task is not None:
            self._task.kill()

    def _run(self, context: Context, do: Callable[[Any], Any]) -> Any:
        with fields.of_try(self.env, context["ti"].try_number):
            return self._run_one(context, do)

    def _run_one(self, context: Context, do: Callable[[Any], Any]) -> Any:
        started = record.now()
        try:
            self._task = self._task_of(context)
            self._refuse_killed()
            value = do(self._task)
            self._refuse_killed()  # Airflow lets a task that returns after SIGTERM count as success
        except TaskDeferred:
            if self._task is not None:
                measured.deferred(self, self._task.ran)
            raise
        except BaseException as error:
            self._ended(context, started, error)
            if isinstance(error, PodenvError):
                self._fail(error, context)
            raise
        self.written = references(value)
        self._ended(context, started, None)
        return self._conclude(context, readable(value))

    def _ended(self, context: Context, started: str, error: BaseException | None) -> None:
        """Keep what this execution used, and what that tells of the next."""
        if self._task is not None:
            measured.keep(self, context, self._task.ran, started=started, error=error)
            self._task.memory.ended(error)

    def _refuse_killed(self) -> None:
        if self._killed:
            raise Killed(f"{self.where} was ended from outside.")

    def _conclude(self, context: Context, value: Any) -> Any:
        """What the task returns for the function's ``value``."""
        return value

    def _task_of(self, context: Context) -> LocalTask | PodTask:
        # A backend is loaded when a task executes, not at parse.
        if settings.backend() == "local":
            from podenv.airflow.localtask import LocalTask

            return LocalTask(self, context)
        from podenv.airflow.podtask import PodTask

        return PodTask(self, context)

    def _fail(self, error: PodenvError, context: Context) -> NoReturn:
        """Raise what Airflow understands, without the stack of podenv: it says nothing to the reader of the log."""
        if isinstance(error, FunctionRaised):
            settings.log.error("%s", error.remote_traceback.rstrip("\n"))
        if isinstance(error, Exited) and any(code in self.skip_on_exit_code for code in error.codes):
            raise AirflowSkipException(str(error)) from None
        if may_retry(error) or retries_all_the_same(getattr(self, "retry_policy", None), error, context):
            raise error.with_traceback(None) from None
        raise AirflowFailException(str(error)) from error.with_traceback(None)


def may_retry(error: PodenvError) -> bool:
    """True if trying again can help: not for a wrong name, lock or argument."""
    if isinstance(error, TaskFailure):
        return error.retry
    return isinstance(error, LocalEnvironmentError | ProgramError | SourceChanged | StoreUnreachable)
