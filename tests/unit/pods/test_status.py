"""A pod's status, as clusters report it, is one typed failure with one line of what, why and what next."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kubernetes.client import ApiException

from podenv.errors import TaskFailure
from podenv.pods import client, status
from podenv.pods.client import Json
from podenv.pods.refusal import refusal

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PULL = 'rpc error: code = Unknown desc = failed to pull and unpack image "r/x@sha256:429503": '


def pod(state: dict[str, Any] | None = None, *, deleted: datetime | None = None, **status: Any) -> Json:
    """A pod whose base container is in ``state``."""
    base = {"name": "base", "image": "r/x@sha256:429503", "imageID": "", "ready": False, "restartCount": 0}
    metadata = {"name": "p", **({"deletionTimestamp": stamp(deleted)} if deleted else {})}
    statuses = [{**base, "state": state}] if state else []
    return {
        "metadata": metadata,
        "spec": {"nodeName": "node-1", "containers": [{"name": "base"}]},
        "status": {"containerStatuses": statuses, **status},
    }


def stamp(moment: datetime) -> str:
    """As the API writes times."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def waiting(reason: str, message: str = "") -> Json:
    return pod({"waiting": {"reason": reason, "message": message}}, phase="Pending")


def ended(code: int, why: str = "Error", words: str = "", /, **more: Any) -> Json:
    return pod({"terminated": {"exitCode": code, "reason": why, "message": words}}, **more)


@pytest.mark.parametrize(
    ("reason", "message", "kind"),
    [
        ("ContainerCreating", "", None),
        ("PodInitializing", "", None),
        ("ImagePullBackOff", 'Back-off pulling image "r/x"', None),
        ("ErrImagePull", f"{PULL}failed to resolve reference: r/x: not found", "ImageUnavailable"),
        ("ErrImagePull", f"{PULL}pull access denied, repository does not exist", None),
        ("ErrImagePull", f"{PULL}unexpected status code 429 Too Many Requests", None),
        ("ErrImagePull", f"{PULL}toomanyrequests: You have reached your pull rate limit", None),
        ("ErrImagePull", f"{PULL}dial tcp 10.0.0.1:443: connect: connection refused", None),
        ("ErrImagePull", f"{PULL}unexpected status code 503 Service Unavailable", None),
        ("ErrImagePull", "pull QPS exceeded", None),
        ("InvalidImageName", "couldn't parse image reference", "ImageUnavailable"),
        ("ErrImageNeverPull", "Container image is not present with pull policy of Never", "PodFailure"),
        ("ErrImagePull", "no matching manifest for linux/arm64 in the manifest list entries", "PodFailure"),
        ("ImagePullBackOff", 'Back-off pulling image "r/x": ErrImagePull: manifest unknown', "ImageUnavailable"),
        ("CreateContainerConfigError", 'secret "vault" not found', None),
        ("CreateContainerConfigError", "failed to sync secret cache: timed out waiting for the condition", None),
        ("RunContainerError", 'exec: "python": executable file not found in $PATH: unknown', "ImageUnavailable"),
        ("CreateContainerError", "failed to mount: no such file or directory", None),
        ("CreateContainerConfigError", "container has runAsNonRoot and image will run as root", "PodRefused"),
    ],
)
def test_what_a_container_waits_for_is_final_or_passes(reason: str, message: str, kind: str | None) -> None:
    failure = status.before_start(waiting(reason, message), "base", "etl")
    assert (type(failure).__name__ if failure else None) == kind
    assert failure is None or failure.retry == (kind == "PodFailure")


def test_what_the_container_waits_for_is_told_when_its_time_is_over() -> None:
    late = waiting("CreateContainerConfigError", 'secret "vault" not found')
    assert status.waits_for(late, "base") == 'CreateContainerConfigError: secret "vault" not found'


@pytest.mark.parametrize(
    ("found", "kind", "retry", "said"),
    [
        (ended(137, "OOMKilled"), "OutOfMemory", True, "more than its limit of 1Gi. HINT"),
        (ended(3), "Exited", True, "the process ended with exit code 3."),
        (ended(139), "Exited", True, "the process crashed with SIGSEGV."),
        (ended(137), "Exited", True, "the process was ended by SIGKILL."),
        (ended(200), "Exited", True, "the process ended with exit code 200."),
        (ended(0, "Completed"), "Exited", True, "exit code 0. It ended before it had brought a result"),
        (ended(128, "StartError", 'exec: "python": executable file not found in $PATH'), "ImageUnavailable", False,
         "`python`"),
        (ended(128, "StartError", "exec /usr/bin/python3: exec format error"), "PodFailure", True,
         "its image is for another platform than the node (exec /usr/bin/python3: exec format error)"),
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
        (ended(137, phase="Failed", reason="DeadlineExceeded"), "DeadlinePassed", True, "active_deadline_seconds"),
        (pod(phase="Failed"), "PodLost", True, "how its container ended is not known"),
    ],
)  # fmt: skip
def test_a_container_without_a_result_says_why(found: Json, kind: str, retry: bool, said: str) -> None:
    failure = status.after_end(found, "base", "etl", limit="1Gi", memory_hint="HINT")
    assert (type(failure).__name__, failure.retry) == (kind, retry)
    assert said in str(failure)
    assert "\n" not in str(failure)


def test_a_log_that_ends_with_another_platforms_program_says_so() -> None:
    line = "exec /opt/env/bin/python: exec format error"
    failure = status.after_end(ended(255), "base", "etl", limit="1Gi", memory_hint="", last_line=line)
    assert str(failure) == (
        f"Environment 'etl': its image is for another platform than the node ({line}); name the nodes' in "
        "image.platforms and run `podenv build etl --push` and `podenv deploy etl`, or give it a nodeSelector."
    )


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
    found = pod({"running": {}}, deleted=deleted, phase="Running", conditions=conditions)
    assert status.node_is_lost(found, "base", NOW) is lost
    assert not status.node_is_lost(ended(0, deleted=deleted), "base", NOW)


def refused(code: int, message: str, reason: str = "Forbidden") -> ApiException:
    error = ApiException(status=code, reason=reason)
    error.body = json.dumps({"message": message, "reason": reason})
    return error


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (refused(403, 'pods is forbidden: User "u" cannot create resource "pods" in API group ""'), "PodRefused",
         "Airflow may not create pods"),
        (refused(403, 'secrets is forbidden: User "u" cannot create resource "secrets"'), "PodRefused",
         "secrets: true"),
        (refused(400, 'admission webhook "policy.x" denied the request: no :latest', "BadRequest"), "PodRefused",
         'admission webhook "policy.x" denied the request'),
        (refused(403, 'pods is forbidden: User "u" cannot get resource "pods": RBAC: role "r" not found'), "PodFailure",
         'role "r" not found'),
        (refused(422, "spec.nodeName: Invalid value", "Invalid"), "PodRefused", "spec.nodeName: Invalid value"),
        (refused(401, "Unauthorized", "Unauthorized"), "PodRefused", "credentials"),
    ],
)  # fmt: skip
def test_a_refusal_holds_the_servers_words(error: ApiException, kind: str, said: str) -> None:
    failure: TaskFailure = refusal(error, "etl", "create a pod in podenv-etl")
    assert type(failure).__name__ == kind
    assert said in str(failure)


def test_remote_text_is_one_line_without_control_characters() -> None:
    assert client.plain("a\n  b\x1b[31m\tc") == "a b\\x1b[31m c"


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
    assert client.may_pass(error) is passes


def test_the_cluster_says_why_it_took_a_pod_away() -> None:
    marked = pod(
        conditions=[
            {"type": "Ready", "status": "False", "reason": "PodFailed"},
            {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "evicting."},
        ]
    )
    preempted = {"reason": "Preempted", "message": "by s/first\non node-1"}
    pulled = {"reason": "Pulled", "message": "x"}
    assert status.why_taken(marked, [preempted]) == "EvictionByEvictionAPI: evicting"
    kueue = {
        "type": "TerminationTarget",
        "status": "True",
        "reason": "WorkloadEvictedDueToPreempted",
        "message": "later",
    }
    assert status.why_taken(pod(conditions=[kueue]), []) == "WorkloadEvictedDueToPreempted: later"
    assert status.why_taken(pod(), [pulled, preempted]) == "Preempted: by s/first on node-1"
    assert status.why_taken(None, [pulled]) == ""


@pytest.mark.parametrize(
    ("found", "may"),
    [
        (None, True),
        (pod(phase="Pending"), False),
        (waiting("ImagePullBackOff", "back-off"), False),
        (pod({"running": {}}, phase="Running"), True),
        (ended(1), True),
        (ended(137, "ContainerStatusUnknown"), True),
        (ended(128, "StartError"), False),
        (pod(phase="Failed", reason="OutOfcpu"), False),
        (pod(phase="Failed", reason="NodeAffinity"), False),
        (pod(phase="Failed", reason="Evicted"), True),  # up to Kubernetes 1.20 it loses what ran in it
        (pod(phase="Running"), True),
    ],
)
def test_a_container_is_known_not_to_have_started_or_may_have(found: Json | None, may: bool) -> None:
    assert status.may_have_started(found, "base") is may


def test_the_first_end_of_a_container_that_was_started_again_is_its_end() -> None:
    restarted = pod({"running": {"startedAt": stamp(NOW)}}, phase="Running")
    restarted["status"]["containerStatuses"][0] |= {"restartCount": 1, "lastState": {"terminated": {"exitCode": 213}}}
    assert status.is_over(restarted, "base")
    assert status.terminated(restarted, "base") == {"exitCode": 213}


def test_a_container_that_never_started_began_in_no_year_and_ran_for_no_time() -> None:
    times = {"startedAt": "1970-01-01T00:00:00Z", "finishedAt": stamp(NOW)}
    never = pod({"terminated": {"exitCode": 128, "reason": "StartError", **times}})
    assert (status.began(never, "base"), status.ran_seconds(never, "base")) == (None, None)
