"""Find the pod that an earlier worker left behind: its work goes on, or its result counts."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from kubernetes.client import ApiException, V1DeleteOptions, V1Pod, V1Preconditions
from urllib3.exceptions import HTTPError

from podenv.pods import failures
from podenv.pods.api import LIMITS, Api
from podenv.pods.launch import CHECKED, Launch

STORE_KEY = "pod_identifier"  # KubernetesPodOperator's own


def find(api: Api, launch: Launch, identity: Mapping[str, str], *, store: Any) -> V1Pod | None:
    """A pod of this very ``launch`` that an earlier worker left; others of the same task are deleted.

    ``identity`` holds the labels of the task in its run, ``store`` is Airflow's task state store or None.
    Raises `PodRefused`, `ClusterUnreachable`.
    """
    there = _stored(api, launch, store) or _labelled(api, launch, identity)
    same = [pod for pod in there if launch.is_same_work(pod)]
    newest = max(same, key=lambda pod: pod.metadata.creation_timestamp, default=None)
    for pod in there:
        kept = pod.metadata.deletion_timestamp is not None or (pod.metadata.labels or {}).get(CHECKED)
        if pod is not newest and not kept:
            _delete(api, pod)
    return newest


def _stored(api: Api, launch: Launch, store: Any) -> list[V1Pod]:
    """The pod that the earlier worker has noted; none where it is gone."""
    noted = store.get(STORE_KEY) if store is not None else None
    if not isinstance(noted, Mapping) or noted.get("namespace") != launch.namespace:
        return []
    try:
        return [
            api.ask(lambda core: core.read_namespaced_pod(noted["name"], launch.namespace, _request_timeout=LIMITS))
        ]
    except ApiException as error:
        if error.status != 404:
            raise failures.refusal(error, launch.environment, f"read a pod in {launch.namespace}") from None
        return []


def _labelled(api: Api, launch: Launch, identity: Mapping[str, str]) -> list[V1Pod]:
    selector = ",".join([*(f"{name}={value}" for name, value in sorted(identity.items())), "!airflow-worker"])
    try:
        # Version 0: from the API server's memory, not from all pods in etcd. What an earlier worker left is older than
        # the heartbeats that Airflow missed.
        listed = api.ask(
            lambda core: core.list_namespaced_pod(
                launch.namespace, label_selector=selector, resource_version="0", _request_timeout=LIMITS
            )
        )
    except ApiException as error:
        raise failures.refusal(error, launch.environment, f"list pods in {launch.namespace}") from None
    return list(listed.items)


def _delete(api: Api, pod: V1Pod) -> None:
    with suppress(ApiException, HTTPError):  # it is not ours to wait for
        api.core().delete_namespaced_pod(
            pod.metadata.name,
            pod.metadata.namespace,
            body=V1DeleteOptions(preconditions=V1Preconditions(uid=pod.metadata.uid)),
            _request_timeout=LIMITS,
        )
