"""One deploy of one environment: from the release as it is to its spec, and back where that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from podenv import process
from podenv.errors import Conflict, NoCluster, ReleaseBusy, ReleaseError
from podenv.release import claim, manifest, nodes, ownership, pool, records, state
from podenv.release.cluster import JSON_PATCH, Cluster, Json
from podenv.release.records import Record
from podenv.release.spec import ReleaseSpec
from podenv.release.state import Drift, State

if TYPE_CHECKING:
    from podenv.release.helm import Helm

_POD_SECURITY = "pod-security.kubernetes.io"


class Rollout:
    """What `Releases.deploy` does for one environment; ``program`` gives Helm for a release, namespace and values."""

    def __init__(
        self,
        cluster: Cluster,
        spec: ReleaseSpec,
        program: Callable[[str, str, Json | None], Helm],
        say: Callable[[str], None],
    ) -> None:
        self._cluster = cluster
        self._spec = spec
        self._program = program
        self._say = say

    def ensure_namespace(self) -> list[str]:
        """Make the namespace, with Pod Security labels; a warning if it exists without them."""
        namespace = self._spec.namespace
        found = self._cluster.get(namespace_path(namespace))
        if found is None:
            body = namespace_object(namespace, {"app.kubernetes.io/managed-by": "podenv"})
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
        """The state now that the lease is held; a change that podenv left half-done is ended first."""
        newest = self._newest()
        if newest is not None and newest.status in records.PENDING:
            claim.check_chart(newest)
            self._say(f"ends a change that was left {newest.status}")
            self._recover(newest)
        elif (newest and newest.revision) == (known.latest and known.latest.revision):
            return known
        return state.survey(self._cluster, {self._spec.name: self._spec.namespace})[self._spec.name]

    def run(self, known: State, *, timeout: float, repair: tuple[Drift, ...]) -> tuple[int, list[str]]:
        """Make the release from its spec; its revision, and the API server's warnings.

        ``repair`` are the additions of others that may be removed.
        """
        spec = self._spec
        self._remove_additions(known, repair)
        program = self._program(spec.name, spec.namespace, spec.values)
        self._say("upgrades" if known.deployed else "installs")
        revision = 1 + (known.latest.revision if known.latest else 0)
        with self._as_before(known):
            answer = asyncio.run(program.upgrade(spec.chart, spec.values, revision=revision))
            if spec.pulls_first:
                nodes.wait(self._cluster, spec.name, spec.namespace, spec.digest, timeout=timeout, say=self._say)
        return int(answer["version"]), [*program.warnings, *self._idle_pods(manifest.parse(answer["manifest"]))]

    def _idle_pods(self, objects: list[Json]) -> Iterator[str]:
        """What is wrong with the idle pods. A deploy does not fail for that: tasks start cold."""
        keeper = pool.of(objects)
        if keeper is None:
            return
        cluster, namespace = self._cluster, self._spec.namespace
        try:
            keeper = cluster.get(pool.path(cluster, keeper, namespace)) or keeper
            found = pool.wait(cluster, keeper, namespace, timeout=pool.FILL_SECONDS, say=self._say)
            if found.is_futile and found.failed:  # more and more of them: a Deployment starts the next one at once
                pool.set_number(cluster, keeper, namespace, 0)
                yield f"idle pods end at once ({found.why}), so there are none until the next deploy; tasks start cold"
            elif found.is_futile:
                yield f"idle pods end at once ({found.why}); until that is mended, tasks start cold"
            elif found.ready < found.wanted:
                why = found.why or "they are still being started"
                yield f"{found} after {pool.FILL_SECONDS:g} s ({why}); until they wait, tasks start cold"
        except ReleaseError as error:
            yield f"the idle pods could not be looked at: {error}"

    def _newest(self) -> Record | None:
        name = self._spec.name
        return next(iter(records.read(self._cluster, {name: self._spec.namespace})[name]), None)

    def _helm(self) -> Helm:
        return self._program(self._spec.name, self._spec.namespace, None)

    @contextmanager
    def _as_before(self, known: State) -> Iterator[None]:
        """Put the release back where the deploy fails; after an interruption, the next deploy does that."""
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
        before = known.latest.revision if known.latest else 0
        if newest is None or newest.revision <= before or newest.mark != newest.revision:
            return  # Helm refused before it began, or something other than podenv has begun a revision
        helm = self._helm()
        asyncio.run(helm.back(known.deployed.revision) if known.deployed else helm.remove())

    def _recover(self, newest: Record) -> None:
        """Make a release usable again that a killed podenv left pending; we hold its lease, so that none is at work."""
        name, namespace = self._spec.name, self._spec.namespace
        if not newest.is_left_by_podenv:
            raise ReleaseBusy(
                f"Release {name!r} in namespace {namespace!r} is {newest.status} since {newest.updated} by something "
                "other than podenv; wait until it is done, or end it with `helm rollback` or `helm uninstall`."
            )
        past = records.read(self._cluster, {name: namespace}, history=True)[name]
        good = [one for one in past if one.status in ("deployed", "superseded")]
        helm = self._helm()
        if newest.status == "uninstalling" or not good:
            asyncio.run(helm.remove())
        else:
            asyncio.run(helm.back(good[0].revision))

    def _remove_additions(self, known: State, repair: tuple[Drift, ...]) -> None:
        """Remove what people added by hand and ``repair`` names; Helm leaves fields that it does not render."""
        named = {(one.object, one.path) for one in repair}
        for rendered, live in known.live:
            paths = [
                one.path
                for one in ownership.additions(rendered, live)
                if (manifest.title(rendered), manifest.dotted(one.path, live)) in named
            ]
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


def namespace_object(namespace: str, labels: dict[str, str] | None = None) -> Json:
    """A namespace under Pod Security "restricted"."""
    levels = {f"{_POD_SECURITY}/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": namespace, "labels": {**levels, **(labels or {})}},
    }
