"""`run_in_env` on Kubernetes: one call as a pod, from the middle of a plain task or of a script."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
from airflow.providers.cncf.kubernetes.kubernetes_helper_functions import add_unique_suffix
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator

from podenv.airflow import settings
from podenv.call import source
from podenv.catalogue import names
from podenv.catalogue.request import TaskRequest
from podenv.pods import compose, deployed
from podenv.pods.api import Api
from podenv.pods.launch import Launch
from podenv.pods.podrun import Observer, PodRun


class _Log(Observer):
    def line(self, line: str) -> None:
        settings.emit(line)

    def note(self, text: str) -> None:
        settings.log.info("%s", text)


def prepare(
    name: str,
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    context: Any,
    file: str | None,
) -> tuple[PodRun, Launch]:
    """What runs the call, and what it launches; the connection is ``kubernetes_default``. Raises a `PodenvError`."""
    hook: list[KubernetesHook] = []
    api = Api(name, lambda: _hook(hook).core_v1_client, renew=hook.clear)
    found = deployed.find(api, settings.namespace(name, file))
    if found.python is not None:
        source.check_syntax(source.extract(function), python=found.python)
    pod = compose.pod(
        found,
        source.build_call(function, args, kwargs, context),
        [],
        request=TaskRequest(env=name),
        name=add_unique_suffix(name=f"{name}-call", max_len=names.MAX_POD),
        labels={
            **(KubernetesPodOperator._get_ti_pod_labels(context) if context else {}),
            names.ENVIRONMENT_LABEL: name,
        },
        where=f"run_in_env({name!r})",
    )
    pod, secret = compose.split_secret(pod) if settings.payload() == "secret" else (pod, {})
    launch = Launch(environment=name, pod=pod, secret=secret)
    log = _Log()
    log.note(f"Environment {name!r} ({found.facts}), {launch.facts}.")
    return PodRun(api, log), launch


def _hook(made: list[KubernetesHook]) -> KubernetesHook:
    if not made:
        made.append(KubernetesHook(conn_id=KubernetesHook.default_conn_name))
    return made[0]
