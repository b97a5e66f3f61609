"""What Helm and the clusters say of environments, asked for after the page is there: one may be slow, or away.

Values of environment variables are never shown; of changed values only the keys are.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from podenv.airflow import compat
from podenv.airflow.cluster import DEFAULT
from podenv.catalogue import values
from podenv.errors import NoCluster, PodenvError
from podenv.plan.lockdiff import PackageChange, between
from podenv.pods.client import plain
from podenv.release import records, state
from podenv.release.cluster import Cluster
from podenv.release.records import Record
from podenv.release.state import State
from podenv.release.status import health_of

FRESH_SECONDS = 30.0
"""For how long an answer counts for all who look."""
WAIT_SECONDS = 10.0
"""For how long a page waits for the slowest cluster."""
_PARALLEL = 8  # questions to clusters
_Places = tuple[tuple[str, str], ...]  # names of environments of one cluster, each with its namespace
_Answer = tuple[float, Any]  # when it came, and a text where the cluster could not be asked


@dataclass(frozen=True)
class Release:
    """One revision; ``image`` is its digest, ``since`` when it was made, both as text, empty where not known."""

    revision: int
    status: str
    image: str
    lock: str
    since: str
    description: str


@dataclass(frozen=True)
class Deployed:
    """How one environment is deployed. ``drift`` says how the cluster differs; ``problem`` that it is not deployed.

    ``unknown`` is why the cluster could not be asked, empty if it could.
    """

    release: Release | None = None
    health: str = ""
    drift: tuple[str, ...] = ()
    problem: str = ""
    unknown: str = ""

    @property
    def words(self) -> str:
        """What is to be seen to; ``ok`` if nothing is."""
        if self.unknown:
            return "not known"
        health = [] if self.health == "ok" else [self.health]
        return self.problem or "; ".join([*health, *self.drift]) or "ok"


@dataclass(frozen=True)
class Change:
    """What the revision ``after`` has that ``before`` has not, and the other way; of values the dotted keys."""

    before: int
    after: int
    packages: Sequence[PackageChange]
    values: Sequence[str]


@dataclass(frozen=True)
class Place:
    """Where an environment is: the Connection to its cluster, empty for the default one, and its namespace."""

    connection: str
    namespace: str


class Releases:
    """The releases of all clusters, each read at most twice a minute; one that does not answer hides no other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(_PARALLEL, thread_name_prefix="podenv-page")
        self._kept: dict[object, Future[_Answer]] = {}

    def survey(self, places: Mapping[str, Place]) -> dict[str, Deployed]:
        """How each environment in ``places`` is deployed; never raises."""
        by_cluster: dict[str, dict[str, str]] = {}
        for name, place in places.items():
            by_cluster.setdefault(place.connection, {})[name] = place.namespace
        asked = {one: self._ask(one, tuple(sorted(some.items())), _survey) for one, some in by_cluster.items()}
        wait(asked.values(), timeout=WAIT_SECONDS)
        found: dict[str, Deployed] = {}
        for connection, some in by_cluster.items():
            answer = _said(asked[connection], connection)
            found |= {name: Deployed(unknown=answer) for name in some} if isinstance(answer, str) else answer
        return found

    def history(self, name: str, place: Place) -> list[Record] | str:
        """All revisions of an environment, the newest first; why they are not known as text; never raises."""
        asked = self._ask(place.connection, ((name, place.namespace),), _history)
        wait([asked], timeout=WAIT_SECONDS)
        found: list[Record] | str = _said(asked, place.connection)
        return found

    def _ask(self, connection: str, places: _Places, question: Callable[[Cluster, _Places], Any]) -> Future[_Answer]:
        """What the cluster answers, or is being asked already."""
        with self._lock:
            self._kept = {key: one for key, one in self._kept.items() if not one.done() or _is_fresh(one.result())}
            key = connection, places, question
            if key not in self._kept:
                self._kept[key] = self._pool.submit(_answer, connection, places, question)
            return self._kept[key]


def _answer(connection: str, places: _Places, question: Callable[[Cluster, _Places], Any]) -> _Answer:
    try:
        found = question(_cluster(connection), places)
    except PodenvError as error:
        found = f"{_words(connection)}: {error}"
    return time.monotonic(), found


def _cluster(connection: str) -> Cluster:
    """The cluster of a Connection. Raises `NoCluster`."""
    try:
        return Cluster(client=compat.kubernetes_client(connection).api_client)
    except Exception as error:  # noqa: BLE001 - a Connection may hold anything, and Airflow raises what it likes
        why = plain(str(error)).rstrip(".") or type(error).__name__
        raise NoCluster(
            f"it cannot be used ({why}). Add it to Airflow, with conn_type kubernetes, or correct cluster.connection "
            "in the values."
        ) from None


def _survey(cluster: Cluster, places: _Places) -> dict[str, Deployed]:
    return {name: _deployed(cluster, one) for name, one in state.survey(cluster, dict(places)).items()}


def _history(cluster: Cluster, places: _Places) -> list[Record]:
    return records.read(cluster, dict(places), history=True)[places[0][0]]


def _said(asked: Future[_Answer], connection: str) -> Any:
    """The answer; where there is none, why."""
    if asked.done():
        return asked.result()[1]
    return (
        f"{_words(connection)}: its cluster has not answered within {WAIT_SECONDS:.0f} s; reload the page to ask again."
    )


def _words(connection: str) -> str:
    return f"Connection {connection or DEFAULT!r}"


def _is_fresh(answer: _Answer) -> bool:
    return time.monotonic() - answer[0] < FRESH_SECONDS


def _deployed(cluster: Cluster, found: State) -> Deployed:
    if found.foreign is not None:
        return Deployed(problem=f"the release is of chart {found.foreign.chart}, which podenv does not touch")
    record = found.deployed or found.latest
    if found.applied is not None:
        one = found.applied
        words = f"applied by {one.owner}"
        shown = Release(0, "applied", one.digest, one.lock, one.since[:19].replace("T", " "), words)
        return Deployed(shown, "ok", tuple(map(str, found.drift)))
    if record is None:
        return Deployed(problem="not deployed")
    words = health_of(cluster, found, found.latest or record)
    return Deployed(release(record), words, tuple(map(str, found.drift)))


def release(record: Record) -> Release:
    """What is shown of a revision."""
    return Release(
        record.revision, record.status, record.digest, record.lock, record.updated[:19].replace("T", " "),
        record.description,
    )  # fmt: skip


def change(before: Record, after: Record) -> Change:
    """The difference of two revisions."""
    old, new = dict(values.flat(before.values)), dict(values.flat(after.values))
    # What is in the lock is told by the packages.
    keys = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key) and not _is_of_lock(key))
    return Change(before.revision, after.revision, between(before.packages, after.packages, ()), keys)


def _is_of_lock(key: str) -> bool:
    return key.startswith("lock.")
