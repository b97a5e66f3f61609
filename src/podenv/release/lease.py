"""One at a time: whoever changes an environment's release holds a Lease beside it.

Protocol: coordination.k8s.io/v1, as Kubernetes' own leader election uses it
(https://kubernetes.io/docs/concepts/architecture/leases/), except that both sides take the time from the API server's
answers, so that the clocks of two machines need not agree and a dead holder is known without watching it.
"""

from __future__ import annotations

import getpass
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from podenv import names, process
from podenv.errors import Conflict, ReleaseBusy, ReleaseError
from podenv.release.cluster import Cluster, Json

API = "coordination.k8s.io/v1"
DURATION = 15  # seconds that a holder may be silent
RENEWAL = 4.0  # seconds between two renewals
_LOOK = 0.5  # seconds between two looks at somebody else's lease


@dataclass(frozen=True)
class Holder:
    """Who holds a lease: ``who`` for people, and since when (UTC)."""

    who: str
    since: str


def identity() -> str:
    """This process, for people and for no other process: ``user@host, process 123 (random)``."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user often has no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}, process {os.getpid()} ({uuid.uuid4().hex[:8]})"


def holder(cluster: Cluster, environment: str, namespace: str) -> Holder | None:
    """Who changes the release now; None when nobody does, or the one who did is silent for too long."""
    lease = cluster.get(_path(cluster, environment, namespace))
    return _live(cluster, lease) if lease else None


@contextmanager
def held(
    cluster: Cluster, environment: str, namespace: str, *, wait: float, say: Callable[[str], None] = lambda _: None
) -> Iterator[None]:
    """Hold the lease of an environment's release.

    Waits ``wait`` seconds for another holder, then raises `ReleaseBusy`, which names it. A lease whose holder died is
    taken over. Raises `ReleaseBusy` at the end where it was lost in between (no answer from the cluster for long).
    """
    mine = identity()
    _acquire(cluster, environment, namespace, mine, wait=wait, say=say)
    done, lost = threading.Event(), threading.Event()
    renewer = threading.Thread(
        target=_renew, args=(cluster, environment, namespace, mine, done, lost), name="podenv-lease", daemon=True
    )
    renewer.start()
    try:
        yield
        if lost.is_set():
            raise ReleaseBusy(
                f"Somebody else took over the release of {environment!r} while this command had no answer from the "
                f"cluster; look at `podenv status {environment}`, then run it again."
            )
    finally:
        done.set()
        renewer.join()
        with suppress(ReleaseError):  # it ends by itself
            _give_back(cluster, environment, namespace, mine)


def _acquire(
    cluster: Cluster, environment: str, namespace: str, mine: str, *, wait: float, say: Callable[[str], None]
) -> None:
    deadline = time.monotonic() + wait
    while (other := _try(cluster, environment, namespace, mine)) is not None:
        if time.monotonic() >= deadline or process.interrupted.is_set():
            raise ReleaseBusy(
                f"Environment {environment!r} is being changed by {other.who} since {other.since}; "
                "wait until that is done, and run the command again."
            )
        say(f"waits for {other.who}")
        process.interrupted.wait(_LOOK)


def _try(cluster: Cluster, environment: str, namespace: str, mine: str) -> Holder | None:
    """Take the lease; the holder when there is one."""
    path = _path(cluster, environment, namespace)
    while True:
        lease = cluster.get(path)
        other = _live(cluster, lease) if lease else None
        if other is not None:
            return other
        with suppress(Conflict):  # somebody else was faster: look who
            if lease is None:
                cluster.create(path.rpartition("/")[0], _lease(cluster, environment, namespace, mine))
            else:
                cluster.replace(path, {**_lease(cluster, environment, namespace, mine), "metadata": lease["metadata"]})
            return None


def _live(cluster: Cluster, lease: Json) -> Holder | None:
    spec = lease.get("spec") or {}
    who, renewed = spec.get("holderIdentity"), spec.get("renewTime")
    if not who or not renewed:
        return None
    silent = cluster.now() - datetime.fromisoformat(renewed).timestamp()
    if silent > (spec.get("leaseDurationSeconds") or DURATION) + 1:  # the server's clock is read in whole seconds
        return None
    since = datetime.fromisoformat(spec.get("acquireTime") or renewed)
    return Holder(who.rpartition(" (")[0] or who, f"{since:%H:%M:%S} UTC")


def _renew(
    cluster: Cluster, environment: str, namespace: str, mine: str, done: threading.Event, lost: threading.Event
) -> None:
    path = _path(cluster, environment, namespace)
    while not done.wait(RENEWAL):
        try:
            lease = cluster.get(path)
            if lease is None or lease["spec"].get("holderIdentity") != mine:
                lost.set()
                return
            lease["spec"]["renewTime"] = _time(cluster)
            cluster.replace(path, lease)
        except ReleaseError:
            continue  # no answer now; the next one may come in time


def _give_back(cluster: Cluster, environment: str, namespace: str, mine: str) -> None:
    path = _path(cluster, environment, namespace)
    lease = cluster.get(path)
    if lease is not None and lease["spec"].get("holderIdentity") == mine:
        cluster.delete(path, version=lease["metadata"]["resourceVersion"])


def _lease(cluster: Cluster, environment: str, namespace: str, mine: str) -> Json:
    now = _time(cluster)
    return {
        "apiVersion": API,
        "kind": "Lease",
        "metadata": {
            "name": names.part(environment, "deploy"),
            "namespace": namespace,
            "labels": {names.ENVIRONMENT_LABEL: environment},
        },
        "spec": {
            "holderIdentity": mine, "leaseDurationSeconds": DURATION, "acquireTime": now, "renewTime": now,
        },
    }  # fmt: skip


def _time(cluster: Cluster) -> str:
    return datetime.fromtimestamp(cluster.now(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _path(cluster: Cluster, environment: str, namespace: str) -> str:
    return cluster.path(API, "Lease", namespace, names.part(environment, "deploy"))
