"""What an operator does when something happens to its pods: log, XCom, state store, callbacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.cncf.kubernetes.callbacks import ExecutionMode
from kubernetes.client import ApiException, V1Pod
from urllib3.exceptions import HTTPError

from podenv.airflow import settings
from podenv.airflow.overrides import wanted
from podenv.pods.adopt import STORE_KEY
from podenv.pods.api import CONNECT, Api, plain, words_of
from podenv.pods.pod import CONTAINER, to_json
from podenv.pods.podrun import Observer, events_of

if TYPE_CHECKING:
    from airflow.sdk import Context

    from podenv.airflow.operator import EnvPodOperator
    from podenv.pods.launch import Launch


class OperatorObserver(Observer):
    """Keeps what KubernetesPodOperator promises of its arguments, while podenv runs the pod."""

    launch: Launch

    def __init__(self, operator: EnvPodOperator, context: Context, api: Api) -> None:
        self._operator = operator
        self._context = context
        self._api = api
        self._pod: V1Pod | None = None
        self.store = context.get("task_state_store") if operator.durable else None
        self.wants_end = bool(operator.callbacks)

    def line(self, line: str) -> None:
        operator = self._operator
        if operator.get_logs:
            settings.emit(self._formatted(CONTAINER, line))
        if operator._progress_callback:
            operator._progress_callback(line)
        self._tell("progress_callback", line=line, container_name=CONTAINER, timestamp=None)

    def note(self, text: str) -> None:
        settings.log.info("%s", text)

    def created(self, pod: V1Pod) -> None:
        self._pod = self._operator.pod = pod
        if pod.metadata.name != self.launch.name:  # it was adopted, or started again
            self._operator.show(to_json(pod))
        ti = self._context["ti"]
        ti.xcom_push(key="pod_name", value=pod.metadata.name)
        ti.xcom_push(key="pod_namespace", value=pod.metadata.namespace)
        if self.store is not None:
            self.store.set(STORE_KEY, {"name": pod.metadata.name, "namespace": pod.metadata.namespace})
        self._tell("on_pod_creation")

    def resumed(self, pod: V1Pod, event: Mapping[str, Any]) -> None:
        """The task goes on after it was deferred."""
        self._pod = self._operator.pod = pod
        self._operator.show(to_json(pod))
        self._tell("on_operator_resuming", event=event)

    def started(self, pod: V1Pod) -> None:
        self._pod = self._operator.pod = pod
        self._logs_of(wanted(self._operator.init_container_logs, _names(pod.spec.init_containers)))
        if self._operator.log_events_on_startup:
            self._log_events()
        self._tell("on_pod_starting")

    def ended(self, pod: V1Pod, *, failed: bool) -> None:
        self._pod = pod
        others = [name for name in _names(pod.spec.containers) if name != CONTAINER]
        if self._operator.get_logs:
            self._logs_of(wanted(self._operator.container_logs, others))
        if failed and self._operator.log_events_on_failure:
            self._log_events()
        self._tell("on_pod_completion")
        self._tell("on_pod_teardown")

    def cleaned(self, pod: V1Pod) -> None:
        self._pod = pod
        self._tell("on_pod_cleanup")
        self._operator.pod = None

    def _tell(self, what: str, **details: Any) -> None:
        for callback in self._operator.callbacks:
            getattr(callback, what)(
                pod=self._pod,
                client=self._operator.client,
                mode=ExecutionMode.SYNC,
                operator=self._operator,
                context=self._context,
                **details,
            )

    def _formatted(self, container: str, line: str) -> str:
        if self._operator.log_formatter is not None:
            return str(self._operator.log_formatter(container, line))
        return f"[{container}] {line}" if self._operator.container_name_log_prefix_enabled else line

    def _logs_of(self, containers: Iterable[str]) -> None:
        """The log so far of the containers beside the task's."""
        assert self._pod is not None
        for container in containers:
            try:
                answer = self._api.core().read_namespaced_pod_log(
                    self._pod.metadata.name,
                    self._pod.metadata.namespace,
                    container=container,
                    _preload_content=False,
                    _request_timeout=(CONNECT, 60),
                )
                for line in answer.data.decode("utf-8", "replace").splitlines():
                    settings.emit(self._formatted(container, line))
            except (ApiException, HTTPError) as error:
                self.note(f"The log of container {container} cannot be read ({words_of(error)}).")

    def _log_events(self) -> None:
        for event in events_of(self._api, self.launch.namespace, self._pod.metadata.name if self._pod else ""):
            self.note(f"Event {event.reason}: {plain(event.message)}")


def _names(containers: Iterable[Any] | None) -> list[str]:
    return [container.name for container in containers or []]
