"""Where podenv's peers run: a namespace without a Pod Security label, made for one run of the benchmark."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from kubernetes.client import ApiException, CoreV1Api

NAMESPACE = "podenv-bench-peers"
_TIMEOUT = 120  # seconds; the namespace of a run before may still be going


@contextmanager
def namespace(core: CoreV1Api) -> Iterator[None]:
    """The namespace, while this lasts; one that an interrupted run left is used."""
    until = time.monotonic() + _TIMEOUT
    while not _takes_pods(core):
        with suppress(ApiException):  # it is there already, or is still going
            core.create_namespace({"metadata": {"name": NAMESPACE}})
        if time.monotonic() > until:
            sys.exit(f"error: namespace {NAMESPACE} takes no pods; look at it: kubectl describe namespace {NAMESPACE}")
        time.sleep(0.2)
    try:
        yield
    finally:
        core.delete_namespace(NAMESPACE)


def _takes_pods(core: CoreV1Api) -> bool:
    """True if the namespace stays, and has the service account of pods that name none."""
    try:
        going = core.read_namespace(NAMESPACE).metadata.deletion_timestamp
        core.read_namespaced_service_account("default", NAMESPACE)
    except ApiException:
        return False
    return going is None


def template(environments: Mapping[str, Any]) -> dict[str, Any]:
    """An environment's pod template without its service account, which only its own namespace has."""
    spec = {k: v for k, v in environments["spec"].items() if k not in ("serviceAccountName", "serviceAccount")}
    return {**environments, "spec": spec}
