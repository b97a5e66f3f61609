"""`EnvPodOperator`: a task in an environment of its own."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException
from airflow.sdk.definitions.mappedoperator import MappedOperator, OperatorPartial

from podenv import source
from podenv.airflow import settings
from podenv.airflow.request import TaskRequest
from podenv.errors import (
    Exited,
    FunctionRaised,
    Killed,
    LocalEnvironmentError,
    PodenvError,
    ProgramError,
    TaskFailure,
)

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.definitions._internal.expandinput import ExpandInput
    from kubernetes.client import V1ResourceRequirements

    from podenv.local import LocalRun

# What a pod brings to the function and a local virtual environment cannot.
_POD_ONLY = (
    "configmaps",
    "env_from",
    "init_containers",
    "pod_runtime_info_envs",
    "secrets",
    "volume_mounts",
    "volumes",
)


class EnvPodOperator(KubernetesPodOperator):
    """Run a function, or a command, in the environment ``env``.

    ``python_callable`` with ``op_args`` and ``op_kwargs``, or ``cmds`` with ``arguments``. ``cpu``, ``memory`` and
    ``gpu`` (Kubernetes quantities) set request and limit alike; for different ones pass ``container_resources``,
    merged key by key over the environment's. Out of memory, the task runs again in the same try with twice the memory,
    up to ``max_memory``. All other arguments are those of KubernetesPodOperator.

    Raises a `PodenvError` or TypeError when the DAG is parsed, for what can never run.
    """

    template_fields: Sequence[str] = tuple(sorted({*KubernetesPodOperator.template_fields, "op_args", "op_kwargs"}))
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **KubernetesPodOperator.template_fields_renderers,
        "op_args": "py",
        "op_kwargs": "py",
    }
    # A function cannot always be copied deeply.
    shallow_copy_attrs: Sequence[str] = ("python_callable",)
    ui_color = "#e2f0e6"
    env: str
    cpu: str | float | None
    memory: str | None
    max_memory: str | None
    gpu: str | int | None
    _local_run: LocalRun | None = None

    def __init__(
        self,
        *,
        env: str,
        python_callable: Callable[..., Any] | None = None,
        op_args: Sequence[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        cmds: list[str] | None = None,
        arguments: list[str] | None = None,
        cpu: str | float | None = None,
        memory: str | None = None,
        max_memory: str | None = None,
        gpu: str | int | None = None,
        container_resources: V1ResourceRequirements | Mapping[str, Any] | None = None,
        do_xcom_push: bool = True,
        log_pod_spec_on_failure: bool = False,  # the dump holds the values of environment variables in clear
        **kwargs: Any,
    ) -> None:
        super().__init__(
            cmds=cmds,
            arguments=arguments,
            container_resources=container_resources,
            do_xcom_push=do_xcom_push,
            log_pod_spec_on_failure=log_pod_spec_on_failure,
            **kwargs,
        )
        # At once: BaseOperator makes each single assignment slow, and a DAG file may have 500 tasks.
        vars(self).update(env=env, cpu=cpu, memory=memory, max_memory=max_memory, gpu=gpu)
        self._take_function(python_callable, op_args, op_kwargs)
        self._check_what_runs()
        _check_once(self)

    @property
    def request(self) -> TaskRequest:
        """What this task asks for, as it was given."""
        return TaskRequest.of(vars(self))

    @classmethod
    def partial(cls, **kwargs: Any) -> OperatorPartial:
        """Set the arguments that are the same for each mapped task; checked here as a task's own are."""
        plain = super().partial(**kwargs)
        plain._expand_called = True  # its checking copy is expanded in its place
        return _CheckedPartial(operator_class=plain.operator_class, kwargs=plain.kwargs, params=plain.params)

    def execute(self, context: Context) -> Any:
        """Run the task and return its value. Raises the `TaskFailure`, or AirflowFailException where no retry helps."""
        try:
            value = self._execute_locally(context)
        except PodenvError as error:
            self._fail(error)
        if self._killed:  # Airflow lets a task that returns after SIGTERM count as success
            raise Killed(f"{self._where} was ended from outside.")
        return value

    def on_kill(self) -> None:
        """End the task's whole process tree; runs in a signal handler and after a timeout, so it never raises."""
        self._killed = True
        if self._local_run is not None:
            self._local_run.kill()

    @property
    def _where(self) -> str:
        return f"Task {self.task_id!r}"

    def _dag_file(self) -> str | None:
        return _dag_file(self.get_dag(), self.python_callable)

    def _take_function(
        self,
        function: Callable[..., Any] | None,
        op_args: Sequence[Any] | None,
        op_kwargs: Mapping[str, Any] | None,
    ) -> None:
        self.python_callable = function
        self.op_args = op_args or []
        self.op_kwargs = op_kwargs or {}

    def _check_what_runs(self) -> None:
        if (self.python_callable is None) == (not self.cmds):
            raise TypeError(f"{self._where} needs a python_callable or cmds: one of them, not both.")
        if self.python_callable is not None and self.arguments:
            raise TypeError(f"{self._where}: arguments go with cmds; a function has op_args and op_kwargs.")
        for name in ("cmds", "arguments"):
            if isinstance(getattr(self, name), str):
                raise TypeError(
                    f"{self._where}: {name} is a list of texts, not one text: it is started without a shell."
                )

    def _execute_locally(self, context: Context) -> Any:
        settings.require_local()
        from podenv.local import Limits, LocalRun  # the local backend is loaded when a task executes, not at parse

        environment = settings.catalogue(self._dag_file())[self.env]
        resources = self.request.resources(environment, self._where)
        limits = Limits(
            cpu=resources.limits.get("cpu"), memory=resources.limits.get("memory"), max_memory=resources.max_memory
        )
        self._warn_of_pod_only()
        run = LocalRun(environment, limits=limits, env=self._variables(), emit=settings.emit)
        self._local_run = run
        if self._killed:
            raise Killed(f"{self._where} was ended from outside.")
        if self.python_callable is None:
            return run.command([*map(str, self.cmds), *map(str, self.arguments)])
        source.check_syntax(source.extract(self.python_callable), python=environment.python)
        values = {**context, "try_number": context["ti"].try_number}
        return run.call(source.build_call(self.python_callable, self.op_args, self.op_kwargs, values))

    def _variables(self) -> dict[str, str]:
        variables = {}
        given = (
            self.env_vars.items() if isinstance(self.env_vars, Mapping) else [(v.name, v.value) for v in self.env_vars]
        )
        for name, value in given:
            if value is None:
                settings.log.warning("Variable %s comes from the cluster; the local backend does not set it.", name)
            else:
                variables[name] = str(value)
        return variables

    def _warn_of_pod_only(self) -> None:
        if asked := [name for name in _POD_ONLY if getattr(self, name)]:
            settings.log.warning(
                "Only pods have %s; on the local backend what they bring is missing.", ", ".join(asked)
            )

    def _fail(self, error: PodenvError) -> NoReturn:
        """Raise what Airflow understands, without the stack of podenv: it says nothing to the reader of the log."""
        if isinstance(error, FunctionRaised):
            settings.log.error("%s", error.remote_traceback)
        if isinstance(error, Exited) and error.code in self.skip_on_exit_code:
            raise AirflowSkipException(str(error)) from None
        if may_retry(error):
            raise error.with_traceback(None) from None
        raise AirflowFailException(str(error)) from error.with_traceback(None)


class _CheckedPartial(OperatorPartial):
    """Checks what ``.expand()`` maps over at parse time: the operator's ``__init__`` waits until a worker runs it."""

    def _expand(self, expand_input: ExpandInput, *, strict: bool) -> MappedOperator:
        operator = super()._expand(expand_input, strict=strict)
        check_mapped(operator, expand_input.value)
        return operator


def check_mapped(operator: MappedOperator, mapped: object) -> None:
    """Check a mapped task as a plain one is checked; ``mapped`` holds the operator arguments that it maps over."""
    file = _dag_file(operator.get_dag(), operator.partial_kwargs.get("python_callable"))
    for request in mapped_request(operator).variants(mapped):
        request.check(f"Task {operator.task_id!r}", file)


def mapped_request(operator: MappedOperator) -> TaskRequest:
    """What each of the mapped tasks asks for, but for what it is mapped over."""
    defaults: dict[str, Any] = {}
    for owner in (operator.get_dag(), operator.task_group):
        defaults |= (owner.default_args or {}) if owner is not None else {}
    return TaskRequest.of({**defaults, **operator.partial_kwargs})


class _Checked:
    """What was checked for the DAG that is being parsed: many of its tasks ask for the same."""

    dag: Callable[[], Any] = staticmethod(lambda: None)  # a weak reference
    requests: ClassVar[set[TaskRequest]] = set()


def _check_once(task: EnvPodOperator) -> None:
    dag, request = task.get_dag(), task.request
    if dag is None or _Checked.dag() is not dag:
        _Checked.dag, _Checked.requests = weakref.ref(dag) if dag is not None else lambda: None, set()
    try:
        if request in _Checked.requests:
            return
        request.check(task._where, task._dag_file())
        _Checked.requests.add(request)
    except TypeError:  # not hashable: it holds a mapping, or something that is refused
        request.check(task._where, task._dag_file())


def may_retry(error: PodenvError) -> bool:
    """Whether trying again can help: not for a wrong name, lock or argument."""
    if isinstance(error, TaskFailure):
        return error.retry
    return isinstance(error, LocalEnvironmentError | ProgramError)


def _dag_file(dag: Any, function: Callable[..., Any] | None) -> str | None:
    """Where the search for the catalogue begins: a shared function's own file may lie outside the project."""
    if dag is not None:
        return str(dag.fileloc)
    code = getattr(function, "__code__", None)
    return code.co_filename if code else None
