"""`EnvTask` on this machine: one execution of a task in a local virtual environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from podenv.airflow import settings
from podenv.airflow.exchange import context_values
from podenv.call import source
from podenv.local import Limits, LocalRun

if TYPE_CHECKING:
    from airflow.sdk import Context

    from podenv.airflow.task import EnvTask

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


class LocalTask:
    """The processes of one execution of ``operator``."""

    def __init__(self, operator: EnvTask, context: Context) -> None:
        self._operator = operator
        self._context = context
        environment = settings.catalogue(operator.dag_file)[operator.env]
        resources = operator.request.resources(environment, operator.where)
        limits = Limits(
            cpu=resources.limits.get("cpu"), memory=resources.limits.get("memory"), max_memory=resources.max_memory
        )
        self._environment = environment
        if asked := [name for name in _POD_ONLY if getattr(operator, name)]:
            settings.log.warning(
                "Only pods have %s; on the local backend what they bring is missing.", ", ".join(asked)
            )
        operator.pod_resources = {"limits": resources.limits}
        self._run = LocalRun(environment, limits=limits, env=self._variables(), emit=settings.emit)

    def kill(self) -> None:
        """End the whole process tree; for a signal handler."""
        self._run.kill()

    def run(self) -> Any:
        """The value that the function returned; None where XCom does not get it. Raises a `PodenvError`."""
        operator = self._operator
        if operator.python_callable is None:
            return self._run.command([*map(str, operator.cmds), *map(str, operator.arguments)])
        source.check_syntax(source.extract(operator.python_callable), python=self._environment.python)
        values = context_values(self._context)
        call = source.build_call(operator.python_callable, operator.op_args, operator.op_kwargs, values)
        return self._run.call(call, discard=not operator.do_xcom_push)

    def resume(self, event: Mapping[str, Any]) -> Any:
        """A task that was deferred on the cluster, and is resumed by a worker that is set to run tasks here."""
        settings.log.warning("The pod %s is left to itself: this worker runs tasks locally.", event.get("name"))
        return self.run()

    def _variables(self) -> dict[str, str]:
        given = self._operator.env_vars
        pairs = given.items() if isinstance(given, Mapping) else [(one.name, one.value) for one in given]
        variables = self._operator.connection_variables()
        for name, value in pairs:
            if value is None:
                settings.log.warning("Variable %s comes from the cluster; the local backend does not set it.", name)
            else:
                variables[name] = str(value)
        return variables
