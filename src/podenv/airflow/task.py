"""A task in an environment: its arguments, and what is checked of them when the DAG is parsed."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator

from podenv.airflow import compat, overrides, settings
from podenv.airflow.compat import BaseHook, MappedOperator, OperatorPartial
from podenv.airflow.link import EnvironmentLink, PodLink
from podenv.call import source
from podenv.catalogue.request import ARGUMENTS, TaskRequest
from podenv.pods.manifest import Json, base_container
from podenv.pods.request import Timeouts

if TYPE_CHECKING:
    from kubernetes.client import V1ResourceRequirements

    from podenv.airflow.compat import ExpandInput
    from podenv.runtime.reference import Reference


compat.allow_in_xcom("podenv.airflow.reference.Reference")


class EnvTask(KubernetesPodOperator):
    """What a task in an environment says, checked when its DAG is parsed; how it runs is `EnvPodOperator`'s."""

    template_fields: Sequence[str] = tuple(
        sorted({*KubernetesPodOperator.template_fields, "op_args", "op_kwargs", "pod_image", "pod_resources", "podenv"})
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **KubernetesPodOperator.template_fields_renderers,
        "op_args": "py",
        "op_kwargs": "py",
        "podenv": "json",
    }
    # A function cannot always be copied deeply.
    shallow_copy_attrs: Sequence[str] = ("python_callable",)
    ui_color = "#e2f0e6"
    overwrite_rtif_after_execution = True  # the rendered fields then show what ran
    decides: ClassVar[bool] = False  # Airflow itself needs the value, which then takes no way through a store
    pod_image: str | None = None
    pod_resources: Mapping[str, Any] | None = None
    pod_page: str = ""
    podenv: Mapping[str, Any] | None = None  # what the execution used, as `podenv.usage.record.TaskUsage` has it
    ran_python: str | None = None  # what the environment was that it ran in; None where that cannot be told
    ran_lock: str | None = None
    ran_max_memory: str | None = None  # of memory that is auto
    travelled: str = ""  # what went along with the function, in words
    written: Sequence[Reference] = ()  # what of its value is in a store
    env: str
    cpu: str | float | None
    memory: str | None
    max_memory: str | None
    gpu: str | int | None
    connections: Sequence[str] | Mapping[str, str]
    variables: Sequence[str] | Mapping[str, str]
    relaunch: int | None
    room_timeout: float | None
    results: str | None
    own_start_timeout: float | None  # as the task says them; None leaves it to the environment
    own_schedule_timeout: float | None

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
        connections: Sequence[str] | Mapping[str, str] = (),
        variables: Sequence[str] | Mapping[str, str] = (),
        relaunch: int | None = None,
        room_timeout: float | None = None,
        results: str | None = None,
        startup_timeout_seconds: int | None = None,
        schedule_timeout_seconds: int | None = None,
        do_xcom_push: bool = True,
        log_pod_spec_on_failure: bool = False,  # the dump holds the values of environment variables in clear
        log_events_on_startup: bool = False,
        container_name_log_prefix_enabled: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            cmds=cmds,
            arguments=arguments,
            container_resources=container_resources,
            startup_timeout_seconds=startup_timeout_seconds or int(Timeouts.start),
            schedule_timeout_seconds=schedule_timeout_seconds,
            do_xcom_push=do_xcom_push,
            log_pod_spec_on_failure=log_pod_spec_on_failure,
            log_events_on_startup=log_events_on_startup,
            container_name_log_prefix_enabled=container_name_log_prefix_enabled,
            **kwargs,
        )
        # At once: BaseOperator makes each single assignment slow, and a DAG file may have 500 tasks.
        vars(self).update(
            env=env,
            cpu=cpu,
            memory=memory,
            max_memory=max_memory,
            gpu=gpu,
            connections=connections,
            variables=variables,
            relaunch=relaunch,
            room_timeout=room_timeout,
            results=results,
            own_start_timeout=startup_timeout_seconds,
            own_schedule_timeout=schedule_timeout_seconds or startup_timeout_seconds,
        )
        self._take_function(python_callable, op_args, op_kwargs)
        self._check_what_runs()
        _check_once(self)

    def timeouts(self, environment: str) -> Timeouts:
        """How long its pods may wait; ``environment``: what the annotation of its environment says."""
        own = {"schedule": self.own_schedule_timeout, "start": self.own_start_timeout, "room": self.room_timeout}
        return Timeouts.of(own, environment)

    @classmethod
    def get_serialized_fields(cls) -> frozenset[str]:
        """What the API server knows of a task: also what it says of its environment."""
        fields: frozenset[str] = super().get_serialized_fields()  # type: ignore[no-untyped-call]
        return fields | {"env", "cpu", "memory", "max_memory", "gpu"}

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

    @property
    def operator_extra_links(self) -> tuple[EnvironmentLink | PodLink, ...]:  # type: ignore[override]
        """The tab of the run, and the pod's page where `[podenv] pod_url` says how to reach it."""
        return (EnvironmentLink(), PodLink()) if settings.pod_url() else (EnvironmentLink(),)

    @property
    def where(self) -> str:
        """How messages begin."""
        return f"Task {self.task_id!r}"

    @property
    def dag_file(self) -> str | None:
        """Where the search for the catalogue begins."""
        return _dag_file(self.get_dag(), self.python_callable)

    def renew_client(self) -> None:
        """Take new credentials with the next request."""
        for name in ("hook", "client", "pod_manager"):
            vars(self).pop(name, None)

    @property
    def discards_value(self) -> bool:
        """True if the function's value is not used, so that it may be anything."""
        return self.python_callable is not None and not self.do_xcom_push

    def secret_variables(self) -> dict[str, str]:
        """The environment variables of ``connections`` and ``variables`` with their values, which are secret."""
        connections = _by_variable(self.connections, "AIRFLOW_CONN_")
        variables = _by_variable(self.variables, "AIRFLOW_VAR_")
        return {
            **{name: BaseHook.get_connection(one).get_uri() for name, one in connections.items()},
            **{name: str(compat.Variable.get(one)) for name, one in variables.items()},
        }

    def show(self, pod: Json) -> None:
        """Let the rendered fields and the link show what runs."""
        container, metadata = base_container(pod), pod["metadata"]
        self.pod_image = container.get("image")
        self.pod_resources = container.get("resources")
        page = settings.pod_url().replace("{namespace}", metadata["namespace"])
        self.pod_page = page.replace("{pod}", metadata["name"])

    def convert_config_file_to_dict(self) -> None:
        """For the trigger; KUBECONFIG gives way to a connection that has its own way to the cluster."""
        own = ("kube_config_path", "kube_config", "in_cluster")
        if self.config_file is None and any(getattr(self.hook, "conn_extras", {}).get(name) for name in own):
            self._config_dict = None
        else:
            super().convert_config_file_to_dict()  # type: ignore[no-untyped-call]

    def _take_function(
        self,
        function: Callable[..., Any] | None,
        op_args: Sequence[Any] | None,
        op_kwargs: Mapping[str, Any] | None,
    ) -> None:
        if function is not None:
            source.refuse_airflows(function)
        self.python_callable = function
        self.op_args = op_args or []
        self.op_kwargs = op_kwargs or {}

    def _check_what_runs(self) -> None:
        if self.env is None:
            raise TypeError(f"{self.where} needs env, the name of an environment.")
        if (self.python_callable is None) == (not self.cmds):
            raise TypeError(f"{self.where} needs a python_callable or cmds: one of them, not both.")
        if self.python_callable is not None and self.arguments:
            raise TypeError(f"{self.where}: arguments go with cmds; a function has op_args and op_kwargs.")
        if why := overrides.refusal(self):
            raise TypeError(f"{self.where}: {why}.")
        for name in ("connections", "variables"):
            if isinstance(given := getattr(self, name), str):
                raise TypeError(f"{self.where}: {name} is a list of names; write [{given!r}].")
        if self.relaunch is not None and (type(self.relaunch) is not int or self.relaunch < 0):
            raise TypeError(f"{self.where}: relaunch is a number of times, 0 or more, not {self.relaunch!r}.")
        if self.room_timeout is not None and (type(self.room_timeout) not in (int, float) or self.room_timeout <= 0):
            raise TypeError(f"{self.where}: room_timeout is a number of seconds above 0, not {self.room_timeout!r}.")
        if self.results is not None:
            settings.check_results(self.results, f"{self.where}: results")
        for name in ("cmds", "arguments"):
            if isinstance(getattr(self, name), str):
                raise TypeError(
                    f"{self.where}: {name} is a list of texts, not one text: it is started without a shell."
                )


def _by_variable(chosen: Sequence[str] | Mapping[str, str], prefix: str) -> Mapping[str, str]:
    """Environment variable -> name, of names that are given as a list or with the variables."""
    return chosen if isinstance(chosen, Mapping) else {f"{prefix}{name.upper()}": name for name in chosen}


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
        request.check(f"Task {operator.task_id!r}", lambda: settings.catalogue_or_none(file))


def mapped_request(operator: MappedOperator) -> TaskRequest:
    """What each of the mapped tasks asks for, without what it is mapped over."""
    defaults: dict[str, Any] = {}
    for owner in (operator.get_dag(), operator.task_group):
        defaults |= (owner.default_args or {}) if owner is not None else {}
    return TaskRequest.of({**defaults, **operator.partial_kwargs})


# Plain values: to make a request for each of 500 tasks takes a hundredth of the parse.
_asked = itemgetter(*ARGUMENTS)


class _Checked:
    """What was checked for the DAG that is being parsed: many of its tasks ask for the same."""

    dag: Callable[[], Any] = staticmethod(lambda: None)  # a weak reference
    requests: ClassVar[set[tuple[Any, ...]]] = set()


def _check_once(task: EnvTask) -> None:
    dag, asked = task.get_dag(), _asked(vars(task))
    if dag is None or _Checked.dag() is not dag:
        _Checked.dag, _Checked.requests = weakref.ref(dag) if dag is not None else lambda: None, set()
    try:
        if asked in _Checked.requests:
            return
        task.request.check(task.where, lambda: settings.catalogue_or_none(task.dag_file))
        _Checked.requests.add(asked)
    except TypeError:  # not hashable: it holds a mapping, or something that is refused
        task.request.check(task.where, lambda: settings.catalogue_or_none(task.dag_file))


def _dag_file(dag: Any, function: Callable[..., Any] | None) -> str | None:
    """Where the search for the catalogue begins: a shared function's own file may lie outside the project."""
    if dag is not None:
        return str(dag.fileloc)
    code = getattr(function, "__code__", None)
    return code.co_filename if code else None
