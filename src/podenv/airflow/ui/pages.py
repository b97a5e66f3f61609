"""What the pages show, made of what is known; pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from podenv.airflow.ui.data import Count, Key, Run, Use
from podenv.airflow.ui.known import Facts
from podenv.usage.text import cores_text, size_text

PAGE = 50
"""Environments of one page of the list."""
SORTS = ("name", "tasks", "runs", "failed")


@dataclass(frozen=True)
class Row:
    """An environment in the list; ``tasks`` are those that the user may see."""

    facts: Facts
    tasks: int
    count: Count
    is_in_catalogue: bool

    @property
    def name(self) -> str:
        """The environment's."""
        return self.facts.name


@dataclass(frozen=True)
class Listing:
    """One page of the list. ``total`` counts all that fit the filter, ``all`` those without it."""

    rows: Sequence[Row]
    total: int
    all: int
    number: int
    pages: int
    query: str
    sort: str

    @property
    def asked(self) -> list[tuple[str, str]]:
        """The query by which the page asks how these environments are deployed."""
        return [("name", row.name) for row in self.rows if row.is_in_catalogue]


@dataclass(frozen=True)
class Sources:
    """What a list is made of: the catalogue's environments, the tasks that the user may see, and three ways to ask.

    ``facts`` reads files of environments; ``totals`` (runs and failures) and ``counts`` ask the database about tasks.
    """

    known: Collection[str]
    uses: Collection[Use]
    facts: Callable[[Collection[str]], Mapping[str, Facts]]
    totals: Callable[[Collection[Key]], Mapping[Key, tuple[int, int]]]
    counts: Callable[[Collection[Key]], Mapping[Key, Count]]


def listing(sources: Sources, *, query: str, sort: str, number: int) -> Listing:
    """The list, by name unless ``sort`` is another of `SORTS`; page ``number`` begins with 1.

    Only what the filter and the order need is asked of all environments, everything else of those on the page.
    """
    tasks: dict[str, list[Key]] = {name: [] for name in sources.known}
    for use in sources.uses:
        tasks.setdefault(use.environment, []).append(use.key)
    found = sorted(tasks)
    if words := query.casefold().split():
        read = sources.facts(found)
        found = [name for name in found if all(word in _text(read.get(name) or Facts(name)) for word in words)]
    if sort == "tasks":
        found.sort(key=lambda name: len(tasks[name]), reverse=True)
    elif sort in ("runs", "failed"):
        totals = sources.totals({key for name in found for key in tasks[name]})
        which = ("runs", "failed").index(sort)
        found.sort(key=lambda name: sum(totals[key][which] for key in tasks[name] if key in totals), reverse=True)
    pages = max(1, -(-len(found) // PAGE))
    number = min(max(number, 1), pages)
    shown = found[(number - 1) * PAGE : number * PAGE]
    facts, counts = sources.facts(shown), sources.counts({key for name in shown for key in tasks[name]})
    rows = [
        Row(
            facts.get(name) or Facts(name),
            len(tasks[name]),
            total([counts[key] for key in tasks[name] if key in counts]),
            name in sources.known,
        )
        for name in shown
    ]
    return Listing(rows, len(found), len(tasks), number, pages, query, sort)


def _text(facts: Facts) -> str:
    return " ".join((facts.name, facts.description, facts.python, *facts.asked)).casefold()


def total(counts: Collection[Count]) -> Count:
    """The sum."""
    whole = Count()
    for one in counts:
        whole.runs += one.runs
        whole.failed += one.failed
        whole.days = [(a + c, b + d) for (a, b), (c, d) in zip(whole.days, one.days, strict=True)]
    return whole


@dataclass(frozen=True)
class Bar:
    """One day of a sparkline, in pixels from above: ``top`` of all runs, ``failed`` of those that failed."""

    left: int
    top: int
    failed: int
    title: str


HEIGHT, WIDTH = 20, 8


def bars(count: Count) -> list[Bar]:
    """The days of ``count``, as high as the most busy one."""
    most = max((runs for runs, _ in count.days), default=0) or 1
    names = [f"{len(count.days) - 1 - place} days ago" for place in range(len(count.days))]
    names[-2:] = ["yesterday", "today"]
    return [
        Bar(
            place * WIDTH,
            HEIGHT - round(HEIGHT * runs / most),
            HEIGHT - round(HEIGHT * failed / most),
            f"{name}: {runs} runs, {failed} failed",
        )
        for place, ((runs, failed), name) in enumerate(zip(count.days, names, strict=True))
    ]


@dataclass(frozen=True)
class Share:
    """A figure beside its limit: ``text`` for people, ``part`` of the limit from 0 to 1, None where there is none."""

    text: str
    part: float | None = None


@dataclass(frozen=True)
class Execution:
    """A run as the pages show it; times in seconds, None where they are not known."""

    run: Run
    memory: Share
    cpu: Share
    waited: float | None
    took: float | None
    sentence: str
    timeline: Sequence[tuple[str, str]]


def execution(run: Run) -> Execution:
    """What is kept of ``run``, for people."""
    usage = run.usage
    peak, seconds, spent = (_figure(usage, name) for name in ("peak_memory_bytes", "seconds", "cpu_seconds"))
    cores = spent / seconds if spent is not None and seconds else None
    queued = run.queued or run.scheduled
    waited = (run.started - queued).total_seconds() if run.started and queued else None
    took = (run.ended - run.started).total_seconds() if run.started and run.ended else None
    return Execution(
        run,
        _share(peak, _figure(usage, "memory_limit_bytes"), size_text),
        _share(cores, _figure(usage, "cpu_limit_cores"), cores_text),
        waited,
        took,
        sentence(usage),
        timeline(run),
    )


def _figure(usage: Mapping[str, Any], name: str) -> float | None:
    value = usage.get(name)
    return float(value) if isinstance(value, int | float) else None


def _share(used: float | None, limit: float | None, text: Callable[[float], str]) -> Share:
    if used is None:
        return Share("")
    return Share(f"{text(used)} of {text(limit)}", min(used / limit, 1.0)) if limit else Share(text(used))


MOST_MARKS = 30
"""Runs of one task in its chart: the newest."""


@dataclass(frozen=True)
class Mark:
    """One run in a chart of use against the limit, which is the chart's whole height; in pixels from above.

    ``at_limit``: it came to its limit, or was ended there.
    """

    left: int
    top: int
    at_limit: bool
    title: str


def marks(runs: Collection[Execution]) -> dict[Key, dict[str, list[Mark]]]:
    """Of each task (DAG and task), what its newest runs used of their limits by ``memory`` and ``cpu``, oldest first.

    ``runs`` come newest first. A run without a limit, or that was not measured, is left out.
    """
    of_task: dict[Key, list[Execution]] = {}
    for one in runs:
        mine = of_task.setdefault((one.run.dag_id, one.run.task_id), [])
        if len(mine) < MOST_MARKS:
            mine.insert(0, one)
    return {
        key: {"memory": _marks(mine, lambda one: one.memory), "cpu": _marks(mine, lambda one: one.cpu)}
        for key, mine in of_task.items()
    }


def _marks(runs: Sequence[Execution], share_of: Callable[[Execution], Share]) -> list[Mark]:
    shares = [(one, share) for one in runs if (share := share_of(one)).part is not None]
    return [
        Mark(
            place * WIDTH,
            min(HEIGHT - round(HEIGHT * (share.part or 0.0)), HEIGHT - 1),
            (share.part or 0.0) >= 1.0,
            f"{one.run.run_id}: {share.text}",
        )
        for place, (one, share) in enumerate(shares)
    ]


def sentence(usage: Mapping[str, Any]) -> str:
    """Why the run failed, in words; empty if it did not, or nothing is kept of it."""
    failure = usage.get("failure")
    if not isinstance(failure, str):
        return ""
    return f"{failure}: {usage['message']}" if isinstance(usage.get("message"), str) else failure


def timeline(run: Run) -> list[tuple[str, str]]:
    """What happened when, in order."""
    times = run.usage.get("times")
    of_pod = {name: at for name, text in times.items() if (at := _moment(text))} if isinstance(times, Mapping) else {}
    steps = [
        ("Airflow scheduled it", run.scheduled),
        ("Airflow queued it", run.queued),
        ("a worker began", run.started),
        ("its pod was created", of_pod.get("created")),
        ("a node took the pod", of_pod.get("scheduled")),
        ("the image was there, the container ran", of_pod.get("started")),
        ("the container ended", of_pod.get("ended")),
        ("the worker ended", run.ended),
    ]
    return [(name, at.strftime("%Y-%m-%d %H:%M:%S UTC")) for name, at in steps if at is not None]


def _moment(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None
