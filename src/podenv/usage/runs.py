"""Runs of tasks -> what each task used. Only figures are kept: 100,000 runs are a few megabytes."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from podenv.catalogue import quantity
from podenv.usage import sizing

LONGEST_SECONDS = 366 * 86_400  # a run that took longer was not timed by one clock
LEAST_RUNS = 3  # on which a proposal stands
_MOST_CORES = 10_000
_MOST_BYTES = 2**50
_GIB_HOUR = 2**30 * 3600


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a task: sizes in bytes, CPU in cores, times in seconds; None where not known or not credible."""

    dag: str
    task: str
    environment: str
    lock: str | None = None
    started: datetime | None = None
    seconds: float | None = None
    peak: float | None = None
    memory_request: float | None = None
    memory_limit: float | None = None
    cores: float | None = None
    cpu_request: float | None = None
    cpu_limit: float | None = None
    throttled: bool = False
    killed: bool = False
    growths: int = 0
    is_odd: bool = False
    """Its times cannot be right."""

    @classmethod
    def of(cls, dag: str, task: str, usage: Mapping[str, Any]) -> Run | None:
        """The run that a record of `podenv.usage` describes; None where it names no environment."""
        environment = usage.get("environment")
        if not isinstance(environment, str) or not environment:
            return None
        given = usage.get("seconds")
        seconds = _number(given, LONGEST_SECONDS)
        spent, throttled = (
            _number(usage.get("cpu_seconds"), math.inf),
            _number(usage.get("throttled_seconds"), math.inf),
        )
        cores = spent / seconds if spent is not None and seconds else None
        lock = usage.get("lock")
        return cls(
            dag,
            task,
            environment,
            lock if isinstance(lock, str) and lock else None,
            _moment(usage.get("started")),
            seconds,
            _number(usage.get("peak_memory_bytes"), _MOST_BYTES) or None,
            _number(usage.get("memory_request_bytes"), _MOST_BYTES),
            _number(usage.get("memory_limit_bytes"), _MOST_BYTES),
            cores if cores is not None and cores <= _MOST_CORES else None,
            _number(usage.get("cpu_request_cores"), _MOST_CORES),
            _number(usage.get("cpu_limit_cores"), _MOST_CORES),
            bool(throttled and seconds and throttled > seconds * sizing.THROTTLED_SHARE),
            usage.get("state") != "success" and bool(_number(usage.get("out_of_memory_kills"), math.inf)),
            int(_number(usage.get("growths"), 1000) or 0),
            given is not None and seconds is None,
        )


@dataclass(frozen=True)
class Spread:
    """The middle, the 95th percentile and the highest of some figures."""

    p50: float
    p95: float
    max: float


@dataclass(frozen=True)
class TaskSizes:
    """What a task used, and what to give it: Kubernetes quantities, sizes in bytes, CPU in cores, times in seconds.

    ``runs`` are those on the lock in force; ``other_lock`` and ``odd`` count those that were left out, on other locks
    and for times that cannot be right (their memory counts). ``why`` says why there is no proposal.
    """

    dag: str
    task: str
    environment: str
    lock: str | None
    runs: int
    other_lock: int
    odd: int
    memory: Spread | None
    cpu: Spread | None
    seconds: Spread | None
    memory_request: float | None
    memory_limit: float | None
    cpu_request: float | None
    cpu_limit: float | None
    wasted_gib_hours: float
    growths: int
    kills: int
    proposed_memory: str | None = None
    proposed_cpu: str | None = None
    why: str = ""

    @property
    def proposed_memory_bytes(self) -> int | None:
        """`proposed_memory` in bytes."""
        return quantity.to_bytes(self.proposed_memory) if self.proposed_memory else None

    @property
    def proposed_cpu_cores(self) -> float | None:
        """`proposed_cpu` in cores."""
        return float(quantity.parse(self.proposed_cpu)) if self.proposed_cpu else None


@dataclass
class _OnLock:
    """The runs of one task on one lock."""

    newest: datetime | None = None
    last: Run | None = None
    runs: int = 0
    odd: int = 0
    growths: int = 0
    kills: int = 0
    wasted: float = 0.0
    killed_at: float = 0.0
    throttled_at: float = 0.0
    peaks: array[float] = field(default_factory=lambda: array("d"))
    cores: array[float] = field(default_factory=lambda: array("d"))
    seconds: array[float] = field(default_factory=lambda: array("d"))

    def add(self, run: Run) -> None:
        self.runs += 1
        self.odd += run.is_odd
        self.growths += run.growths
        self.kills += run.killed
        if self.last is None or _is_newer(run.started, self.newest):
            self.last, self.newest = run, run.started
        if run.peak is not None:
            self.peaks.append(run.peak)
        if run.killed and run.memory_limit:
            self.killed_at = max(self.killed_at, run.memory_limit)
        if run.cores is not None:
            self.cores.append(run.cores)
        if run.throttled and run.cpu_limit:
            self.throttled_at = max(self.throttled_at, run.cpu_limit)
        if run.seconds is not None:
            self.seconds.append(run.seconds)
            reserved = run.memory_request or run.memory_limit
            if reserved and run.peak is not None:
                self.wasted += max(0.0, reserved - run.peak) * run.seconds / _GIB_HOUR


class Sizes:
    """Collects runs; mapped ones count for their task.

    ``lock_of`` tells the lock in force of an environment, None where that is not known: the newest run's then.
    """

    def __init__(self, lock_of: Callable[[str], str | None] = lambda _: None) -> None:
        self._lock_of = lock_of
        self._tasks: dict[tuple[str, str, str], dict[str | None, _OnLock]] = {}
        self.runs = 0

    def add(self, runs: Iterable[Run]) -> None:
        """Take in more runs."""
        for run in runs:
            self.runs += 1
            locks = self._tasks.setdefault((run.dag, run.task, run.environment), {})
            locks.setdefault(run.lock, _OnLock()).add(run)

    def tasks(self) -> list[TaskSizes]:
        """Each task, sorted by DAG and name."""
        return [self._task(key, locks) for key, locks in sorted(self._tasks.items(), key=lambda item: item[0])]

    def _task(self, key: tuple[str, str, str], locks: Mapping[str | None, _OnLock]) -> TaskSizes:
        lock, counted = self._lock_of(key[2]), _OnLock()
        if lock is None:
            lock, counted = max(locks.items(), key=lambda item: _sortable(item[1].newest))
        else:
            counted = next((one for name, one in locks.items() if same_lock(name, lock)), counted)
        peaks, cores, seconds = sorted(counted.peaks), sorted(counted.cores), sorted(counted.seconds)
        others = sum(one.runs for one in locks.values()) - counted.runs
        # What it is given now, also where it has not run since its lock changed.
        last = counted.last or max(locks.values(), key=lambda one: _sortable(one.newest)).last
        assert last is not None
        why = _why_not(counted, others)
        memory, cpu = sizing.memory(peaks, counted.killed_at), sizing.cpu(cores, counted.throttled_at)
        return TaskSizes(
            *key,
            lock,
            counted.runs,
            others,
            counted.odd,
            _spread(peaks),
            _spread(cores),
            _spread(seconds),
            last.memory_request,
            last.memory_limit,
            last.cpu_request,
            last.cpu_limit,
            counted.wasted,
            counted.growths,
            counted.kills,
            None if why or memory is None else quantity.of_bytes(memory),
            None if why or cpu is None else sizing.cpu_text(cpu),
            why,
        )


def same_lock(one: str | None, other: str | None) -> bool:
    """True if two hashes, one of them maybe shortened, are of one lock."""
    return bool(one and other) and (str(one).startswith(str(other)) or str(other).startswith(str(one)))


def _why_not(counted: _OnLock, others: int) -> str:
    if counted.runs >= LEAST_RUNS:
        return "" if counted.peaks or counted.cores or counted.killed_at else "no run was measured"
    if others:
        return f"only {counted.runs} of {counted.runs + others} runs were on the lock in force, {LEAST_RUNS} are needed"
    return f"{counted.runs} of the {LEAST_RUNS} runs that are needed"


def _spread(ordered: list[float]) -> Spread | None:
    if not ordered:
        return None
    return Spread(sizing.percentile(ordered, 0.5), sizing.percentile(ordered, 0.95), ordered[-1])


def _number(value: object, most: float) -> float | None:
    """``value`` where it is a number that can be true; clocks that were set back give negative ones."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most or math.isinf(value):
        return None
    return float(value)


def _moment(value: object) -> datetime | None:
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        moment = datetime.fromisoformat(str(value))
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _is_newer(moment: datetime | None, than: datetime | None) -> bool:
    return _sortable(moment) > _sortable(than)


def _sortable(moment: datetime | None) -> float:
    return moment.timestamp() if moment else -math.inf
