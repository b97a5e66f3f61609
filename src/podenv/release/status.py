"""What is out there, beside what the repository says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from podenv import lock
from podenv.catalogue import names
from podenv.catalogue.environment import Environment
from podenv.errors import AccessRefused, LockError, PodenvError
from podenv.release import Releases, lease, nodes
from podenv.release.cluster import Cluster, Json
from podenv.release.order import Order, lock_in
from podenv.release.records import Record
from podenv.release.state import State

_AT_ONCE = 8  # environments whose image is asked for
NOT_DEPLOYED = "not deployed"


@dataclass(frozen=True)
class Status:
    """One environment as it is deployed.

    ``state`` is Helm's word, or ``not deployed``; ``since`` is when it was deployed; ``health`` says what is wrong with
    it, or ``ok``; ``drift`` says how repository, image, release and cluster differ from each other.
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


def status(releases: Releases, environments: Sequence[Environment]) -> list[Status]:
    """The status of each environment. Raises `NoCluster`, `AccessRefused`."""
    places = releases.places(environments)
    states = releases.survey(places)
    pods = _pods(releases.cluster, places)

    def one(environment: Environment) -> Status:
        name = environment.name
        return _status(releases, environment, states[name], pods.get(name, []))

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="podenv-status") as pool:
        return list(pool.map(one, environments))


def _status(releases: Releases, environment: Environment, known: State, pods: list[Json]) -> Status:
    namespace = releases.places([environment])[environment.name]
    record = known.deployed or known.latest
    if record is None:
        return Status(environment.name, environment.name, namespace, NOT_DEPLOYED, 0, "", "", "", "-", ())
    newest = known.latest or record
    drift = (*_repository(releases, environment, record), *map(str, known.drift), *_stale_pods(record, pods))
    return Status(
        environment=environment.name,
        release=record.name,
        namespace=namespace,
        state=newest.status,
        revision=record.revision,
        digest=record.digest,
        lock=record.lock,
        since=record.updated,
        health=_health(releases.cluster, known, newest),
        drift=drift,
    )


def _repository(releases: Releases, environment: Environment, record: Record) -> Iterator[str]:
    """How the release differs from what the repository asks for."""
    try:
        if not environment.spec.image.external:
            lock.check(environment)
    except LockError as error:
        yield f"lock: {error}"
        return
    if record.lock != lock_in(environment):
        yield "lock: the image that is deployed was made from another lock"
    try:
        wanted = releases.wanted(environment)
    except PodenvError as error:
        yield f"image: {error}"
        return
    yield from _differences(wanted, record)


def _differences(wanted: Order, record: Record) -> Iterator[str]:
    if wanted.digest != record.digest:
        yield "image: the repository asks for another image than is deployed"
    elif wanted.inputs != record.inputs:
        yield "values: the values or the chart are not those that are deployed"


def _stale_pods(record: Record, pods: list[Json]) -> Iterator[str]:
    """Tasks keep the image that they were started with; that is right, and worth knowing."""
    wanted = names.digest_label(record.digest)
    old = [pod for pod in pods if pod["metadata"].get("labels", {}).get(names.DIGEST_LABEL, wanted) != wanted]
    if old:
        yield f"pods: {len(old)} still {'runs' if len(old) == 1 else 'run'} another image"


def _health(cluster: Cluster, known: State, newest: Record) -> str:
    if known.pending:
        other = lease.holder(cluster, newest.name, newest.namespace)
        return f"{other.who} is at it" if other else "left half-done; the next deploy ends it"
    if known.deployed is None or newest.status == "failed":
        return newest.description or newest.status
    if any(one.what == "is gone" for one in known.drift):
        return "objects are gone"
    for _, live in known.live:
        if live["kind"] == "DaemonSet":
            warm = nodes.warmth(live)
            if warm.ready < warm.wanted:
                return f"image on {warm.ready} of {warm.wanted} nodes"
    return "ok"


def _pods(cluster: Cluster, places: dict[str, str]) -> dict[str, list[Json]]:
    """The pods of each environment that have not ended."""

    def of(namespace: str = "") -> list[Json]:
        return cluster.list("v1", "Pod", namespace=namespace, labels=names.ENVIRONMENT_LABEL)

    try:
        found = of()
    except AccessRefused:
        found = [pod for namespace in sorted(set(places.values())) for pod in of(namespace)]
    sorted_in: dict[str, list[Json]] = {name: [] for name in places}
    for pod in found:
        name = pod["metadata"]["labels"][names.ENVIRONMENT_LABEL]
        alive = pod.get("status", {}).get("phase") in ("Pending", "Running")
        if alive and places.get(name) == pod["metadata"]["namespace"]:
            sorted_in[name].append(pod)
    return sorted_in
