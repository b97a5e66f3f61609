"""One environment, one Helm release: what it should be, and making it so."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from podenv import image
from podenv.catalogue import names
from podenv.catalogue.environment import Environment
from podenv.catalogue.reference import ImageRef
from podenv.errors import ImageMissing, ReleaseError, ReleaseMissing, ReleaseTestFailed
from podenv.image.build import Images
from podenv.release import lease, manifest, masking, nodes, order, records, state
from podenv.release.cluster import Cluster, Json
from podenv.release.order import Order
from podenv.release.records import Record
from podenv.release.rollout import Rollout, namespace_path
from podenv.release.state import State

if TYPE_CHECKING:
    from podenv.release.helm import Helm

Say = Callable[[str], None]
Action = Literal["installed", "upgraded", "repaired", "unchanged"]
TIMEOUT = 600.0  # seconds for nodes to pull the image, where pre-pull is on
PATIENCE = 60.0  # seconds to wait for somebody else who changes the same release


def _silent(text: str) -> None:
    """Where nobody looks on."""


@dataclass(frozen=True)
class Deployed:
    """What became of one environment; ``revision`` is 0 where there is none yet (a dry run)."""

    environment: str
    namespace: str
    action: Action
    revision: int
    digest: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Target:
    """Which cluster; where None, what the kubeconfig in force says. ``prefix`` is how namespaces begin."""

    kubeconfig: Path | None = None
    context: str | None = None
    prefix: str = names.NAMESPACE_PREFIX


@dataclass
class Releases:
    """The releases of environments in one cluster; threads can share it."""

    target: Target = field(default_factory=Target)
    images: Images = field(default_factory=Images)
    chart: Path = field(default_factory=order.chart)

    @cached_property
    def cluster(self) -> Cluster:
        """The API server; raises `NoCluster`."""
        return Cluster(self.target.kubeconfig, self.target.context)

    def wanted(self, environment: Environment) -> Order:
        """What the release should be now.

        Raises `LockError` where the lock is not fresh, `RegistryError`, `ImageMissing` where the image is not built.
        """
        digest = self.images.digest(environment)
        ref = image.wanted(environment)
        if digest is None:
            raise ImageMissing(f"{ref} is not in its registry; run `podenv build {environment.name} --push`.")
        return self.with_image(environment, ref.at(digest), lock_hash=order.lock_in(environment))

    def with_image(self, environment: Environment, ref: ImageRef, *, lock_hash: str = "") -> Order:
        """The same for an image whose digest is known."""
        made = order.release_values(environment, ref, lock_hash=lock_hash)
        return Order(environment.name, order.place(environment, self.target.prefix), self.chart, made)

    def places(self, environments: Sequence[Environment]) -> dict[str, str]:
        """Name -> namespace."""
        return {one.name: order.place(one, self.target.prefix) for one in environments}

    def survey(self, places: Mapping[str, str]) -> dict[str, State]:
        """How the releases are now; see `state.survey`."""
        return state.survey(self.cluster, dict(places))

    def program(self, name: str, namespace: str, given: Json | None = None) -> Helm:
        """Helm for one release; raises `ProgramNotFound`, `HelmUnsupported`."""
        from podenv.release.helm import Helm  # pyhelm3 takes 0.2 s to import, and often nothing is to be done

        return Helm(
            name,
            namespace,
            kubeconfig=self.target.kubeconfig,
            context=self.target.context,
            secrets=masking.secrets(given or {}),
        )

    def deploy(
        self,
        wanted: Order,
        known: State,
        *,
        timeout: float = TIMEOUT,
        wait: float = PATIENCE,
        say: Say = _silent,
    ) -> Deployed:
        """Make the release what it should be; where that fails it is as before.

        ``known`` is its state as surveyed; nothing is done when it is settled. ``timeout`` is for nodes that pull the
        image, ``wait`` for somebody else who changes the release, both in seconds. Raises `ReleaseError`.
        """
        if known.is_settled(wanted.inputs):
            return _unchanged(wanted, known)
        rollout = Rollout(self.cluster, wanted, self.program, say)
        warnings = rollout.ensure_namespace()
        with lease.held(self.cluster, wanted.name, wanted.namespace, wait=wait, say=say):
            known = rollout.settle(known)
            if known.is_settled(wanted.inputs):  # somebody else did it while this one waited
                return _unchanged(wanted, known)
            revision, more = rollout.run(known, timeout=timeout)
        return Deployed(
            wanted.name, wanted.namespace, _action(wanted, known), revision, wanted.digest, (*warnings, *more)
        )

    def preview(self, wanted: Order, known: State) -> Deployed:
        """What `deploy` would do; the API server judges it, and nothing changes. Raises `ReleaseError`."""
        if known.is_settled(wanted.inputs):
            return _unchanged(wanted, known)
        program = self.program(wanted.name, wanted.namespace, wanted.values)
        self.rendered(wanted, known, program=program)
        revision = known.latest.revision if known.latest else 0
        return Deployed(
            wanted.name, wanted.namespace, _action(wanted, known), revision, wanted.digest, tuple(program.warnings)
        )

    def rendered(self, wanted: Order, known: State, *, program: Helm | None = None) -> list[Json]:
        """The objects that a deploy would send; from a dry run on the server, where there is the namespace."""
        program = program or self.program(wanted.name, wanted.namespace, wanted.values)
        if known.pending or self.cluster.get(namespace_path(wanted.namespace)) is None:
            return manifest.parse(asyncio.run(program.render(wanted.chart, wanted.values)))
        made = asyncio.run(program.preview(wanted.chart, wanted.values))
        return manifest.parse(made["manifest"])

    def template(self, wanted: Order) -> str:
        """The manifests as YAML, rendered without a cluster."""
        program = self.program(wanted.name, wanted.namespace, wanted.values)
        return asyncio.run(program.render(wanted.chart, wanted.values))

    def rollback(
        self, name: str, namespace: str, revision: int | None, *, timeout: float = TIMEOUT, say: Say = _silent
    ) -> Record:
        """Re-apply the objects of an earlier revision, the last good one where None; returns the record it made.

        It is as before where nodes cannot pull that revision's image. Raises `ReleaseMissing`, `ReleaseBusy`,
        `ReleaseError`.
        """
        if not self.history(name, namespace):
            raise _missing(name, namespace)
        with lease.held(self.cluster, name, namespace, wait=PATIENCE, say=say):
            past = self.history(name, namespace)
            good = _earlier(name, past, revision)
            say(f"goes back to revision {good.revision}")
            program = self.program(name, namespace)
            asyncio.run(program.back(good.revision))
            if any(item["kind"] == "DaemonSet" for item in good.objects):
                try:
                    nodes.wait(self.cluster, name, namespace, good.digest, timeout=timeout, say=say)
                except ReleaseError:
                    say("puts the release back")
                    asyncio.run(program.back(past[0].revision))
                    raise
        return self.history(name, namespace)[0]

    def history(self, name: str, namespace: str) -> list[Record]:
        """The revisions that Helm remembers, newest first; empty without a release."""
        return records.read(self.cluster, {name: namespace}, history=True)[name]

    def uninstall(self, name: str, namespace: str, *, say: Say = _silent) -> None:
        """Remove the release, its objects and its test pod; the namespace stays. Raises `ReleaseError`."""
        if not self.history(name, namespace):
            raise _missing(name, namespace)
        with lease.held(self.cluster, name, namespace, wait=PATIENCE, say=say):
            asyncio.run(self.program(name, namespace).remove())
            self.cluster.delete(self._test_pod(name, namespace))  # to Helm a hook's objects are nobody's

    def test(self, name: str, namespace: str, *, timeout: float = TIMEOUT) -> str:
        """Run the release's test pod; what it printed. Raises `ReleaseTestFailed` with that, `ReleaseMissing`."""
        try:
            asyncio.run(self.program(name, namespace).test(timeout))
        except ReleaseTestFailed as error:
            error.log = self._test_log(name, namespace)
            raise
        return self._test_log(name, namespace)

    def _test_log(self, name: str, namespace: str) -> str:
        """What the test pod printed; where it could not even start, why."""
        pod = self._test_pod(name, namespace)
        if log := self.cluster.text(f"{pod}/log"):
            return log
        status = (self.cluster.get(pod) or {}).get("status") or {}
        ended = [one["state"].get("terminated") or {} for one in status.get("containerStatuses") or ()]
        return "\n".join(one["message"] for one in ended if one.get("message"))

    def _test_pod(self, name: str, namespace: str) -> str:
        return self.cluster.path("v1", "Pod", namespace, names.part(name, "test"))


def _action(wanted: Order, known: State) -> Action:
    if known.deployed is None:
        return "installed"
    return "repaired" if known.deployed.inputs == wanted.inputs else "upgraded"


def _unchanged(wanted: Order, known: State) -> Deployed:
    revision = known.deployed.revision if known.deployed else 0
    return Deployed(wanted.name, wanted.namespace, "unchanged", revision, wanted.digest)


def _earlier(name: str, past: list[Record], revision: int | None) -> Record:
    """The record to go back to."""
    if revision is not None:
        found = next((one for one in past if one.revision == revision), None)
        if found is None:
            known = ", ".join(str(one.revision) for one in past)
            raise ReleaseMissing(f"Environment {name!r} has no revision {revision}; it has {known}.")
        return found
    # After a rollback, what came after its goal was left for a reason.
    back = re.fullmatch(r"Rollback to (\d+)", past[0].description)
    before = int(back[1]) if back else past[0].revision
    good = [one for one in past if one.revision < before and one.status == "superseded"]
    if not good:
        raise ReleaseMissing(
            f"Environment {name!r} has no earlier revision that was deployed; `podenv history {name}` shows all."
        )
    return good[0]


def _missing(name: str, namespace: str) -> ReleaseMissing:
    return ReleaseMissing(
        f"Environment {name!r} has no release in namespace {namespace!r}; `podenv deploy {name}` makes it."
    )
