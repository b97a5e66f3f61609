"""The status of environments: the cluster beside the repository."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from podenv import lock
from podenv.catalogue import names
from podenv.catalogue.environment import Environment
from podenv.errors import AccessRefused, LockError, PodenvError, ReleaseError
from podenv.pods.pool import is_idle
from podenv.release import Releases, lease, nodes, pool
from podenv.release.applied import Applied
from podenv.release.cluster import Cluster, Json
from podenv.release.clusters import Clusters
from podenv.release.pool import Pool
from podenv.release.records import Record
from podenv.release.spec import lock_of
from podenv.release.state import Drift, State, drift_of

_PARALLEL_LOOKUPS = 8  # environments whose image is asked for
NOT_DEPLOYED = "not deployed"
APPLIED = "applied"
FOREIGN = "foreign"
UNKNOWN = "unknown"
_WORDS = {
    "image": "image: the repository asks for another image than the deployed one",
    "chart": "chart: it is not the deployed one",
}


@dataclass(frozen=True)
class Status:
    """One environment as it is deployed.

    ``state`` is Helm's word, ``not deployed``, ``applied`` (by ``owner``, a GitOps tool or kubectl, without a record of
    Helm's), ``foreign`` (the release is of another chart) or ``unknown`` (``health`` says why the cluster does not tell
    it); ``lock`` is a hash, or ``unknown`` where the release does not record it; ``since`` is when it was deployed;
    ``health`` says what is wrong with it, or ``ok``; ``drift`` says how repository, image, release and cluster differ
    from each other; ``warm`` how many of its idle pods wait, like ``3 of 4``; ``inputs`` the hash of all values that
    the PodTemplate was rendered from; ``cluster`` the kube context, empty for the current one.
    """

    environment: str
    release: str
    namespace: str
    state: str
    revision: int
    digest: str
    lock: str
    since: str
    health: str
    drift: tuple[str, ...]
    warm: str = ""
    owner: str = ""
    inputs: str = ""
    cluster: str = ""


def status(clusters: Clusters, environments: Sequence[Environment]) -> tuple[list[Status], Mapping[str, ReleaseError]]:
    """The status of each environment, and the errors of those whose cluster does not tell it (the only one: raised)."""
    known, errors = clusters.ask(environments, _in_one_cluster)
    rows = []
    for one in environments:
        releases = clusters.of(one)
        if one.name in errors:
            place = releases.places([one])[one.name]
            row = Status(one.name, one.name, place, UNKNOWN, 0, "", "", "", str(errors[one.name]), ())
        else:
            row = known[one.name]
        rows.append(replace(row, cluster=releases.target.context or ""))
    return rows, errors


def _in_one_cluster(releases: Releases, environments: Sequence[Environment]) -> dict[str, Status]:
    places = releases.places(environments)
    states = releases.survey(places)
    pods = _pods(releases.cluster, places)

    def one(environment: Environment) -> Status:
        name = environment.name
        return _status(releases, environment, states[name], pods.get(name, []))

    with ThreadPoolExecutor(_PARALLEL_LOOKUPS, thread_name_prefix="podenv-status") as pool:
        return {row.environment: row for row in pool.map(one, environments)}


def _status(releases: Releases, environment: Environment, known: State, pods: list[Json]) -> Status:
    name, namespace = environment.name, releases.places([environment])[environment.name]
    record = known.deployed or known.latest
    if known.foreign is not None:
        health = f"the release is of chart {known.foreign.chart}; podenv does not touch it"
        return Status(name, name, namespace, FOREIGN, known.foreign.revision, "", "", "", health, ())
    if known.applied is not None:
        return _status_of_applied(releases, environment, known.applied, pods)
    if record is None:
        return Status(name, name, namespace, NOT_DEPLOYED, 0, "", "", "", "-", ())
    newest = known.latest or record
    lock_hash = lock_of(environment)
    drift = (*_repository(releases, environment, record), *map(str, known.drift), *_stale_pods(record.digest, pods))
    keeper = pool.of(live for _, live in known.live)
    idle = pool.look(releases.cluster, keeper, namespace, pods) if keeper else None
    template = next((live for _, live in known.live if live["kind"] == "PodTemplate"), None)
    return Status(
        environment=name,
        release=record.name,
        namespace=namespace,
        state=newest.status,
        revision=record.revision,
        digest=record.digest,
        lock=record.lock or (UNKNOWN if lock_hash else ""),
        since=record.updated,
        health=health_of(releases.cluster, known, newest, idle),
        drift=drift,
        warm=f"{idle.ready} of {idle.wanted}" if idle else "",
        inputs=Applied((template,)).inputs if template else "",
    )


def _status_of_applied(releases: Releases, environment: Environment, found: Applied, pods: list[Json]) -> Status:
    """The status by the objects alone."""
    namespace = releases.places([environment])[environment.name]
    rendered: list[Json] = []
    repository = []
    try:
        spec = releases.spec_of(environment)
        rendered = releases.manifests(spec, releases.cluster.version())
    except PodenvError as error:
        repository.append(f"repository: {error}")
    else:
        if spec.digest != found.digest:
            repository.append(_WORDS["image"])
        if changes := found.changes(rendered):
            repository.append(
                f"objects: not as this repository renders them: {', '.join(one.object for one in changes)}"
            )
    keeper = pool.of(found.live)
    idle = pool.look(releases.cluster, keeper, namespace, pods) if keeper else None
    drift = tuple(drift_of(found, rendered))
    lock_hash = lock_of(environment)
    return Status(
        environment=environment.name,
        release="",
        namespace=namespace,
        state=APPLIED,
        revision=0,
        digest=found.digest,
        lock=found.lock or (UNKNOWN if lock_hash else ""),
        since=found.since,
        health=_health(drift, found.live, idle),
        drift=(*repository, *map(str, drift), *_stale_pods(found.digest, pods)),
        warm=f"{idle.ready} of {idle.wanted}" if idle else "",
        owner=str(found.owner),
        inputs=found.inputs,
    )


def _repository(releases: Releases, environment: Environment, record: Record) -> Iterator[str]:
    """How the release differs from what the repository asks for."""
    try:
        if not environment.spec.image.external:
            lock.check(environment)
    except LockError as error:
        yield f"lock: {error}"
        return
    if record.lock and record.lock != lock_of(environment):
        yield "lock: the deployed image was made from another lock"
    try:
        spec = releases.spec_of(environment)
    except PodenvError as error:
        yield f"image: {error}"
        return
    differences = spec.differences(record)
    yield from (words for one, words in _WORDS.items() if one in differences)
    if keys := [one for one in differences if one not in ("lock", *_WORDS)]:
        yield f"values: not those that are deployed: {', '.join(keys)}"


def _stale_pods(digest: str, pods: list[Json]) -> Iterator[str]:
    """Tasks keep the image that they were started with; that is right, and worth knowing."""
    label = names.digest_label(digest)
    tasks = [pod for pod in pods if not is_idle(pod)]  # idle ones go by themselves
    old = [pod for pod in tasks if pod["metadata"].get("labels", {}).get(names.DIGEST_LABEL, label) != label]
    if old:
        yield f"pods: {len(old)} still {'runs' if len(old) == 1 else 'run'} another image"


def health_of(cluster: Cluster, known: State, newest: Record, idle: Pool | None = None) -> str:
    """What is wrong with a release, ``newest`` being its latest record, or ``ok``."""
    if known.pending:
        other = lease.holder(cluster, newest.name, newest.namespace)
        return f"{other.who} is changing it" if other else "left half-done; the next deploy ends it"
    if known.deployed is None or newest.status == "failed":
        return newest.description or newest.status
    return _health(known.drift, [live for _, live in known.live], idle)


def _health(drift: Sequence[Drift], objects: Sequence[Json], idle: Pool | None) -> str:
    if any(one.what == "is gone" for one in drift):
        return "objects are gone"
    for live in objects:
        if live["kind"] == "DaemonSet":
            warm = nodes.warmth(live)
            if warm.ready < warm.desired:
                return f"image on {warm.ready} of {warm.desired} nodes"
    return f"{idle}: {idle.why}" if idle and idle.why else "ok"


def _pods(cluster: Cluster, places: dict[str, str]) -> dict[str, list[Json]]:
    """The pods of each environment that have not ended, and the idle ones that did."""

    def of(namespace: str = "") -> list[Json]:
        return cluster.list("v1", "Pod", namespace=namespace, labels=names.ENVIRONMENT_LABEL)

    try:
        found = of()
    except AccessRefused:
        found = [pod for namespace in sorted(set(places.values())) for pod in of(namespace)]
    sorted_in: dict[str, list[Json]] = {name: [] for name in places}
    for pod in found:
        name = pod["metadata"]["labels"][names.ENVIRONMENT_LABEL]
        counts = pod.get("status", {}).get("phase") in ("Pending", "Running") or is_idle(pod)
        if counts and places.get(name) == pod["metadata"]["namespace"]:
            sorted_in[name].append(pod)
    return sorted_in
