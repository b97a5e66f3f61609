"""What an operator does when something happens to its pods: log, XCom, callbacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.cncf.kubernetes.callbacks import ExecutionMode
from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from podenv.airflow import compat, fields, settings
from podenv.airflow.overrides import formatted, selected
from podenv.airflow.task import EnvTask
from podenv.airflow.tracing import Spans
from podenv.pods.client import ANSWER_SECONDS, Json, KubernetesClient, plain, words_of
from podenv.pods.events import PodEvents
from podenv.pods.manifest import CONTAINER, image_digest

if TYPE_CHECKING:
    from airflow.sdk import Context

_LOG_SECONDS = 60  # for the log of a container beside the task's


class OperatorObserver(PodEvents):
    """Keeps what KubernetesPodOperator promises of its arguments, while podenv runs the pod."""

    def __init__(self, task: EnvTask, context: Context, client: KubernetesClient, spans: Spans) -> None:
        self._task = task
        self._context = context
        self._client = client
        self._spans = spans
        self._pod: Json | None = None
        self.wants_end = bool(task.callbacks)

    def line(self, line: str) -> None:
        task = self._task
        if task.get_logs:
            settings.emit(formatted(self._task, CONTAINER, line))
        if task._progress_callback:
            task._progress_callback(line)
        self._tell("progress_callback", line=line, container_name=CONTAINER, timestamp=None)

    def note(self, text: str) -> None:
        settings.log.info("%s", text)

    def created(self, pod: Json) -> None:
        self._spans.created(pod)
        self._see(pod)
        self._task.show(pod)
        ti = self._context["ti"]
        ti.xcom_push(key="pod_name", value=pod["metadata"]["name"])
        ti.xcom_push(key="pod_namespace", value=pod["metadata"]["namespace"])
        self._tell("on_pod_creation")

    def resumed(self, pod: Json, event: Mapping[str, Any]) -> None:
        """The task goes on after it was deferred."""
        self._spans.resumed(pod)
        self._see(pod)
        self._task.show(pod)
        self._tell("on_operator_resuming", event=event)

    def started(self, pod: Json) -> None:
        self._spans.started(pod)
        self._see(pod)
        self._logs_of(selected(self._task.init_container_logs, _names(pod, "initContainers")))
        if self._task.log_events_on_startup:
            self._log_events()
        self._tell("on_pod_starting")

    def ended(self, pod: Json, *, failed: bool) -> None:
        self._spans.ended(pod, failed=failed)
        self._see(pod)
        others = [name for name in _names(pod, "containers") if name != CONTAINER]
        if self._task.get_logs:
            self._logs_of(selected(self._task.container_logs, others))
        if failed and self._task.log_events_on_failure:
            self._log_events()
        self._tell("on_pod_completion")
        self._tell("on_pod_teardown")

    def cleaned(self, pod: Json) -> None:
        self._spans.cleaned()
        self._see(pod)
        self._tell("on_pod_cleanup")
        self._task.pod = None

    def _see(self, pod: Json) -> None:
        self._pod = pod
        fields.add(pod=pod["metadata"]["name"], node=pod["spec"].get("nodeName"), image_digest=image_digest(pod))
        self._task.pod = compat.pod_from_dict(pod) if self._task.callbacks or self._task.deferrable else None

    def _tell(self, what: str, **details: Any) -> None:
        for callback in self._task.callbacks:
            getattr(callback, what)(
                pod=self._task.pod,
                client=self._task.client,
                mode=ExecutionMode.SYNC,
                operator=self._task,
                context=self._context,
                **details,
            )

    def _logs_of(self, containers: Iterable[str]) -> None:
        """The log so far of the containers beside the task's."""
        assert self._pod is not None
        for container in containers:
            try:
                answer = self._client.core().read_namespaced_pod_log(
                    self._pod["metadata"]["name"],
                    self._pod["metadata"]["namespace"],
                    container=container,
                    _preload_content=False,
                    _request_timeout=(ANSWER_SECONDS, _LOG_SECONDS),
                )
                for line in answer.data.decode("utf-8", "replace").splitlines():
                    settings.emit(formatted(self._task, container, line))
            except (ApiException, HTTPError) as error:
                self.note(f"The log of container {container} cannot be read ({words_of(error)}).")

    def _log_events(self) -> None:
        assert self._pod is not None
        metadata = self._pod["metadata"]
        for event in self._client.events_of(metadata["namespace"], metadata["name"]):
            self.note(f"Event {event.get('reason')}: {plain(event.get('message'))}")


def _names(pod: Json, field: str) -> list[str]:
    return [container["name"] for container in pod["spec"].get(field) or []]
