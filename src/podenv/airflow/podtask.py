"""`EnvPodOperator` on Kubernetes: one execution of a task as a pod."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from airflow.providers.cncf.kubernetes.callbacks import ExecutionMode
from airflow.version import version as airflow_version

from podenv.airflow import cluster, compat, identity, overrides, settings, stores, tracing
from podenv.airflow.compat import TaskDeferred, add_unique_suffix, create_unique_id
from podenv.airflow.learned import LearnedMemory
from podenv.airflow.observer import OperatorObserver
from podenv.airflow.passing import context_values
from podenv.airflow.task import EnvTask
from podenv.airflow.trigger import ROOM, EnvPodTrigger, RoomTrigger
from podenv.call import source
from podenv.call.command import XCOM_FOLDER, run_command
from podenv.call.outcome import value_of
from podenv.catalogue import names
from podenv.errors import Killed, PodenvError, PodLost, QuotaExceeded, SettingError, TaskFailure
from podenv.pods import compose, room, status, template
from podenv.pods.client import Json, KubernetesClient
from podenv.pods.compose import Identity
from podenv.pods.life import PodLife
from podenv.pods.manifest import CONTAINER, base_container, merge, to_json, with_base
from podenv.pods.request import FinishAction, PodRequest, Relaunches, addresses
from podenv.pods.template import EnvironmentTemplate
from podenv.runtime.reference import references

if TYPE_CHECKING:
    from airflow.sdk import Context

    from podenv.exchange.calls import Exchange
    from podenv.runtime.call import Call, Result

# The cluster ends a pod that outlives its task's execution_timeout by this: its worker was killed, or left it.
DEADLINE_SLACK_SECONDS = 60
_CONNECTION = "connection"  # of an event: to the cluster that the pod is in


class PodTask:
    """The pods of one execution of ``task``."""

    def __init__(self, task: EnvTask, context: Context) -> None:
        self._task = task
        self._context = context
        self._client = KubernetesClient(task.env, lambda: task.client, renew=task.renew_client)
        self._spans = tracing.Spans(task.env)
        self._observer = OperatorObserver(task, context, self._client, self._spans)
        self.ran = PodLife(self._client, self._observer)
        self._owner = identity.labels(context)
        self.memory = LearnedMemory(task, context)

    def kill(self) -> None:
        """Delete the pod; for a signal handler."""
        self.ran.kill()

    def run(self, waited: Mapping[str, Any] | None = None) -> Any:
        """The value that the function returned; in deferrable mode it raises TaskDeferred instead.

        ``waited`` is the event after a wait for room. Raises a `PodenvError`.
        """
        self._in_its_cluster()
        with self._spans.during("launch"):
            return self._run(waited)

    def _in_its_cluster(self) -> None:
        """Take the Connection that the environment's values name, unless the task itself names one."""
        task = self._task
        if task.kubernetes_conn_id == cluster.DEFAULT:
            self._connect(cluster.connection_of(task.env, task.dag_file))

    def _connect(self, connection: str | None) -> None:
        if connection != self._task.kubernetes_conn_id:
            self._task.kubernetes_conn_id = connection
            self._task.renew_client()

    def _run(self, waited: Mapping[str, Any] | None) -> Any:
        request = self._request(quiet=waited is not None)
        adopted = None
        if self._task.durable:
            adopted = self.ran.find(request, identity.selector(self._owner))
        if adopted is not None:
            self._observer.note(f"Pod {adopted['metadata']['name']} of an earlier worker is followed to its end.")
        # The stock way to defer loses the value of a pod that is over already.
        if not self._task.deferrable or (adopted is not None and status.is_over(adopted, CONTAINER)):
            return self._value(self.ran.run(request, adopted=adopted), request)
        at_once = replace(request, timeouts=replace(request.timeouts, room=0))  # the triggerer waits for room
        try:
            deferred = self.ran.hand_over(at_once, self._deferred, adopted=adopted)
        except QuotaExceeded as error:
            raise self._in_line(error, request.timeouts.room, waited or {}) from None
        self._count_wait(waited or {})
        raise deferred

    def resume(self, event: Mapping[str, Any]) -> Any:
        """Go on after the trigger saw the pod end, or gave up waiting for it.

        All that this needs is in the pod: release, Connection and catalogue may be gone meanwhile.
        """
        if event["status"] == ROOM:
            return self.run(event)
        self._connect(event.get(_CONNECTION, self._task.kubernetes_conn_id))
        with self._spans.during(None):
            return self._resume(event)

    def _resume(self, event: Mapping[str, Any]) -> Any:
        request, pod = self._followed(event), None
        try:
            pod = self._pod_of(request)
            annotations = pod["metadata"].get("annotations") or {}
            self.memory.resume(annotations)
            if self._task.image is None:
                self._task.ran_python = annotations.get(names.PYTHON_ANNOTATION)
                self._task.ran_lock = annotations.get(names.LOCK_ANNOTATION)
            request = self._followed(event, pod)
            if _is_out_of_time(event):
                self.ran.abandon(request, pod)
                raise Killed(f"The task in environment {request.environment!r} ran longer than its execution_timeout.")
            result = self.ran.once(request, pod, tell=lambda pod: self._observer.resumed(pod, event))
            return self._value(result, request)
        except TaskFailure as error:
            request = self.ran.next_request(error, request, self.ran.pod or pod, fresh=partial(self._anew, error))
        raise self.ran.hand_over(request, self._deferred)

    @cached_property
    def _exchange(self) -> Exchange | None:
        """The store for what is too much for XCom; None where none is set, and for a command."""
        task = self._task
        if task.python_callable is None:
            return None
        given = task.timeouts("")
        return stores.of_task(task, self._context, waits=given.room + given.schedule + given.start)

    def _value(self, result: Result, request: PodRequest) -> Any:
        value = value_of(result, request.environment)
        if not references(value):  # a task that goes on may find its store's Connection gone
            return value
        if self._exchange is None:
            raise SettingError(
                "The value is in the store that [podenv] exchange named, which is not set now; set it again."
            )
        return self._exchange.found(value)

    def _in_line(self, error: QuotaExceeded, most: float, waited: Mapping[str, Any]) -> TaskDeferred:
        """What is raised so that the triggerer waits for room. Raises ``error`` after ``most`` seconds of waiting."""
        since, tries = waited.get("since") or time.time(), waited.get("tries", 0) + 1
        left = since + most - time.time()
        if left <= 0:
            self._count_wait(waited)
            raise error
        pause = room.deferred_pause(tries)
        return TaskDeferred(trigger=RoomTrigger(since, tries, min(pause, left)), method_name="trigger_reentry")

    def _count_wait(self, waited: Mapping[str, Any]) -> None:
        if since := waited.get("since"):
            self.ran.tally.waited_seconds += time.time() - since

    def _deferred(self, pod: Json) -> TaskDeferred:
        """What is raised so that the trigger follows ``pod``."""
        self._task.pod = compat.pod_from_dict(pod)
        try:
            self._task.invoke_defer_method(context=self._context)
        except TaskDeferred as deferred:
            given = deferred.trigger.serialize()[1]
            # The provider's own asynchronous hook does not look for the cluster that it runs in.
            if given["in_cluster"] is None and self._task.hook.is_in_cluster:
                given["in_cluster"] = True
            timeouts = self._task.timeouts(status.annotation(pod, names.TIMEOUTS_ANNOTATION))
            given |= {"schedule_timeout": timeouts.schedule, "startup_timeout": timeouts.start}
            known = {ROOM: timeouts.room, _CONNECTION: self._task.kubernetes_conn_id}
            given["trigger_kwargs"] = {**(given["trigger_kwargs"] or {}), **known}
            deferred.trigger = EnvPodTrigger(**given)
            return deferred
        raise AssertionError("invoke_defer_method returned")

    def _anew(self, error: TaskFailure) -> PodRequest:
        """The request for another pod, after one that is known from the cluster only. Raises ``error`` if it fails."""
        try:
            return self._request(quiet=True)
        except PodenvError as problem:
            self._observer.note(f"It cannot be started again: {problem}")
            raise error from None

    def _pod_of(self, request: PodRequest) -> Json:
        pod = self.ran.look(request)
        if pod is None:
            raise PodLost(
                f"Environment {request.environment!r}: the pod {request.namespace}/{request.name} was deleted by "
                "somebody else before its result was read; look for who deletes pods in its namespace."
            )
        return pod

    def _followed(self, event: Mapping[str, Any], pod: Json | None = None) -> PodRequest:
        """The request as whose pod the trigger's ``event`` tells, which may be gone."""
        name, namespace = event["name"], event["namespace"]
        gone: Json = {"metadata": {"name": name, "namespace": namespace}, "spec": {"containers": [{"name": CONTAINER}]}}
        number = status.annotation(pod, names.RELAUNCH_ANNOTATION) if pod is not None else ""
        request = self._with_terms(pod or gone, relaunch=int(number) if number.isdecimal() else None)
        return request if pod is not None else request.with_name(name)

    def _request(self, *, quiet: bool = False) -> PodRequest:
        task = self._task
        found = template.read(self._client, self._namespace())
        asked = self.memory.settle(found.defaults, found.lock or str(task.image))
        own = {"metadata": {"annotations": self.memory.annotations}}
        call, exchange = self._call(found), self._exchange
        task.travelled = call.travels
        pod = compose.pod(
            found,
            call,
            [self._deadline(), *overrides.of_operator(task), *self._xcom_folder(), own],
            request=asked,
            identity=Identity(self._name(), self._labels(), identity.call_key()),
            where=task.where,
            discard=task.discards_value,
            ticket=None if exchange is None else exchange.ticket(call),
            trace=tracing.variables(),
        )
        _masked(addresses(pod))
        pod = self._mutated(pod)
        secret: dict[str, str] = task.secret_variables()
        if settings.payload() == "secret":
            pod, payload = compose.split_secret(pod)
            secret |= payload
        request = replace(
            self._with_terms(pod, secret=secret, relaunch=found.relaunch),
            pool=None if task.deferrable else found.pool,
            renewed=None if exchange is None else lambda: _masked(compose.ticket_variables(exchange.ticket(call))),
        )
        task.show(pod)
        same = base_container(pod).get("image") == base_container(found.template).get("image")
        task.ran_python, task.ran_lock = (found.python, found.lock) if same else (None, None)
        if not quiet:
            what = found.facts if same else "the task's own image"
            self._observer.note(f"Environment {task.env!r} ({what}), {request.facts}.")
            if task.deferrable and found.pool is not None:
                self._observer.note("A new pod is created: a deferrable task takes no idle one.")
        return request

    def _with_terms(self, pod: Json, *, relaunch: int | None, secret: Mapping[str, str] | None = None) -> PodRequest:
        """``pod`` on this task's terms; ``relaunch`` is the environment's."""
        task = self._task
        return PodRequest(
            environment=task.env,
            pod=pod,
            timeouts=task.timeouts(status.annotation(pod, names.TIMEOUTS_ANNOTATION) or ""),
            max_memory=status.annotation(pod, names.MAX_MEMORY_ANNOTATION) or task.max_memory,
            on_finish=FinishAction(task.on_finish_action.value),
            keep_when_killed=task.on_kill_action.value == "keep_pod",
            relaunches=Relaunches.of(retries=task.retries or 0, task=task.relaunch, environment=relaunch),
            grace=task.termination_grace_period,
            follow=task.get_logs and bool(overrides.selected(task.container_logs, [CONTAINER])),
            secret=secret or {},
        )

    def _namespace(self) -> str:
        task = self._task
        return str(task.namespace) if task.namespace else settings.namespace(task.env, task.dag_file)

    def _call(self, found: EnvironmentTemplate) -> Call:
        task = self._task
        if task.python_callable is None:
            argv = [*map(str, task.cmds), *map(str, task.arguments)]
            file = f"{XCOM_FOLDER}/return.json" if task.do_xcom_push else None
            return source.build_call(run_command, [argv, file], {})
        return source.build_call(
            task.python_callable,
            task.op_args,
            task.op_kwargs,
            context_values(self._context),
            python=found.python if task.image is None else None,
            code=settings.code(),
        )

    def _deadline(self) -> Json:
        """When the cluster ends the pod by itself; what the task says of it goes before."""
        timeout = self._task.execution_timeout
        if timeout is None:
            return {}
        return {"spec": {"activeDeadlineSeconds": math.ceil(timeout.total_seconds()) + DEADLINE_SLACK_SECONDS}}

    def _xcom_folder(self) -> list[Json]:
        """Where a command writes its XCom, as the stock operator has it; the file system may be read-only."""
        task = self._task
        if task.python_callable is not None or not task.do_xcom_push:
            return []
        mount = with_base(volumeMounts=[{"name": "podenv-xcom", "mountPath": XCOM_FOLDER}])
        return [merge(mount, {"spec": {"volumes": [{"name": "podenv-xcom", "emptyDir": {}}]}})]

    def _name(self) -> str:
        task = self._task
        name = compat.pod_name(task) or create_unique_id(
            task.dag_id, task.task_id, unique=False, max_length=names.MAX_POD_NAME_CHARACTERS
        )
        return add_unique_suffix(name=name, max_len=names.MAX_POD_NAME_CHARACTERS) if task.random_name_suffix else name

    def _labels(self) -> dict[str, str]:
        return {
            **compat.pod_labels(self._context),
            **self._owner,
            names.ENVIRONMENT_LABEL: self._task.env,
            "airflow_version": airflow_version.replace("+", "-"),
            "airflow_kpo_in_cluster": str(self._task.hook.is_in_cluster),
        }

    def _mutated(self, pod: Json) -> Json:
        """The pod after the callbacks and the cluster's own policy had a look at it."""
        model = compat.pod_from_dict(pod)
        compat.mutate_pod(model)
        for callback in self._task.callbacks:
            callback.on_pod_manifest_created(
                pod_request=model,
                client=self._task.client,
                mode=ExecutionMode.SYNC,
                operator=self._task,
                context=self._context,
            )
        return dict(to_json(model))


def _masked(variables: Mapping[str, str]) -> Mapping[str, str]:
    for value in variables.values():
        compat.mask_secret(value)
    return variables


def _is_out_of_time(event: Mapping[str, Any]) -> bool:
    deadline = event.get("_execution_deadline")
    return event["status"] == "timeout" and deadline is not None and time.time() >= deadline
