"""`EnvTask` on this machine: one execution of a task in a local virtual environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from podenv.airflow import compat, overrides, settings, stores, tracing
from podenv.airflow.learned import LearnedMemory
from podenv.airflow.passing import context_values
from podenv.call import source
from podenv.local import Limits, LocalRun, clusteronly
from podenv.local.clusteronly import ClusterOnly
from podenv.pods.manifest import CONTAINER

if TYPE_CHECKING:
    from airflow.sdk import Context

    from podenv.airflow.task import EnvTask

# Arguments that shape a pod and have no meaning for processes on this machine.
POD_ONLY = (
    "affinity", "active_deadline_seconds", "annotations", "automount_service_account_token", "callbacks", "configmaps",
    "container_security_context", "dns_config", "dnspolicy", "env_from", "full_pod_spec", "host_aliases", "hostname",
    "hostnetwork", "image", "image_pull_policy", "image_pull_secrets", "init_container_logs", "init_containers",
    "labels", "node_selector", "pod_template_dict", "pod_template_file", "ports", "priority_class_name",
    "runtime_class_name", "schedulername", "security_context", "service_account_name", "subdomain", "tolerations",
    "volume_mounts", "volumes",
)  # fmt: skip


class LocalTask:
    """The processes of one execution of ``task``."""

    def __init__(self, task: EnvTask, context: Context) -> None:
        self._task = task
        self._context = context
        self._environment = settings.folder_catalogue(task.dag_file)[task.env]
        resources = task.request.resources(self._environment, task.where)
        variables = overrides.variables(task)
        self._limits = resources.limits
        self.memory = LearnedMemory(task, context)
        self.ran = LocalRun(
            self._environment,
            limits=Limits(resources.limits.get("cpu"), resources.limits.get("memory"), resources.max_memory),
            env={**task.secret_variables(), **{one["name"]: one["value"] for one in variables if "value" in one}},
            emit=self._emit,
            asked=self._asked_of_the_cluster([one["name"] for one in variables if "value" not in one]),
            trace=tracing.variables(),
            grace=task.termination_grace_period,
            many=compat.runs_whole_dag(),
        )

    def kill(self) -> None:
        """End the whole process tree; for a signal handler."""
        self.ran.kill()

    def run(self) -> Any:
        """The value that the function returned; None where XCom does not get it. Raises a `PodenvError`."""
        task = self._task
        run = self.ran
        asked = self.memory.settle(
            self._environment.resources, run.lock, imports=lambda: run.imports_take(task.dag_id, task.task_id)
        )
        if asked.memory != task.memory:
            self.ran.limits = replace(self.ran.limits, memory=asked.memory, max_memory=asked.max_memory)
        settings.log.info("%s", self.ran.facts)
        if self.ran.missing:
            settings.log.warning("%s", self.ran.missing)
        task.ran_python, task.ran_lock = self._environment.python, self.ran.lock
        self._show()
        try:
            if task.python_callable is None:
                argv = [*map(str, task.cmds), *map(str, task.arguments)]
                return self.ran.command(argv, discard=not task.do_xcom_push)
            call = source.build_call(
                task.python_callable,
                task.op_args,
                task.op_kwargs,
                context_values(self._context),
                python=self._environment.python,
                code=settings.code(),
            )
            task.travelled = call.travels
            exchange = stores.of_task(task, self._context)
            if exchange is None:
                return self.ran.call(call, discard=task.discards_value)
            value = self.ran.call(call, discard=task.discards_value, ticket=exchange.ticket(call))
            return exchange.found(value)
        finally:
            self._show()

    def resume(self, event: Mapping[str, Any]) -> Any:
        """A task that was deferred on the cluster, and is resumed by a worker that is set to run tasks here."""
        settings.log.warning("The pod %s is left to itself: this worker runs tasks locally.", event.get("name"))
        return self.run()

    def _show(self) -> None:
        """Let the rendered fields show the limits, which grow where the task runs out of memory."""
        memory = self.ran.limits.memory
        self._task.pod_resources = {"limits": {**self._limits, **({"memory": memory} if memory else {})}}

    def _emit(self, line: str) -> None:
        task = self._task
        if task.get_logs:
            settings.emit(overrides.formatted(task, CONTAINER, line))
        if task._progress_callback:
            task._progress_callback(line)

    def _asked_of_the_cluster(self, variables: list[str]) -> ClusterOnly:
        task = self._task
        keys = [name for name in POD_ONLY if getattr(task, name)]
        of_secrets = {one.deploy_target for one in task.secrets if one.deploy_type == "env" and one.key is not None}
        if len(of_secrets) < len(task.secrets):  # volumes, or all keys of a Secret
            keys.append("secrets")
        extra = clusteronly.limits_only_of_pods(self._limits.keys() - self._environment.spec.resources.limits.keys())
        named = {
            **dict.fromkeys(variables, "env_vars"),
            **dict.fromkeys(of_secrets, "secrets"),
            **{one.name: "pod_runtime_info_envs" for one in task.pod_runtime_info_envs or ()},
        }
        return ClusterOnly((*keys, *extra), named)
