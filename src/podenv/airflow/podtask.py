"""`EnvPodOperator` on Kubernetes: one execution of a task as a pod."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import airflow.settings
from airflow.providers.cncf.kubernetes.callbacks import ExecutionMode
from airflow.providers.cncf.kubernetes.kubernetes_helper_functions import add_unique_suffix, create_unique_id
from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.version import version as airflow_version
from kubernetes.client import ApiException, V1Pod

from podenv.airflow import overrides, settings
from podenv.airflow.exchange import context_values
from podenv.airflow.observer import OperatorObserver
from podenv.airflow.trigger import EnvPodTrigger
from podenv.call import source
from podenv.call.command import XCOM_FOLDER, run_command
from podenv.call.outcome import value_of
from podenv.catalogue import names
from podenv.errors import Killed, OutOfMemory, PodLost
from podenv.pods import adopt, compose, deployed, failures
from podenv.pods.api import LIMITS, Api
from podenv.pods.deployed import Deployed
from podenv.pods.launch import Finish, Launch
from podenv.pods.pod import CONTAINER, Json, base_container, merge, to_json, with_base
from podenv.pods.podrun import PodRun

if TYPE_CHECKING:
    from airflow.sdk import Context

    from podenv.airflow.operator import EnvPodOperator
    from podenv.runtime.call import Call


class PodTask:
    """The pods of one execution of ``operator``."""

    def __init__(self, operator: EnvPodOperator, context: Context) -> None:
        self._operator = operator
        self._context = context
        self._api = Api(operator.env, lambda: operator.client, renew=operator.renew_client)
        self._observer = OperatorObserver(operator, context, self._api)
        self._run = PodRun(self._api, self._observer)

    def kill(self) -> None:
        """Delete the pod; for a signal handler."""
        self._run.kill()

    def run(self) -> Any:
        """The value that the function returned; in deferrable mode it raises TaskDeferred instead.

        Raises a `PodenvError`.
        """
        launch = self._launch()
        self._observer.launch = launch
        adopted = None
        if self._operator.durable:
            adopted = adopt.find(self._api, launch, self._identity(), store=self._observer.store)
        if adopted is not None:
            self._observer.note(f"Pod {adopted.metadata.name} of an earlier worker is followed to its end.")
            self._observer.created(adopted)
        # The stock way to defer loses the value of a pod that is over already.
        if not self._operator.deferrable or (adopted is not None and failures.is_over(adopted, CONTAINER)):
            return value_of(self._run.run(launch, adopted=adopted), launch.environment)
        if adopted is None:
            self._run.create(launch)
        return self._defer()

    def resume(self, event: Mapping[str, Any]) -> Any:
        """Go on after the trigger saw the pod end, or gave up waiting for it."""
        launch = self._launch(quiet=True).named(event["name"])
        self._observer.launch = launch
        try:
            pod = self._found(event, launch)
            self._observer.resumed(pod, event)
            launch = launch.as_it_is(pod)
            if _out_of_time(event):
                self._run.drop(launch, pod)
                raise Killed(f"The task in environment {launch.environment!r} ran longer than its execution_timeout.")
            return value_of(self._run.once(launch, pod), launch.environment)
        except (OutOfMemory, PodLost) as error:
            self._run.create(self._run.after(error, launch))
        return self._defer()

    def _defer(self) -> Any:
        try:
            return self._operator.invoke_defer_method(context=self._context)
        except TaskDeferred as deferred:
            deferred.trigger = EnvPodTrigger(**deferred.trigger.serialize()[1])
            raise

    def _found(self, event: Mapping[str, Any], launch: Launch) -> V1Pod:
        name, namespace = event["name"], event["namespace"]
        try:
            return self._api.ask(lambda core: core.read_namespaced_pod(name, namespace, _request_timeout=LIMITS))
        except ApiException as error:
            if error.status != 404:
                raise failures.refusal(error, launch.environment, f"read a pod in {namespace}") from None
            raise PodLost(
                f"Environment {launch.environment!r}: the pod {namespace}/{name} was deleted by somebody else before "
                "its result was read; look for who deletes pods in its namespace."
            ) from None

    def _launch(self, *, quiet: bool = False) -> Launch:
        operator = self._operator
        found = deployed.find(self._api, self._namespace())
        call = self._call(found)
        template = found.template
        pod = compose.pod(
            found,
            call,
            [*overrides.of_operator(operator), *self._xcom_folder()],
            request=operator.request,
            name=self._name(),
            labels=self._labels(),
            where=operator.where,
            discard=operator.python_callable is not None and not operator.do_xcom_push,
        )
        pod = self._mutated(pod)
        secret: dict[str, str] = operator.connection_variables()
        if settings.payload() == "secret":
            pod, payload = compose.split_secret(pod)
            secret |= payload
        logs = overrides.wanted(operator.container_logs, [CONTAINER])
        launch = Launch(
            environment=operator.env,
            pod=pod,
            schedule_timeout=operator.schedule_timeout_seconds,
            start_timeout=operator.startup_timeout_seconds,
            max_memory=operator.max_memory,
            finish=Finish(operator.on_finish_action.value),
            keep_when_killed=operator.on_kill_action.value == "keep_pod",
            grace=operator.termination_grace_period,
            follow=operator.get_logs and bool(logs),
            secret=secret,
        )
        operator.show(launch.pod)
        if not quiet:
            same = base_container(pod).get("image") == base_container(template).get("image")
            what = found.facts if same else "the task's own image"
            self._observer.note(f"Environment {operator.env!r} ({what}), {launch.facts}.")
        return launch

    def _namespace(self) -> str:
        operator = self._operator
        return str(operator.namespace) if operator.namespace else settings.namespace(operator.env, operator.dag_file)

    def _call(self, found: Deployed) -> Call:
        operator = self._operator
        if operator.python_callable is None:
            argv = [*map(str, operator.cmds), *map(str, operator.arguments)]
            file = f"{XCOM_FOLDER}/return.json" if operator.do_xcom_push else None
            return source.build_call(run_command, [argv, file], {})
        if found.python is not None and operator.image is None:
            source.check_syntax(source.extract(operator.python_callable), python=found.python)
        values = context_values(self._context)
        return source.build_call(operator.python_callable, operator.op_args, operator.op_kwargs, values)

    def _xcom_folder(self) -> list[Json]:
        """Where a command writes its XCom, as the stock operator has it; the file system may be read-only."""
        operator = self._operator
        if operator.python_callable is not None or not operator.do_xcom_push:
            return []
        mount = with_base(volumeMounts=[{"name": "podenv-xcom", "mountPath": XCOM_FOLDER}])
        return [merge(mount, {"spec": {"volumes": [{"name": "podenv-xcom", "emptyDir": {}}]}})]

    def _name(self) -> str:
        operator = self._operator
        name = operator._set_name(operator.name) or create_unique_id(
            operator.dag_id, operator.task_id, unique=False, max_length=names.MAX_POD
        )
        return add_unique_suffix(name=name, max_len=names.MAX_POD) if operator.random_name_suffix else name

    def _identity(self) -> dict[str, str]:
        """The labels of this task in this run, whatever the try."""
        operator = self._operator
        own = operator._get_ti_pod_labels(self._context, include_try_number=False)
        return {**own, names.ENVIRONMENT_LABEL: operator.env}

    def _labels(self) -> dict[str, str]:
        operator = self._operator
        return {
            **operator._get_ti_pod_labels(self._context),
            **self._identity(),
            "airflow_version": airflow_version.replace("+", "-"),
            "airflow_kpo_in_cluster": str(operator.hook.is_in_cluster),
        }

    def _mutated(self, pod: Json) -> Json:
        """The pod after the callbacks and the cluster's own policy had a look at it."""
        model = PodGenerator.deserialize_model_dict(pod)
        airflow.settings.pod_mutation_hook(model)  # type: ignore[no-untyped-call]
        for callback in self._operator.callbacks:
            callback.on_pod_manifest_created(
                pod_request=model,
                client=self._operator.client,
                mode=ExecutionMode.SYNC,
                operator=self._operator,
                context=self._context,
            )
        return dict(to_json(model))


def _out_of_time(event: Mapping[str, Any]) -> bool:
    deadline = event.get("_execution_deadline")
    return event["status"] == "timeout" and deadline is not None and time.time() >= deadline
