"""A pod's status, as clusters report it, is one typed failure with one line of what, why and what next."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.client import ApiClient, ApiException, CoreV1Event, V1Pod

from podenv.errors import TaskFailure
from podenv.pods import api, failures

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PULL = 'rpc error: code = Unknown desc = failed to pull and unpack image "r/x@sha256:429503": '


def pod(state: dict[str, Any] | None = None, *, deleted: datetime | None = None, **status: Any) -> V1Pod:
    """A pod whose base container is in ``state``."""
    base = {"name": "base", "image": "r/x@sha256:429503", "imageID": "", "ready": False, "restartCount": 0}
    body = {
        "metadata": {"name": "p", "deletionTimestamp": deleted.isoformat() if deleted else None},
        "spec": {"nodeName": "node-1", "containers": [{"name": "base"}]},
        "status": {"containerStatuses": [{**base, "state": state}] if state else [], **status},
    }
    made: V1Pod = ApiClient().deserialize(SimpleNamespace(data=json.dumps(body)), "V1Pod")
    return made


def waiting(reason: str, message: str = "") -> V1Pod:
    return pod({"waiting": {"reason": reason, "message": message}}, phase="Pending")


def ended(code: int, why: str = "Error", words: str = "", /, **more: Any) -> V1Pod:
    return pod({"terminated": {"exitCode": code, "reason": why, "message": words}}, **more)


@pytest.mark.parametrize(
    ("reason", "message", "kind"),
    [
        ("ContainerCreating", "", None),
        ("PodInitializing", "", None),
        ("ImagePullBackOff", 'Back-off pulling image "r/x"', None),
        ("ErrImagePull", f"{PULL}failed to resolve reference: r/x: not found", "ImageUnavailable"),
        ("ErrImagePull", f"{PULL}pull access denied, repository does not exist", "ImageUnavailable"),
        ("ErrImagePull", f"{PULL}unexpected status code 429 Too Many Requests", None),
        ("ErrImagePull", f"{PULL}toomanyrequests: You have reached your pull rate limit", None),
        ("ErrImagePull", f"{PULL}dial tcp 10.0.0.1:443: connect: connection refused", None),
        ("ErrImagePull", f"{PULL}unexpected status code 503 Service Unavailable", None),
        ("ErrImagePull", "pull QPS exceeded", None),
        ("InvalidImageName", "couldn't parse image reference", "ImageUnavailable"),
        ("ErrImageNeverPull", "Container image is not present with pull policy of Never", "ImageUnavailable"),
        ("CreateContainerConfigError", 'secret "vault" not found', "PodRefused"),
        ("CreateContainerConfigError", "failed to sync secret cache: timed out waiting for the condition", None),
        ("RunContainerError", 'exec: "python": executable file not found in $PATH: unknown', "ImageUnavailable"),
        ("CreateContainerError", "failed to mount: no such file or directory", "PodRefused"),
    ],
)
def test_what_a_container_waits_for_is_final_or_passes(reason: str, message: str, kind: str | None) -> None:
    failure = failures.before_start(waiting(reason, message), "base", "etl")
    assert (type(failure).__name__ if failure else None) == kind
    assert failure is None or not failure.retry


def test_the_secret_that_is_on_its_way_is_waited_for() -> None:
    status = waiting("CreateContainerConfigError", 'secret "p" not found')
    assert failures.before_start(status, "base", "etl", secret="p") is None
    assert failures.before_start(status, "base", "etl", secret="q") is not None


@pytest.mark.parametrize(
    ("status", "kind", "retry", "said"),
    [
        (ended(137, "OOMKilled"), "OutOfMemory", True, "more than its limit of 1Gi. HINT"),
        (ended(3), "Exited", True, "the process ended with exit code 3."),
        (ended(139), "Exited", True, "the process crashed with SIGSEGV."),
        (ended(137), "Exited", True, "the process was ended by SIGKILL."),
        (ended(200), "Exited", True, "the process ended with exit code 200."),
        (ended(0, "Completed"), "Exited", True, "exit code 0. It ended before it had brought a result"),
        (ended(128, "StartError", 'exec: "python": executable file not found in $PATH'), "ImageUnavailable", False,
         "`python`"),
        (ended(137, phase="Failed", reason="Evicted", message="The node was low on resource: memory."),
         "PodLost", True, "(Evicted: The node was low on resource: memory.)"),
        (ended(137, phase="Failed", reason="Evicted", message="Pod ephemeral local storage usage exceeds the limit"),
         "DiskExceeded", False, "raise its ephemeral-storage limit"),
        (pod(phase="Failed", reason="Evicted", message='Usage of EmptyDir volume "t" exceeds the limit "5Mi".'),
         "DiskExceeded", False, 'Usage of EmptyDir volume "t"'),
        (pod(phase="Failed", reason="NodeLost", message="Node node-1 which was running pod p is unresponsive"),
         "PodLost", True, "NodeLost"),
        (pod(phase="Failed", reason="Preempting", message="Preempted in order to admit critical pod"), "PodLost", True,
         "Preempting"),
        (pod(phase="Failed", reason="OutOfcpu", message="Node didn't have enough resource: cpu"),
         "PodLost", True, "OutOfcpu"),
        (pod(phase="Failed", reason="Terminated", message="Pod was terminated in response to imminent node shutdown."),
         "PodLost", True, "node shutdown"),
        (ended(143, deleted=NOW), "PodLost", True, "was deleted by somebody else while it ran"),
        (pod({"running": {}}, deleted=NOW), "PodLost", True, "the node node-1 of the pod p does not answer"),
        (ended(137, phase="Failed", reason="DeadlineExceeded"), "PodRefused", False, "active_deadline_seconds"),
        (pod(phase="Failed"), "PodLost", True, "nobody knows how its container did"),
    ],
)  # fmt: skip
def test_a_container_without_a_result_says_why(status: V1Pod, kind: str, retry: bool, said: str) -> None:
    failure = failures.after_end(status, "base", "etl", limit="1Gi", memory_hint="HINT")
    assert (type(failure).__name__, failure.retry) == (kind, retry)
    assert said in str(failure)
    assert "\n" not in str(failure)


@pytest.mark.parametrize(
    ("ready", "deleted", "lost"),
    [
        (None, None, False),
        ("False", None, False),  # not ready, and not given up yet
        ("False", NOW + timedelta(seconds=30), True),
        ("True", NOW + timedelta(seconds=30), False),  # somebody deletes it, and the kubelet is about to
        ("True", NOW - timedelta(seconds=5), False),
        ("True", NOW - timedelta(seconds=15), True),
    ],
)
def test_a_node_is_lost_when_its_pod_should_be_gone(ready: str | None, deleted: datetime | None, lost: bool) -> None:
    conditions = [{"type": "Ready", "status": ready}] if ready else []
    status = pod({"running": {}}, deleted=deleted, phase="Running", conditions=conditions)
    assert failures.node_is_lost(status, "base", NOW) is lost
    assert not failures.node_is_lost(ended(0, deleted=deleted), "base", NOW)


def refused(status: int, message: str, reason: str = "Forbidden") -> ApiException:
    error = ApiException(status=status, reason=reason)
    error.body = json.dumps({"message": message, "reason": reason})
    return error


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (refused(403, 'pods "p" is forbidden: exceeded quota: q, requested: cpu=1'), "QuotaExceeded",
         "exceeded quota: q"),
        (refused(403, 'pods is forbidden: User "u" cannot create resource "pods" in API group ""'), "PodRefused",
         "Airflow may not create pods"),
        (refused(403, 'secrets is forbidden: User "u" cannot create resource "secrets"'), "PodRefused",
         "secrets: true"),
        (refused(400, 'admission webhook "policy.x" denied the request: no :latest', "BadRequest"), "PodRefused",
         'admission webhook "policy.x" denied the request'),
        (refused(422, "spec.nodeName: Invalid value", "Invalid"), "PodRefused", "spec.nodeName: Invalid value"),
        (refused(401, "Unauthorized", "Unauthorized"), "PodRefused", "credentials"),
    ],
)  # fmt: skip
def test_a_refusal_holds_the_servers_words(error: ApiException, kind: str, said: str) -> None:
    failure: TaskFailure = failures.refusal(error, "etl", "create a pod in podenv-etl")
    assert type(failure).__name__ == kind
    assert said in str(failure)


def test_remote_text_is_one_line_without_control_characters() -> None:
    assert api.plain("a\n  b\x1b[31m\tc") == "a b\\x1b[31m c"


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (refused(500, "Internal error occurred: failed calling webhook"), True),
        (refused(500, "etcdserver: request is too large"), False),
        (refused(429, "too many requests", "TooManyRequests"), True),
        (refused(409, "the object has been modified", "Conflict"), True),
        (refused(409, "already exists", "AlreadyExists"), False),
        (refused(403, "no"), False),
        (refused(404, "no", "NotFound"), False),
    ],
)
def test_which_answers_pass_in_a_moment(error: ApiException, passes: bool) -> None:
    assert api.may_pass(error) is passes


def test_the_cluster_says_why_it_took_a_pod_away() -> None:
    marked = pod(
        conditions=[
            {"type": "Ready", "status": "False", "reason": "PodFailed"},
            {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "evicting."},
        ]
    )
    preempted = CoreV1Event(involved_object={}, metadata={}, reason="Preempted", message="by s/first\non node-1")
    pulled = CoreV1Event(involved_object={}, metadata={}, reason="Pulled", message="x")
    assert failures.taken(marked, [preempted]) == "EvictionByEvictionAPI: evicting"
    assert failures.taken(pod(), [pulled, preempted]) == "Preempted: by s/first on node-1"
    assert failures.taken(None, [pulled]) == ""
