"""`podenv prune --pods` deletes pods that ended and that no worker came for, and nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from podenv.release import leftovers
from podenv.release.cluster import Cluster as Server

if TYPE_CHECKING:
    from tests.cluster.pods.conftest import Cluster, Outcome


def waits(seconds: float) -> str:
    import time

    print("waiting")
    time.sleep(seconds)
    return "waited"


def left_by_a_killed_worker(
    make: Callable[..., Any], execute: Callable[..., Outcome], cluster: Cluster, task_id: str, seconds: float
) -> str:
    from tests.cluster.pods.test_interruptions import killed_worker

    return str(killed_worker(make, execute, cluster, task_id, seconds=seconds).metadata.name)


def test_only_pods_that_ended_and_are_not_kept_are_deleted(
    make: Callable[..., Any], execute: Callable[..., Outcome], cluster: Cluster
) -> None:
    kept = execute(make(waits, 0, task_id="kept-for-me", on_finish_action="keep_pod")).xcoms["pod_name"]
    alive = left_by_a_killed_worker(make, execute, cluster, "alive", 60)
    ended = left_by_a_killed_worker(make, execute, cluster, "ended", 3)
    cluster.await_pod("ended", lambda pod: pod.status.phase == "Succeeded")
    server, places = Server(), {"plain": cluster.namespace}

    young = leftovers.prune(server, places, older_than=3600)
    assert (young.ended, young.alive) == ((), ())
    time.sleep(1.1)  # ages are good to a second
    for dry_run in (True, False):
        found = leftovers.prune(server, places, older_than=1, dry_run=dry_run)
        assert ended in [one.name for one in found.ended]
        assert {one.task for one in found.ended if one.name == ended} == {"tests.ended"}
        assert alive in [one.name for one in found.alive]
        assert not {kept, alive} & {one.name for one in found.ended}
        names = {pod.metadata.name for pod in cluster.pods()}
        assert {kept, alive} <= names
        assert (ended in names) == dry_run
    for name in (kept, alive):
        cluster.core.delete_namespaced_pod(name, cluster.namespace, grace_period_seconds=0)


def test_the_command_shows_what_it_deleted(
    make: Callable[..., Any], execute: Callable[..., Outcome], cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    from podenv.cli.prune import prune

    ended = left_by_a_killed_worker(make, execute, cluster, "shown", 3)
    cluster.await_pod("shown", lambda pod: pod.status.phase == "Succeeded")
    time.sleep(1.1)
    prune(pods=True, older_than=1.0, prefix=os.environ["AIRFLOW__PODENV__NAMESPACE_PREFIX"])
    shown = capsys.readouterr().out
    assert f"{cluster.namespace}/{ended}" in shown
    assert "tests.shown" in shown
    assert "1 deleted" in shown
