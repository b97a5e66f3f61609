"""One at a time: a process that changes an environment's release holds a Lease beside it.

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

from podenv import process
from podenv.catalogue import names
from podenv.errors import Conflict, ReleaseBusy, ReleaseError
from podenv.release.cluster import Cluster, Json

API = "coordination.k8s.io/v1"
SILENCE_SECONDS = 15  # that a holder may be silent
RENEWAL_SECONDS = 4.0  # between two renewals
_LOOK_SECONDS = 0.5  # between two looks at another holder's lease


@dataclass(frozen=True)
class Holder:
    """Who holds a lease, in words for people, and since when (UTC)."""

    who: str
    since: str


def identity() -> str:
    """A name that only this process has, readable for people: ``user@host, process 123 (random)``."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user often has no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}, process {os.getpid()} ({uuid.uuid4().hex[:8]})"


def holder(cluster: Cluster, environment: str, namespace: str) -> Holder | None:
    """Who changes the release now; None if there is no holder, or it has been silent for too long."""
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
    mine = _Mine(cluster, _acquire(cluster, environment, namespace, wait=wait, say=say))
    mine.start()
    try:
        yield
        if mine.lost:
            raise ReleaseBusy(
                f"Somebody else took over the release of {environment!r} while this command had no answer from the "
                f"cluster; look at `podenv status {environment}`, then run it again."
            )
    finally:
        mine.give_back()


class _Mine(threading.Thread):
    """A lease that this process holds and renews until it gives it back; ``lost`` if another process took it over."""

    def __init__(self, cluster: Cluster, lease: Json) -> None:
        super().__init__(name="podenv-lease", daemon=True)
        self.lost = False
        self._cluster = cluster
        self._lease = lease
        self._path = cluster.path(API, "Lease", lease["metadata"]["namespace"], lease["metadata"]["name"])
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(RENEWAL_SECONDS) and not self.lost:
            with suppress(ReleaseError):  # no answer now; the next one may come in time
                self._renew()

    def _renew(self) -> None:
        renewed = {**self._lease, "spec": {**self._lease["spec"], "renewTime": _time(self._cluster)}}
        try:
            self._lease = self._cluster.replace(self._path, renewed)
        except Conflict:  # also after a renewal whose answer was lost
            found = self._cluster.get(self._path)
            self.lost = found is None or found["spec"].get("holderIdentity") != self._lease["spec"]["holderIdentity"]
            self._lease = found or self._lease

    def give_back(self) -> None:
        self._done.set()
        self.join()
        if not self.lost:
            with suppress(ReleaseError):  # it ends by itself
                self._cluster.delete(self._path, version=self._lease["metadata"]["resourceVersion"])


def _acquire(cluster: Cluster, environment: str, namespace: str, *, wait: float, say: Callable[[str], None]) -> Json:
    deadline = time.monotonic() + wait
    while isinstance(answer := _take(cluster, environment, namespace), Holder):
        if time.monotonic() >= deadline or process.interrupted.is_set():
            raise ReleaseBusy(
                f"Environment {environment!r} is being changed by {answer.who} since {answer.since}; "
                "wait until that is done, and run the command again."
            )
        say(f"waits for {answer.who}")
        process.interrupted.wait(_LOOK_SECONDS)
    return answer


def _take(cluster: Cluster, environment: str, namespace: str) -> Json | Holder:
    """The lease, which this process now holds, or the holder."""
    path = _path(cluster, environment, namespace)
    mine = _lease(cluster, environment, namespace)
    while True:
        with suppress(Conflict):  # most often there is none
            return cluster.create(path.rpartition("/")[0], mine)
        lease = cluster.get(path)
        if lease is None:
            continue
        if (lease["metadata"].get("labels") or {}).get(names.ENVIRONMENT_LABEL) != environment:
            raise Conflict(
                f"Lease {lease['metadata']['name']!r} in namespace {namespace!r} is not podenv's, and podenv needs "
                f"that name to change environment {environment!r}; give the environment a namespace of its own."
            )
        other = _live(cluster, lease)
        if other is not None:
            return other
        with suppress(Conflict):  # another process was faster: ask again who
            return cluster.replace(path, {**mine, "metadata": lease["metadata"]})


def _live(cluster: Cluster, lease: Json) -> Holder | None:
    spec = lease.get("spec") or {}
    who, renewed = spec.get("holderIdentity"), spec.get("renewTime")
    if not who or not renewed:
        return None
    silent = cluster.now() - datetime.fromisoformat(renewed).timestamp()
    if (
        silent > (spec.get("leaseDurationSeconds") or SILENCE_SECONDS) + 1
    ):  # the server's clock is read in whole seconds
        return None
    since = datetime.fromisoformat(spec.get("acquireTime") or renewed)
    return Holder(who.rpartition(" (")[0] or who, f"{since:%H:%M:%S} UTC")


def _lease(cluster: Cluster, environment: str, namespace: str) -> Json:
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
            "holderIdentity": identity(), "leaseDurationSeconds": SILENCE_SECONDS, "acquireTime": now, "renewTime": now,
        },
    }  # fmt: skip


def _time(cluster: Cluster) -> str:
    return datetime.fromtimestamp(cluster.now(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _path(cluster: Cluster, environment: str, namespace: str) -> str:
    return cluster.path(API, "Lease", namespace, names.part(environment, "deploy"))
