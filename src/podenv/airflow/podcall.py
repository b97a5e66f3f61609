"""`run_in_env` on Kubernetes from a process that has Airflow: its connection, its settings, its log."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook

from podenv.airflow import cluster, compat, settings, stores, tracing
from podenv.catalogue import names
from podenv.pods import call as pods
from podenv.pods.client import KubernetesClient
from podenv.pods.events import PodEvents


class _Log(PodEvents):
    def line(self, line: str) -> None:
        settings.emit(line)

    def note(self, text: str) -> None:
        settings.log.info("%s", text)


def call(
    name: str,
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    context: Any,
    file: str | None,
) -> Any:
    """The value of the call in a pod of environment ``name``, in the cluster that its values name.

    Raises a `PodenvError`.
    """
    hook: list[KubernetesHook] = []
    connection = cluster.connection_of(name, file)
    client = KubernetesClient(name, lambda: _hook(hook, connection).core_v1_client, renew=hook.clear)
    labels = compat.pod_labels(context) if context else {}
    place = pods.Place(
        settings.namespace(name, file),
        {**labels, names.AIRFLOW_LABEL: settings.airflow_id()},
        secret=settings.payload() == "secret",
        code=settings.code(),
        exchange=stores.of_call(function, context),
        trace=tracing.variables(),
    )
    return pods.call(client, place, function, args, kwargs, events=_Log())


def _hook(made: list[KubernetesHook], connection: str) -> KubernetesHook:
    if not made:
        made.append(KubernetesHook(conn_id=connection))
    return made[0]
