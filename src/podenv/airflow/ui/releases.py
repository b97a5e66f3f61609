"""What Helm and the cluster say of environments, asked for after the page is there: a cluster may be slow, or away.

Values of environment variables are never shown; of changed values only the keys are.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from podenv.catalogue import values
from podenv.errors import PodenvError
from podenv.plan.lockdiff import PackageChange, between
from podenv.release import records, state
from podenv.release.cluster import Cluster
from podenv.release.records import Record
from podenv.release.state import State
from podenv.release.status import health_of

FRESH_SECONDS = 30.0
"""For how long an answer counts for all who look."""


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


class Releases:
    """The releases of a cluster, read at most twice a minute, by one thread at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, ...], tuple[float, Any]] = {}

    def survey(self, places: Mapping[str, str]) -> dict[str, Deployed]:
        """How each environment in ``places`` (name -> namespace) is deployed; never raises."""

        def ask() -> dict[str, Deployed]:
            cluster = Cluster()
            return {name: _deployed(cluster, one) for name, one in state.survey(cluster, dict(places)).items()}

        found = self._fresh(("survey", *sorted(places)), ask)
        return {name: Deployed(unknown=found) for name in places} if isinstance(found, str) else found

    def history(self, name: str, namespace: str) -> list[Record] | str:
        """All revisions of an environment, the newest first; why they are not known as text; never raises."""
        found: list[Record] | str = self._fresh(
            ("history", name, namespace), lambda: records.read(Cluster(), {name: namespace}, history=True)[name]
        )
        return found

    def _fresh(self, key: tuple[str, ...], ask: Callable[[], Any]) -> Any:
        with self._lock:
            now = time.monotonic()
            self._kept = {one: had for one, had in self._kept.items() if now - had[0] < FRESH_SECONDS}
            if key not in self._kept:
                try:
                    answer = ask()
                except PodenvError as error:
                    answer = str(error)
                self._kept[key] = (time.monotonic(), answer)
            return self._kept[key][1]


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
