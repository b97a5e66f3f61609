"""Values of pods in a bucket: the pod has signed addresses, no credentials, and the standard library."""

from __future__ import annotations

import json
import os
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes.client import ApiException
from tests.exchange import s3server

from podenv.airflow import connections
from podenv.airflow.reference import Reference

if TYPE_CHECKING:
    from tests.cluster.pods.conftest import Cluster, InBackground, Outcome

    Run = Callable[..., Outcome]
    Start = Callable[..., InBackground]

# The pod shares the node's network, so that it reaches the server on loopback.
NEAR = {"hostnetwork": True}


def writes(size: int) -> dict[str, Any]:
    import os
    import pathlib
    import tempfile

    folder = pathlib.Path(tempfile.mkdtemp()) / "parts"
    folder.mkdir()
    (folder / "one.bin").write_bytes(os.urandom(1000))
    return {"bytes": b"x" * size, "folder": folder, "small": 1, "known": sorted(n for n in os.environ if "PODENV" in n)}


def reads(data: bytes, folder: Path) -> list[Any]:
    return [len(data), folder.name, sorted(one.name for one in folder.iterdir())]


def small() -> dict[str, int]:
    return {"value": 4_242_424_242}


def slow(size: int) -> bytes:
    print("begins", flush=True)
    return b"x" * size


@pytest.fixture(scope="module")
def bucket(cluster: Cluster) -> Iterator[str]:
    """The address of the store."""
    with s3server.serving("values") as url, pytest.MonkeyPatch.context() as patch:
        extra = {"endpoint_url": url, "region_name": "eu-west-1"}
        given = {"conn_type": "aws", "login": "AKIDEXAMPLE", "password": "verysecretword", "extra": extra}
        patch.setenv("AIRFLOW_CONN_BUCKETS", json.dumps(given))
        patch.setenv("PODENV_EXCHANGE", "s3://buckets@values/podenv")
        connections.store.cache_clear()
        yield "s3://buckets@values/podenv"


def test_bytes_and_folders_go_from_pod_to_pod(run: Run, bucket: str) -> None:
    made = run(writes, 3_000_000, **NEAR)
    assert made.error is None, made.log
    references = [made.value["bytes"], made.value["folder"]]
    assert [type(one) for one in references] == [Reference, Reference]
    assert [(one.kind, one.store) for one in references] == [("bytes", bucket), ("folder", bucket)]
    assert (made.value["small"], made.value["known"]) == (1, [])
    read = run(reads, *references, **NEAR)
    assert read.value == [3_000_000, "parts", ["one.bin"]], read.log
    assert references[0].read() == b"x" * 3_000_000
    said = "\n".join([*made.log, *read.log])
    assert "Signature" not in said
    assert "verysecret" not in said


def test_with_results_exchange_no_value_stands_in_the_log(run: Run, bucket: str, cluster: Cluster) -> None:
    done = run(small, results="exchange", on_finish_action="keep_pod", **NEAR)
    assert done.error is None, done.log
    assert done.value.read() == {"value": 4_242_424_242}
    pod = done.xcoms["pod_name"]
    kept = cluster.core.read_namespaced_pod_log(pod, cluster.namespace) + str(
        cluster.core.read_namespaced_pod(pod, cluster.namespace).status
    )
    cluster.core.delete_namespaced_pod(pod, cluster.namespace)
    assert "4242424242" not in kept


def test_addresses_come_in_the_secret_where_the_call_does(
    start: Start, bucket: str, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__PODENV__PAYLOAD", "secret")
    held = start(slow, 2_000_000, task_id="hides", **NEAR)
    pod = cluster.await_pod("hides")
    shown = [item.name for item in pod.spec.containers[0].env if item.value]
    assert not [name for name in shown if name.startswith("PODENV_RUN_CALL")]
    assert len(held.outcome(60).value.read()) == 2_000_000


def test_a_pod_that_the_cluster_took_away_and_its_successor_write_under_other_keys(
    start: Start, bucket: str, cluster: Cluster
) -> None:
    def addresses(pod: Any) -> set[str]:
        return {item.value for item in pod.spec.containers[0].env if item.name.startswith("PODENV_RUN_CALL_EXCHANGE")}

    held = start(waits_and_writes, task_id="moved", relaunch=1, **NEAR)
    first = cluster.await_pod("moved", lambda pod: pod.status.phase == "Running")
    time.sleep(1)
    cluster.evict(first)
    second = cluster.await_pod("moved", lambda pod: pod.metadata.name != first.metadata.name)
    assert not addresses(first) & addresses(second)
    outcome = held.outcome(90)
    assert outcome.value.read() == b"y" * 2_000_000, outcome.log


def test_a_deferrable_task_and_one_that_takes_an_idle_pod_have_the_store_too(
    run: Run, bucket: str, cluster: Cluster
) -> None:
    deferred = run(slow, 2_000_000, deferrable=True, **NEAR)
    assert len(deferred.value.read()) == 2_000_000, deferred.log
    cluster.deploy("waiting")
    idle = run(small, env="waiting")
    assert idle.log[1].startswith("Idle pod "), idle.log
    assert idle.value == {"value": 4_242_424_242}


def waits_and_writes() -> bytes:
    import time

    time.sleep(5)
    return b"y" * 2_000_000


def test_a_store_that_is_down_or_lost_its_value_is_a_typed_failure(
    run: Run, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = run(writes, 1000, **NEAR)
    reference = made.value["bytes"]
    connections.store_at(bucket).delete([reference.key])
    gone = run(reads, reference, made.value["folder"], **NEAR)
    assert gone.message == (
        f"AirflowFailException: Environment 'plain': {reference.key} is not in the storage any more (the storage says "
        "404 NOT FOUND: NoSuchKey: The specified key does not exist): run the task that made it again."
    )
    given = json.loads(os.environ["AIRFLOW_CONN_BUCKETS"])
    given["extra"]["endpoint_url"] = "http://127.0.0.1:9"
    monkeypatch.setenv("AIRFLOW_CONN_BUCKETS", json.dumps(given))
    connections.store.cache_clear()
    down = run(writes, 10, **NEAR)
    connections.store.cache_clear()
    assert re.fullmatch(
        r"StorageError: Environment 'plain': tests/run/\w+/-1/1/[0-9a-f]{16}/\d could not be written in 5 attempts: "
        r"the connection broke \(Connection refused\); try again when the storage works\.",
        down.message,
    )


def fills() -> bytes:
    print("begins", flush=True)
    return b"z" * 40_000_000


def test_pods_that_are_killed_at_any_moment_leave_no_half_of_a_value(
    start: Start, bucket: str, cluster: Cluster
) -> None:
    store, moments = connections.store_at(bucket), random.Random(14)
    for number in range(int(os.environ.get("PODENV_TEST_KILLS", "3"))):
        held = start(fills, task_id=f"killed{number}", **NEAR)
        pod = cluster.await_pod(f"killed{number}")
        time.sleep(moments.uniform(0.5, 1.5))
        with suppress(ApiException):  # it has ended, and is gone
            cluster.core.delete_namespaced_pod(pod.metadata.name, cluster.namespace, grace_period_seconds=0)
        outcome = held.outcome(60)
        assert outcome.error is None or outcome.message.startswith(("PodLost: ", "Killed: ")), outcome.message
        # Each pod of the task has its own key: one that was taken away before it began is launched again.
        assert {one.bytes for one in store.entries() if f"/killed{number}/" in one.key} <= {40_000_000}
        if outcome.error is None:
            assert outcome.value.read() == b"z" * 40_000_000
