"""One deploy of one environment, from what is there to what is wanted, and back where that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from podenv import process
from podenv.errors import Conflict, NoCluster, ReleaseBusy, ReleaseError
from podenv.release import manifest, nodes, records, state
from podenv.release.cluster import JSON_PATCH, Cluster, Json
from podenv.release.order import Order
from podenv.release.records import Record
from podenv.release.state import State

if TYPE_CHECKING:
    from podenv.release.helm import Helm

_POD_SECURITY = "pod-security.kubernetes.io"


class Rollout:
    """What `Releases.deploy` does for one environment; ``program`` gives Helm for a release, namespace and values."""

    def __init__(
        self,
        cluster: Cluster,
        wanted: Order,
        program: Callable[[str, str, Json | None], Helm],
        say: Callable[[str], None],
    ) -> None:
        self._cluster = cluster
        self._wanted = wanted
        self._program = program
        self._say = say

    def ensure_namespace(self) -> list[str]:
        """Make the namespace, with Pod Security; a warning where there is one without."""
        namespace = self._wanted.namespace
        found = self._cluster.get(namespace_path(namespace))
        if found is None:
            labels = {f"{_POD_SECURITY}/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
            body = {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": namespace, "labels": {**labels, "app.kubernetes.io/managed-by": "podenv"}},
            }
            with suppress(Conflict):  # another environment's deploy made it
                self._cluster.create("/api/v1/namespaces", body)
            return []
        if found["metadata"].get("deletionTimestamp"):
            raise ReleaseError(f"Namespace {namespace!r} is being deleted; wait until it is gone, then deploy again.")
        if f"{_POD_SECURITY}/enforce" in (found["metadata"].get("labels") or {}):
            return []
        return [
            f"namespace {namespace!r} has no Pod Security label: any pod may run there. Set it: "
            f"kubectl label namespace {namespace} {_POD_SECURITY}/enforce=restricted"
        ]

    def settle(self, known: State) -> State:
        """The state now that the lease is held; what somebody left half-done is ended first."""
        newest = self._newest()
        if newest is not None and newest.status in records.PENDING:
            self._say(f"ends what was left {newest.status}")
            self._recover(newest)
        elif (newest and newest.revision) == (known.latest and known.latest.revision):
            return known
        return state.survey(self._cluster, {self._wanted.name: self._wanted.namespace})[self._wanted.name]

    def run(self, known: State, *, timeout: float) -> tuple[int, list[str]]:
        """Make the release what it should be; its revision, and what the API server warned of."""
        wanted = self._wanted
        self._undo_additions(known)
        program = self._program(wanted.name, wanted.namespace, wanted.values)
        self._say("upgrades" if known.deployed else "installs")
        with self._as_before(known):
            made = asyncio.run(program.upgrade(wanted.chart, wanted.values, inputs=wanted.inputs))
            if wanted.warms:
                nodes.wait(self._cluster, wanted.name, wanted.namespace, wanted.digest, timeout=timeout, say=self._say)
        return int(made["version"]), program.warnings

    def _newest(self) -> Record | None:
        name = self._wanted.name
        return next(iter(records.read(self._cluster, {name: self._wanted.namespace})[name]), None)

    def _helm(self) -> Helm:
        return self._program(self._wanted.name, self._wanted.namespace, None)

    @contextmanager
    def _as_before(self, known: State) -> Iterator[None]:
        """Put the release back where what is done fails; an interruption leaves that to the next deploy."""
        try:
            yield
        except ReleaseError as error:
            if process.interrupted.is_set():
                raise
            self._say("puts the release back")
            try:
                self._put_back(known)
            except ReleaseError as second:
                kind = NoCluster if isinstance(second, NoCluster) else type(error)
                raise kind(f"{error} It could not be put back ({second}); the next deploy tries again.") from None
            raise

    def _put_back(self, known: State) -> None:
        newest = self._newest()
        if newest is None or (known.latest and newest.revision == known.latest.revision):
            return  # Helm refused before it began
        helm = self._helm()
        asyncio.run(helm.back(known.deployed.revision) if known.deployed else helm.remove())

    def _recover(self, newest: Record) -> None:
        """Make a release usable that a killed deploy left behind; nobody else holds its lease."""
        name, namespace = self._wanted.name, self._wanted.namespace
        if not newest.inputs:
            raise ReleaseBusy(
                f"Release {name!r} in namespace {namespace!r} is {newest.status} since {newest.updated} by something "
                "other than podenv; wait until that is done, or end it with `helm rollback` or `helm uninstall`."
            )
        past = records.read(self._cluster, {name: namespace}, history=True)[name]
        good = [one for one in past if one.status in ("deployed", "superseded")]
        helm = self._helm()
        if newest.status == "uninstalling" or not good:
            asyncio.run(helm.remove())
        else:
            asyncio.run(helm.back(good[0].revision))

    def _undo_additions(self, known: State) -> None:
        """Remove what people added to the objects: Helm leaves fields alone that it does not render."""
        for rendered, live in known.live:
            paths = manifest.additions(rendered, live)
            if paths:
                meta = live["metadata"]
                path = self._cluster.path(
                    rendered["apiVersion"], rendered["kind"], meta.get("namespace", ""), meta["name"]
                )
                guard = {"op": "replace", "path": "/metadata/resourceVersion", "value": meta["resourceVersion"]}
                with suppress(Conflict):
                    self._cluster.patch(path, [guard, *manifest.removal(paths)], kind=JSON_PATCH)


def namespace_path(namespace: str) -> str:
    """Where a namespace is."""
    return f"/api/v1/namespaces/{namespace}"
