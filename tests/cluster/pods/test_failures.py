"""Each row of the design's failure table, produced for real: the type, the whole message, whether a retry can help."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from podenv.errors import (
    Exited,
    FunctionRaised,
    OutOfMemory,
    PodFailure,
    PodLost,
    StartTimedOut,
    Unschedulable,
)

if TYPE_CHECKING:
    from tests.cluster.pods.conftest import Cluster, InBackground, Outcome

    Run = Callable[..., Outcome]

SECRET = {"PASSWORD": "hunter2-in-clear"}


# A deferred task says the same, as soon.
deferred_too = pytest.mark.parametrize(
    "waiting", [{}, {"deferrable": True, "poll_interval": 0.5}], ids=["waits", "defers"]
)


def one() -> int:
    return 1


def raises() -> None:
    print("before")
    raise LookupError("no such row")


def allocates(megabytes: int) -> int:
    return len(bytearray(megabytes * 1024 * 1024))


def allocates_in_a_child(megabytes: int) -> int:
    import subprocess
    import sys

    code = f"x = bytearray({megabytes} * 1024 * 1024)"
    subprocess.run([sys.executable, "-c", code], check=True)
    return megabytes


def exits(code: int) -> None:
    import os

    print("bye", end="", flush=True)
    os._exit(code)


def returns_bytes() -> dict[str, object]:
    return {"a": [1, b"x"]}


def returns_much() -> str:
    import random
    import string

    return "".join(random.choices(string.ascii_letters, k=1_100_000))


def fills(path: str, megabytes: int) -> None:
    import pathlib
    import time

    pathlib.Path(path).write_bytes(b"x" * megabytes * 1024 * 1024)
    time.sleep(120)


def waits(seconds: float) -> str:
    import time

    print("waiting")
    time.sleep(seconds)
    return "waited"


@pytest.fixture(scope="module", autouse=True)
def full_disk(start: Callable[..., InBackground]) -> InBackground:
    """Begun first: the kubelet looks at volumes once a minute."""
    scratch = {"name": "scratch", "emptyDir": {"sizeLimit": "5Mi"}}
    base = {"name": "base", "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]}
    return start(fills, "/scratch/x", 20, pod_template_dict={"spec": {"volumes": [scratch], "containers": [base]}})


def is_final(outcome: Outcome, kind: str) -> bool:
    """True if Airflow will not retry, and the cause is the type that podenv has for it."""
    error = outcome.error
    assert isinstance(error, AirflowFailException), outcome.message
    assert error.__cause__ is not None
    return type(error.__cause__).__name__ == kind and str(error.__cause__) == str(error)


def test_what_the_function_raised_comes_with_its_traceback_in_the_log(run: Run) -> None:
    outcome = run(raises)
    assert isinstance(outcome.error, FunctionRaised)
    assert str(outcome.error) == "The function raised LookupError in environment 'plain': no such row"
    assert outcome.log[-1].splitlines()[0] == "Traceback (most recent call last):"
    assert outcome.log[-1].splitlines()[-1] == "LookupError: no such row"
    assert 'raise LookupError("no such row")' in outcome.log[-1]
    assert "before" in outcome.log


def test_out_of_memory_names_the_limit(run: Run) -> None:
    outcome = run(allocates, 300)
    assert isinstance(outcome.error, OutOfMemory)
    assert str(outcome.error) == (
        "Out of memory in environment 'plain': it needed more than its limit of 128Mi. "
        "Raise memory of the task, or let it hold less at a time."
    )


def test_a_pod_that_was_out_of_memory_for_good_can_be_kept(run: Run, cluster: Cluster) -> None:
    outcome = run(allocates, 300, on_finish_action="delete_active_pod", log_events_on_failure=True)
    assert isinstance(outcome.error, OutOfMemory)
    assert any(line.startswith("Event ") for line in outcome.log)
    name = outcome.xcoms["pod_name"]
    # A newer kubelet tells of the end a second or two after the result is there.
    kept = cluster.await_pod(outcome.operator.task_id, lambda pod: pod.status.phase == "Failed")
    assert kept.metadata.name == name
    cluster.core.delete_namespaced_pod(name, cluster.namespace)


def test_out_of_memory_grows_within_the_same_try_up_to_max_memory(run: Run) -> None:
    outcome = run(allocates, 300, memory="100Mi", max_memory="512Mi")
    assert outcome.value == 300 * 1024 * 1024
    grown = [line.split("started again with ")[1] for line in outcome.log if "started again with" in line]
    assert grown == ["200Mi (max_memory 512Mi).", "400Mi (max_memory 512Mi)."]


def test_a_child_that_the_kernel_ends_counts_as_out_of_memory_too(run: Run) -> None:
    outcome = run(allocates_in_a_child, 200, max_memory="512Mi")
    assert outcome.value == 200


def test_a_process_that_ends_early_says_how_and_its_last_words_are_in_the_log(run: Run) -> None:
    outcome = run(exits, 3)
    assert isinstance(outcome.error, Exited)
    assert str(outcome.error) == (
        "In environment 'plain' the process ended with exit code 3. "
        "It ended before it had brought a result; the log above shows how far it came."
    )
    assert outcome.printed == ["bye"]


def test_skip_on_exit_code_skips_the_task(run: Run) -> None:
    assert isinstance(run(exits, 7, skip_on_exit_code=7).error, AirflowSkipException)


def test_a_result_that_is_no_json_is_final_and_names_the_place(run: Run) -> None:
    outcome = run(returns_bytes)
    assert is_final(outcome, "ResultRefused")
    assert "a[1]" in outcome.message or "['a'][1]" in outcome.message


def test_a_result_that_is_too_large_is_final(run: Run) -> None:
    outcome = run(returns_much)
    assert is_final(outcome, "ResultRefused")
    assert "write it to storage and return its path" in outcome.message


def test_a_call_that_is_too_large_never_reaches_the_cluster(run: Run, cluster: Cluster) -> None:
    import random

    noise = [random.random() for _ in range(120_000)]
    outcome = run(allocates, noise)
    assert is_final(outcome, "CallError")
    assert "write the data to storage and pass its path" in outcome.message
    assert "pod_name" not in outcome.xcoms


def test_an_image_that_is_not_in_the_registry_fails_at_once(run: Run, cluster: Cluster) -> None:
    outcome = run(one, image=f"{cluster.image.partition('/')[0]}/podenv-tests/none:1")
    assert is_final(outcome, "ImageUnavailable")
    assert "not found" in outcome.message
    assert "podenv build plain --push" in outcome.message
    assert outcome.seconds < 60  # half of the time that a start may take


def test_a_bad_image_reference_fails_at_once(run: Run) -> None:
    outcome = run(one, image="UPPER/case:1:2")
    assert is_final(outcome, "ImageUnavailable")
    assert "the image reference 'UPPER/case:1:2' cannot be used" in outcome.message


def test_a_registry_that_throttles_is_asked_again_until_the_start_times_out(run: Run, throttling: str) -> None:
    outcome = run(one, image=f"{throttling}/busy:1", startup_timeout_seconds=4)
    assert isinstance(outcome.error, StartTimedOut)
    assert outcome.error.retry
    assert "429 Too Many Requests" in outcome.message
    assert "did not start within 4 s" in outcome.message


@deferred_too
def test_a_pod_that_no_node_takes_tells_the_schedulers_words(run: Run, waiting: dict[str, Any]) -> None:
    outcome = run(one, node_selector={"no": "where"}, schedule_timeout_seconds=2, **waiting)
    assert isinstance(outcome.error, Unschedulable)
    assert "no node took the pod within 2 s (0/1 nodes are available: 1 node(s) didn't match" in outcome.message
    assert ", for it selects nodes with kubernetes.io/arch=amd64, no=where (nodeSelector, image.platform); ask" in (
        outcome.message
    )


@deferred_too
def test_a_container_that_does_not_start_in_time_tells_what_it_waits_for(
    run: Run, cluster: Cluster, waiting: dict[str, Any]
) -> None:
    slow = cluster.container("slow", "import time; time.sleep(60)")
    outcome = run(one, startup_timeout_seconds=6, pod_template_dict={"spec": {"initContainers": [slow]}}, **waiting)
    assert isinstance(outcome.error, StartTimedOut)
    assert "did not start within 6 s (the init container 'slow' still runs)" in outcome.message


def test_an_init_container_that_fails_is_named(run: Run, cluster: Cluster) -> None:
    broken = cluster.container("broken", "print('help'); raise SystemExit(9)")
    outcome = run(one, pod_template_dict={"spec": {"initContainers": [broken]}}, init_container_logs=True)
    assert type(outcome.error) is PodFailure
    assert "its init container 'broken' ended with exit code 9" in outcome.message
    assert "help" in outcome.log


@deferred_too
def test_a_missing_secret_is_waited_for_as_long_as_a_start_may_take_and_named(
    run: Run, waiting: dict[str, Any]
) -> None:
    from kubernetes.client import V1EnvFromSource, V1SecretEnvSource

    missing = [V1EnvFromSource(secret_ref=V1SecretEnvSource(name="vault"))]
    outcome = run(one, env_from=missing, startup_timeout_seconds=5, **waiting)
    assert isinstance(outcome.error, StartTimedOut)
    assert 'did not start within 5 s (CreateContainerConfigError: secret "vault" not found)' in outcome.message


def test_a_secret_that_comes_late_is_in_time(start: Callable[..., InBackground], cluster: Cluster) -> None:
    from kubernetes.client import V1EnvFromSource, V1SecretEnvSource

    late = [V1EnvFromSource(secret_ref=V1SecretEnvSource(name="late"))]
    running = start(one, env_from=late, task_id="late-secret")
    cluster.await_pod("late-secret", lambda pod: "late" in str(pod.status.container_statuses))
    cluster.core.create_namespaced_secret(cluster.namespace, {"metadata": {"name": "late"}, "stringData": {"A": "1"}})
    assert running.outcome(90).value == 1


def test_an_image_without_python_says_so(run: Run, cluster: Cluster) -> None:
    host = cluster.image.partition("/")[0]
    outcome = run(one, image=f"{host}/podenv/base:py3.13")  # it has python3, and no python
    assert is_final(outcome, "ImageUnavailable")
    assert "`python` (3.8 or newer) on its PATH" in outcome.message


@contextmanager
def quota(cluster: Cluster, **hard: str) -> Iterator[None]:
    name = f"quota-{token_hex(3)}"
    body = {"metadata": {"name": name}, "spec": {"hard": hard}}
    cluster.core.create_namespaced_resource_quota(cluster.namespace, body)
    try:
        yield
    finally:
        cluster.core.delete_namespaced_resource_quota(name, cluster.namespace)


def test_a_pod_that_is_larger_than_the_quota_is_final(run: Run, cluster: Cluster) -> None:
    with quota(cluster, **{"requests.cpu": "60m"}):
        outcome = run(one, cpu="500m")
    assert is_final(outcome, "PodRefused")
    assert "(requests.cpu 500m, and the quota holds 60m)" in outcome.message


def test_twelve_tasks_go_through_a_quota_of_two_in_one_try_each(
    start: Callable[..., InBackground], cluster: Cluster
) -> None:
    with quota(cluster, pods="2"):
        tasks = [start(one, task_id=f"line-{n}", deferrable=n % 3 == 0) for n in range(12)]
        outcomes = [task.outcome(180) for task in tasks]
    assert [outcome.value for outcome in outcomes] == [1] * 12
    assert any(line.startswith("It waits for room (pods ") for outcome in outcomes for line in outcome.log)


@contextmanager
def nodes_are_read(cluster: Cluster) -> Iterator[None]:
    """Give Airflow the right to list nodes, which no release gives."""
    from kubernetes.client import RbacAuthorizationV1Api

    rbac, name = RbacAuthorizationV1Api(cluster.core.api_client), f"podenv-test-nodes-{token_hex(3)}"
    namespace = f"{cluster.namespace.removesuffix('plain')}airflow"
    account = {"kind": "ServiceAccount", "name": "worker", "namespace": namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    rules = [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}]
    rbac.create_cluster_role({"metadata": {"name": name}, "rules": rules})
    rbac.create_cluster_role_binding({"metadata": {"name": name}, "roleRef": role, "subjects": [account]})
    try:
        yield
    finally:
        rbac.delete_cluster_role_binding(name)
        rbac.delete_cluster_role(name)


@deferred_too
def test_a_pod_that_is_larger_than_every_node_fails_soon_where_nodes_may_be_listed(
    run: Run, cluster: Cluster, waiting: dict[str, Any]
) -> None:
    began = time.monotonic()
    with nodes_are_read(cluster):
        outcome = run(one, memory="900Gi", room_timeout=60, **waiting)
    assert isinstance(outcome.error, Unschedulable)
    assert (
        "no node is large enough for the pod, were it empty: it asks for memory 900Gi, and the largest"
        in outcome.message
    )
    assert time.monotonic() - began < 40


def test_a_limit_range_that_refuses_the_pod_is_final(run: Run, cluster: Cluster) -> None:
    limits = [{"type": "Container", "max": {"memory": "256Mi"}}]
    cluster.core.create_namespaced_limit_range(
        cluster.namespace, {"metadata": {"name": "small"}, "spec": {"limits": limits}}
    )
    try:
        outcome = run(one, memory="1Gi")
    finally:
        cluster.core.delete_namespaced_limit_range("small", cluster.namespace)
    assert is_final(outcome, "PodRefused")
    assert "maximum memory usage per Container is 256Mi" in outcome.message


def test_an_environment_that_is_not_deployed_names_the_command(run: Run, cluster: Cluster) -> None:
    outcome = run(one, env="absent", namespace=cluster.namespace)
    assert is_final(outcome, "NotDeployed")
    assert outcome.message == (
        f"AirflowFailException: Environment 'absent' is not deployed: there is no PodTemplate 'absent' in namespace "
        f"{cluster.namespace!r}; run `podenv deploy absent`."
    )


def test_a_missing_permission_names_verb_and_object(run: Run) -> None:
    outcome = run(one, namespace="default")
    assert is_final(outcome, "PodRefused")
    assert 'Airflow may not get podtemplates (podtemplates "plain" is forbidden' in outcome.message
    assert "`access`" in outcome.message


def test_a_pod_that_the_api_server_finds_invalid_is_final(run: Run) -> None:
    outcome = run(one, priority_class_name="no-such-class")
    assert is_final(outcome, "PodRefused")
    assert "no-such-class" in outcome.message


@deferred_too
def test_a_pod_that_somebody_deletes_is_started_again(
    start: Callable[..., InBackground], cluster: Cluster, waiting: dict[str, Any]
) -> None:
    task_id = f"deleted-{len(waiting)}"
    running = start(waits, 4, task_id=task_id, retries=1, **waiting)
    pod = cluster.await_pod(task_id, lambda pod: pod.status.phase == "Running")
    cluster.core.delete_namespaced_pod(pod.metadata.name, cluster.namespace)
    outcome = running.outcome()
    assert outcome.value == "waited"
    assert any(
        "was deleted by somebody else" in line and "started again (1 of at most 3" in line for line in outcome.log
    )


@deferred_too
def test_a_function_that_may_have_run_is_not_run_again_without_the_authors_word(
    start: Callable[..., InBackground], cluster: Cluster, waiting: dict[str, Any]
) -> None:
    task_id = f"once-{len(waiting)}"
    running = start(waits, 60, task_id=task_id, **waiting)
    pod = cluster.await_pod(task_id, lambda pod: pod.status.phase == "Running")
    cluster.core.delete_namespaced_pod(pod.metadata.name, cluster.namespace, grace_period_seconds=0)
    outcome = running.outcome()
    assert isinstance(outcome.error, PodLost)
    assert "so it is not started again; set retries, or relaunch=N" in outcome.message
    assert cluster.pods(task_id=task_id) == []


def test_a_pod_that_never_ran_is_launched_again_freely(start: Callable[..., InBackground], cluster: Cluster) -> None:
    running = start(one, task_id="free", node_selector={"no": "where"}, schedule_timeout_seconds=4)
    first = cluster.await_pod("free").metadata.name
    cluster.core.delete_namespaced_pod(first, cluster.namespace, grace_period_seconds=0)
    assert cluster.await_pod("free").metadata.name == f"{first}-again1"
    assert isinstance(running.outcome().error, Unschedulable)


def test_a_task_can_switch_launching_again_off(start: Callable[..., InBackground], cluster: Cluster) -> None:
    running = start(one, task_id="never", node_selector={"no": "where"}, retries=1, relaunch=0)
    first = cluster.await_pod("never").metadata.name
    cluster.core.delete_namespaced_pod(first, cluster.namespace, grace_period_seconds=0)
    assert isinstance(running.outcome().error, PodLost)
    assert cluster.pods(task_id="never") == []


def test_a_pod_that_is_evicted_is_started_again(start: Callable[..., InBackground], cluster: Cluster) -> None:
    running = start(waits, 4, task_id="evicted", retries=1)
    cluster.evict(cluster.await_pod("evicted", lambda pod: pod.status.phase == "Running"))
    assert running.outcome().value == "waited"


def usable_node(core: Any) -> Any:
    """A node that takes pods."""
    return next(node for node in core.list_node().items if not node.spec.unschedulable and not node.spec.taints)


@contextmanager
def labelled_node(core: Any, label: str, value: str) -> Iterator[None]:
    """A node that takes pods has the label."""
    node = usable_node(core).metadata.name
    core.patch_node(node, {"metadata": {"labels": {label: value}}})
    try:
        yield
    finally:
        core.patch_node(node, {"metadata": {"labels": {label: None}}})


def test_a_pod_that_a_spot_node_lost_is_started_again_on_any_node(
    start: Callable[..., InBackground], cluster: Cluster
) -> None:
    namespace = cluster.deploy("spot")

    with labelled_node(cluster.core, "podenv-test/kind", "spot"):
        running = start(waits, 4, env="spot", task_id="spot", retries=1)
        first = cluster.await_pod("spot", lambda pod: pod.status.phase == "Running", namespace)
    assert first.spec.node_selector == {"podenv-test/kind": "spot", "kubernetes.io/arch": "amd64"}
    # No node has the label now: a pod that still asked for it would never start.
    cluster.core.delete_namespaced_pod(first.metadata.name, namespace)
    assert cluster.await_pod("spot", namespace=namespace).spec.node_selector == {"kubernetes.io/arch": "amd64"}
    outcome = running.outcome()
    assert outcome.value == "waited"
    assert "The next pod may run on nodes that are not spot nodes too." in outcome.log


def spare_cpu(core: Any) -> tuple[str, int]:
    """A node that takes pods, and how many thousandths of a core are free there."""
    from podenv.catalogue import quantity

    node = usable_node(core)
    asked = [
        container.resources.requests.get("cpu", "0")
        for pod in core.list_pod_for_all_namespaces(field_selector=f"spec.nodeName={node.metadata.name}").items
        if pod.status.phase in ("Pending", "Running")
        for container in pod.spec.containers
        if container.resources and container.resources.requests
    ]
    spare = quantity.parse(node.status.allocatable["cpu"]) - sum(map(quantity.parse, asked))
    return node.metadata.name, int(1000 * spare)


@pytest.mark.devcluster  # alone: where another test gives room back, both pods find a place
def test_a_pod_that_is_preempted_says_by_whom_and_is_started_again(
    start: Callable[..., InBackground], cluster: Cluster
) -> None:
    from kubernetes.client import SchedulingV1Api

    node, spare = spare_cpu(cluster.core)
    most = f"{int(0.6 * spare)}m"
    here = {"kubernetes.io/hostname": node}
    classes = SchedulingV1Api(cluster.core.api_client)
    name = f"podenv-tests-{cluster.namespace}"
    classes.create_priority_class({"metadata": {"name": name}, "value": 1000})
    try:
        running = start(waits, 4, task_id="preempted", cpu=most, node_selector=here, relaunch=3)
        cluster.await_pod("preempted", lambda pod: pod.status.phase == "Running")
        first = {
            "name": "first",
            "image": cluster.image,
            "command": ["python", "-c", "import time; time.sleep(5)"],
            "resources": {"limits": {"cpu": most, "memory": "64Mi"}},
        }
        spec = {"containers": [first], "restartPolicy": "Never", "priorityClassName": name, "nodeSelector": here}
        cluster.core.create_namespaced_pod("default", {"metadata": {"name": name}, "spec": spec})
        try:
            outcome = running.outcome()
        finally:
            cluster.core.delete_namespaced_pod(name, "default", grace_period_seconds=0)
    finally:
        classes.delete_priority_class(name)
    assert outcome.value == "waited"
    (said,) = [line for line in outcome.log if "started again (1 of at most 3" in line]
    assert "The cluster says: Preempt" in said


def test_a_pod_that_is_deleted_each_time_is_given_up_after_three(
    start: Callable[..., InBackground], cluster: Cluster
) -> None:
    running = start(waits, 60, task_id="unlucky", retries=1)
    for _ in range(4):
        pod = cluster.await_pod("unlucky")
        cluster.core.delete_namespaced_pod(pod.metadata.name, cluster.namespace, grace_period_seconds=0)
    outcome = running.outcome()
    assert isinstance(outcome.error, PodLost)
    assert outcome.error.retry
    assert cluster.pods(task_id="unlucky") == []


def test_no_failure_shows_the_value_of_an_environment_variable(run: Run) -> None:
    import io
    import logging

    everything = io.StringIO()
    handler = logging.StreamHandler(everything)
    logging.getLogger().addHandler(handler)
    try:
        for given in (
            {"node_selector": {"no": "where"}, "schedule_timeout_seconds": 1},
            {"priority_class_name": "none"},
        ):
            outcome = run(raises, env_vars=SECRET, **given)
            assert outcome.error is not None
            everything.write(str(outcome))
    finally:
        logging.getLogger().removeHandler(handler)
    assert SECRET["PASSWORD"] not in everything.getvalue()


def test_more_disk_than_allowed_is_final_and_named(full_disk: InBackground) -> None:
    outcome = full_disk.outcome(120)
    assert is_final(outcome, "DiskExceeded")
    assert 'Usage of EmptyDir volume "scratch" exceeds the limit "5Mi"' in outcome.message
