"""One environment, one Helm release: from a spec to a release, and what can be done with it then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from podenv import image
from podenv.catalogue import names
from podenv.catalogue.environment import Environment
from podenv.catalogue.reference import ImageRef
from podenv.catalogue.values import dump
from podenv.errors import AccessRefused, Conflict, ImageMissing, ReleaseBusy, ReleaseError, ReleaseTestFailed
from podenv.image.build import Images
from podenv.release import claim, lease, manifest, masking, nodes, pool, records, rollback, spec, state
from podenv.release.chart import folder as chart_folder
from podenv.release.cluster import Cluster, Json
from podenv.release.pool import Pool
from podenv.release.records import Record
from podenv.release.rollback import RollbackPlan
from podenv.release.rollout import Rollout, namespace_object, namespace_path
from podenv.release.spec import ReleaseSpec
from podenv.release.state import Drift, State

if TYPE_CHECKING:
    from podenv.release.helm import Helm

Say = Callable[[str], None]
Action = Literal["installed", "upgraded", "repaired", "unchanged"]
PULL_SECONDS = 600.0  # for nodes to pull the image, where pre-pull is on
RELEASE_BUSY_SECONDS = 60.0  # to wait while another podenv changes the same release
_MANAGED_BY = "app.kubernetes.io/managed-by"


def _silent(text: str) -> None:
    """For callers that do not watch."""


@dataclass(frozen=True)
class DeployResult:
    """What a deploy did to one environment; ``revision`` is 0 if there is none yet (a dry run).

    ``taken_back`` are changes of others that it has undone (or would undo), ``left`` those that it has not touched.
    """

    environment: str
    namespace: str
    action: Action
    revision: int
    digest: str
    warnings: tuple[str, ...] = ()
    taken_back: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


@dataclass(frozen=True)
class Target:
    """Which cluster; where None, the one of the kubeconfig in force. ``prefix`` is how namespaces begin."""

    kubeconfig: Path | None = None
    context: str | None = None
    prefix: str = names.NAMESPACE_PREFIX


@dataclass
class Releases:
    """The releases of environments in one cluster; threads can share it."""

    target: Target = field(default_factory=Target)
    images: Images = field(default_factory=Images)
    chart: Path = field(default_factory=chart_folder)

    @cached_property
    def cluster(self) -> Cluster:
        """The API server; raises `NoCluster`."""
        return Cluster(self.target.kubeconfig, self.target.context)

    def spec_of(self, environment: Environment) -> ReleaseSpec:
        """What the environment's release is made from, as the repository is now.

        Raises `LockError` where the lock is not fresh, `RegistryError`, `ImageMissing` where the image is not built.
        """
        digest = self.images.digest(environment)
        ref = image.wanted(environment)
        if digest is None:
            raise ImageMissing(f"{ref} is not in its registry; run `podenv build {environment.name} --push`.")
        return self.spec_with_image(environment, ref.at(digest), lock_hash=spec.lock_of(environment))

    def spec_with_image(self, environment: Environment, ref: ImageRef, *, lock_hash: str = "") -> ReleaseSpec:
        """The same for an image whose digest is known."""
        merged = spec.release_values(environment, ref, lock_hash=lock_hash)
        return ReleaseSpec(environment.name, environment.namespace(self.target.prefix), self.chart, merged)

    def places(self, environments: Sequence[Environment]) -> dict[str, str]:
        """Name -> namespace."""
        return {one.name: one.namespace(self.target.prefix) for one in environments}

    def survey(self, places: Mapping[str, str]) -> dict[str, State]:
        """The state of the releases; see `state.survey`."""
        return state.survey(self.cluster, dict(places))

    def program(self, name: str, namespace: str, values: Json | None = None) -> Helm:
        """Helm for one release; raises `ProgramNotFound`, `HelmUnsupported`."""
        from podenv.release.helm import Helm  # pyhelm3 takes 0.2 s to import, and often nothing is to be done

        return Helm(
            name,
            namespace,
            kubeconfig=self.target.kubeconfig,
            context=self.target.context,
            secrets=masking.secrets(values or {}),
        )

    def deploy(
        self,
        spec: ReleaseSpec,
        known: State,
        *,
        repair: bool = False,
        timeout: float = PULL_SECONDS,
        wait: float = RELEASE_BUSY_SECONDS,
        say: Say = _silent,
    ) -> DeployResult:
        """Make the release from its spec; where that fails it is as before.

        ``known`` is its state as surveyed; nothing is done when it is settled. With ``repair``, fields that others
        changed, or added by hand, are taken back, as far as ``known`` names them. ``timeout`` is for nodes that pull
        the image, ``wait`` for somebody else who changes the release, both in seconds.

        Raises `ReleaseError`, `ReleaseForeign` where the release is of another chart.
        """
        _check_ours(spec, known)
        if known.is_settled(spec, repair=repair):
            return _unchanged(spec, known)
        rollout = Rollout(self.cluster, spec, self.program, say)
        warnings = rollout.ensure_namespace()
        with lease.held(self.cluster, spec.name, spec.namespace, wait=wait, say=say):
            additions = known.drift if repair else ()
            known = rollout.settle(known)
            _check_ours(spec, known)
            if known.is_settled(spec, repair=repair):  # somebody else did it while this one waited
                return _unchanged(spec, known)
            revision, more = rollout.run(known, timeout=timeout, repair=additions)
        return _result(spec, known, revision, warnings=(*warnings, *more), repair=repair)

    def preview(self, spec: ReleaseSpec, known: State, *, repair: bool = False) -> DeployResult:
        """What `deploy` would do; the API server checks it, and nothing changes. Raises `ReleaseError`."""
        _check_ours(spec, known)
        if known.is_settled(spec, repair=repair):
            return _unchanged(spec, known)
        program = self.program(spec.name, spec.namespace, spec.values)
        self.rendered(spec, known, program=program)
        revision = known.latest.revision if known.latest else 0
        return _result(spec, known, revision, warnings=tuple(program.warnings), repair=repair)

    def rendered(self, spec: ReleaseSpec, known: State, *, program: Helm | None = None) -> list[Json]:
        """The objects that a deploy would send; from a dry run on the server, where there is or may be a release."""
        if known.foreign is not None:
            claim.check_chart(known.foreign)
        if known.applied is not None:
            return self.manifests(spec, self.cluster.version())
        program = program or self.program(spec.name, spec.namespace, spec.values)
        if known.pending or self.cluster.get(namespace_path(spec.namespace)) is None:
            return manifest.parse(asyncio.run(program.render(spec.chart, spec.values, self.cluster.version())))
        answer = asyncio.run(program.preview(spec.chart, spec.values))
        return manifest.parse(answer["manifest"])

    def manifests(self, spec: ReleaseSpec, kubernetes: str = "") -> list[Json]:
        """The objects for a tool other than Helm; rendered without a cluster, for a version of Kubernetes.

        Hooks, which only Helm runs, are left out, and so is the label that says that Helm manages the object.
        """
        program = self.program(spec.name, spec.namespace, spec.values)
        items = manifest.parse(asyncio.run(program.render(spec.chart, spec.values, kubernetes)))
        return [manifest.without_label(item, _MANAGED_BY, "Helm") for item in items]

    def template(self, environment: Environment, spec: ReleaseSpec, *, kubernetes: str = "") -> str:
        """The manifests as YAML. A namespace of the environment's own is the first of them."""
        items = self.manifests(spec, kubernetes)
        if environment.spec.namespace is None:
            items.insert(0, namespace_object(spec.namespace))
        return "".join(f"---\n{dump(item)}" for item in items)

    def rollback_plan(self, name: str, namespace: str, revision: int | None) -> RollbackPlan:
        """What going back to a revision (the last good one where None) would change. Raises `ReleaseMissing`."""
        return rollback.plan(self.own_history(name, namespace), revision)

    def rollback(
        self,
        plan: RollbackPlan,
        *,
        timeout: float = PULL_SECONDS,
        wait: float = RELEASE_BUSY_SECONDS,
        say: Say = _silent,
    ) -> Record:
        """Re-apply the objects of the plan's goal; returns the record that this makes.

        It is as before where nodes cannot pull that revision's image. Raises `ReleaseBusy`, also where the release was
        changed since the plan was made, and `ReleaseError`.
        """
        name, namespace, goal = plan.goal.name, plan.goal.namespace, plan.goal
        with lease.held(self.cluster, name, namespace, wait=wait, say=say):
            newest = self.own_history(name, namespace)[0]
            if newest.revision != plan.newest:
                raise ReleaseBusy(
                    f"Environment {name!r} was changed in the meantime, to revision {newest.revision}; look at `podenv "
                    f"history {name}`, then run the command again."
                )
            say(f"goes back to revision {goal.revision}")
            program = self.program(name, namespace)
            asyncio.run(program.back(goal.revision))
            if any(item["kind"] == "DaemonSet" for item in goal.objects):
                try:
                    nodes.wait(self.cluster, name, namespace, goal.digest, timeout=timeout, say=say)
                except ReleaseError:
                    say("puts the release back")
                    asyncio.run(program.back(newest.revision))
                    raise
        return self.history(name, namespace)[0]

    def history(self, name: str, namespace: str) -> list[Record]:
        """The revisions that Helm remembers, newest first; empty without a release."""
        return records.read(self.cluster, {name: namespace}, history=True)[name]

    def own_history(self, name: str, namespace: str) -> list[Record]:
        """The same; raises `ReleaseMissing` without a release, `ReleaseForeign` for one of another chart."""
        past = self.history(name, namespace)
        if not past:
            raise claim.missing(self.cluster, name, namespace)
        claim.check_chart(past[0])
        return past

    def idle_pods(
        self, name: str, namespace: str, idle: int | None = None, *, say: Say = _silent
    ) -> tuple[Pool, int | None]:
        """The idle pods of an environment, and how many its release asks for (None: it leaves that to others).

        Where ``idle`` is given there are so many first, or soon; that holds until the next deploy, unless the release
        leaves the number to others. Raises `ReleaseMissing` without a release, or without idle pods.
        """
        if idle is None:
            rendered, keeper = pool.keeper(self.cluster, self.own_history(name, namespace))
            found = pool.look(self.cluster, keeper, namespace, pool.pods(self.cluster, keeper, namespace))
            return found, pool.number(rendered)
        self.own_history(name, namespace)
        with lease.held(self.cluster, name, namespace, wait=RELEASE_BUSY_SECONDS, say=say):
            rendered, keeper = pool.keeper(self.cluster, self.own_history(name, namespace))
            keeper = pool.set_number(self.cluster, keeper, namespace, idle)
        found = pool.wait(self.cluster, keeper, namespace, timeout=pool.FILL_SECONDS, say=say)
        return found, pool.number(rendered)

    def uninstall(self, name: str, namespace: str, *, say: Say = _silent) -> None:
        """Remove the release, its objects and its test pod; the namespace stays. Raises `ReleaseError`."""
        self.own_history(name, namespace)
        with lease.held(self.cluster, name, namespace, wait=RELEASE_BUSY_SECONDS, say=say):
            self.own_history(name, namespace)
            asyncio.run(self.program(name, namespace).remove())
            pod = self._test_pod(name, namespace)
            if _is_test_of(name, self.cluster.get(pod)):
                self.cluster.delete(pod)  # Helm leaves the objects of hooks

    def test(self, name: str, namespace: str, *, timeout: float = PULL_SECONDS, say: Say = _silent) -> str:
        """Run the release's test pod; returns its log, and the pod is gone, where this user may delete pods.

        A pod that failed stays to be looked at, until the next test. Raises `ReleaseTestFailed` with the log,
        `ReleaseMissing`.
        """
        self.own_history(name, namespace)
        found = self.cluster.get(self._test_pod(name, namespace))
        if found is not None and not _is_test_of(name, found):
            raise Conflict(
                f"Pod {names.part(name, 'test')!r} in namespace {namespace!r} is not the test of environment {name!r}, "
                "which would replace it; remove or rename that pod, then run the test again."
            )
        try:
            asyncio.run(self.program(name, namespace).test(timeout))
        except ReleaseTestFailed as error:
            error.log = self._test_log(name, namespace)
            raise
        log = self._test_log(name, namespace)
        try:
            self.cluster.delete(self._test_pod(name, namespace))
        except AccessRefused as error:
            say(f"pod {names.part(name, 'test')!r} in namespace {namespace!r} stays. {error}")
        return log

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


def _check_ours(spec: ReleaseSpec, known: State) -> None:
    if known.foreign is not None:
        claim.check_chart(known.foreign)
    claim.check_unapplied(known.applied, spec.name, spec.namespace)


def _is_test_of(name: str, pod: Json | None) -> bool:
    labels = (pod or {}).get("metadata", {}).get("labels") or {}
    return names.selector(name, "test").items() <= labels.items()


def _result(spec: ReleaseSpec, known: State, revision: int, *, warnings: Sequence[str], repair: bool) -> DeployResult:
    """What a deploy did that began at the state ``known``. Every field that the release renders was set again."""
    action: Action = "upgraded"
    if known.deployed is None:
        action = "installed"
    elif not spec.differences(known.deployed):
        action = "repaired"
    taken_back = [one for one in known.drift if repair or one.what != "was added to"]
    return DeployResult(
        spec.name,
        spec.namespace,
        action,
        revision,
        spec.digest,
        tuple(warnings),
        taken_back=_texts(taken_back),
        left=_texts(one for one in known.drift if one not in taken_back),
    )


def _unchanged(spec: ReleaseSpec, known: State) -> DeployResult:
    revision = known.deployed.revision if known.deployed else 0
    return DeployResult(spec.name, spec.namespace, "unchanged", revision, spec.digest, left=_texts(known.drift))


def _texts(drift: Iterable[Drift]) -> tuple[str, ...]:
    return tuple(map(str, drift))
