"""What Airflow's database knows of tasks in environments: the only place that reads its models.

They are trusted but no public API: seen with Airflow 3.3.2, on SQLite and PostgreSQL. Every query is bounded: by the
DAGs that the user may read, by days, or by a page. None is asked again for each DAG, environment or run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, get_type_hints

from airflow.models.dag_version import DagVersion
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from pydantic import ConfigDict, TypeAdapter, ValidationError
from sqlalchemy import and_, case, func, select, tuple_
from sqlalchemy.orm import Session

from podenv.usage.record import TaskUsage

DAYS = 7
"""How far back the counts go."""
Key = tuple[str, str]
"""What tells a task from others: its DAG's id and its own."""
_ASKED = ("cpu", "memory", "max_memory", "gpu")
_EXACT = ConfigDict(strict=True, allow_inf_nan=False)
_FIELDS: dict[str, TypeAdapter[Any]] = {
    name: TypeAdapter(kind, config=_EXACT) for name, kind in get_type_hints(TaskUsage).items()
}
_AT_ONCE = 10_000  # keys in one question: SQLite takes 32,766 values
_KEPT = 10_000  # DAGs whose tasks are remembered


@dataclass(frozen=True)
class Use:
    """A task in an environment; ``asks`` holds what it says of its size, as text."""

    dag_id: str
    task_id: str
    environment: str
    asks: Mapping[str, str]
    is_mapped: bool

    @property
    def key(self) -> Key:
        """What tells it from others."""
        return self.dag_id, self.task_id


@dataclass(frozen=True)
class Run:
    """One execution of a task. ``usage`` is a `podenv.usage.record.TaskUsage` as JSON, empty where none is kept."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int
    state: str
    scheduled: datetime | None
    queued: datetime | None
    started: datetime | None
    ended: datetime | None
    usage: Mapping[str, Any]
    image: str | None
    page: str


@dataclass
class Count:
    """Executions of some days: all that began, and those that failed; ``days`` counts both for each, oldest first."""

    runs: int = 0
    failed: int = 0
    days: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)] * DAYS)

    def add(self, ago: int, runs: int, failed: int) -> None:
        """Count more of the day that is ``ago`` days ago."""
        self.runs += runs
        self.failed += failed
        before = self.days[DAYS - 1 - ago]
        self.days[DAYS - 1 - ago] = (before[0] + runs, before[1] + failed)


_of_dag: dict[str, tuple[str, list[Use]]] = {}  # by DAG, with the hash of the serialised form that was read


def uses(session: Session, dag_ids: Collection[str]) -> list[Use]:
    """The tasks in environments of these DAGs, as their newest serialised form has them; each form is read once."""
    hashes: dict[str, str] = {}
    for some in _portions(dag_ids):
        newest = _newest(SerializedDagModel.dag_id, SerializedDagModel.dag_hash, dag_ids=some)
        hashes.update((dag_id, dag_hash) for dag_id, dag_hash in session.execute(newest))
    kept = {dag_id: _of_dag.get(dag_id, ("", [])) for dag_id in hashes}
    found = {dag_id: of_it for dag_id, (dag_hash, of_it) in kept.items() if dag_hash == hashes[dag_id]}
    for some in _portions(hashes.keys() - found.keys()):
        # They are large: not all of them are in memory at once.
        for (row,) in session.execute(_newest(SerializedDagModel, dag_ids=some), execution_options={"yield_per": 50}):
            found[row.dag_id] = _uses_in(row.dag_id, row.data or {})
            _of_dag[row.dag_id] = (row.dag_hash, found[row.dag_id])
    _forget(found)
    return sorted((use for of_it in found.values() for use in of_it), key=lambda use: use.key)


def _newest(*what: Any, dag_ids: Collection[str]) -> Any:
    """A question for ``what`` of the newest serialised form of each of these DAGs."""
    number = func.max(DagVersion.version_number).label("number")
    joined = SerializedDagModel.dag_version_id == DagVersion.id
    latest = (
        select(DagVersion.dag_id, number)
        .join(SerializedDagModel, joined)
        .where(DagVersion.dag_id.in_(dag_ids))
        .group_by(DagVersion.dag_id)
        .subquery()
    )
    is_latest = and_(DagVersion.dag_id == latest.c.dag_id, DagVersion.version_number == latest.c.number)
    return select(*what).join(DagVersion, joined).join(latest, is_latest)


def _forget(asked: Collection[str]) -> None:
    """Drop what was read first until no more than `_KEPT` DAGs are remembered, or those that were ``asked`` for."""
    others = [dag_id for dag_id in list(_of_dag) if dag_id not in asked]  # another thread may add one meanwhile
    for dag_id in others[: max(len(_of_dag) - _KEPT, 0)]:
        _of_dag.pop(dag_id, None)


def _uses_in(dag_id: str, data: Mapping[str, Any]) -> list[Use]:
    tasks = (task.get("__var", task) for task in (data.get("dag") or {}).get("tasks") or [])
    return [use for task in tasks if (use := _use(dag_id, task)) is not None]


def _use(dag_id: str, task: Mapping[str, Any]) -> Use | None:
    given = {**task, **(task.get("partial_kwargs") or {})}
    environment = given.get("env")
    # An operator of others may have a field of this name too.
    if not isinstance(environment, str) or "podenv" not in (task.get("template_fields") or ()):
        return None
    asks = {name: str(given[name]) for name in _ASKED if isinstance(given.get(name), str | int | float)}
    return Use(dag_id, str(given["task_id"]), environment, asks, bool(task.get("_is_mapped")))


def totals(session: Session, keys: Collection[Key], today: date) -> dict[Key, tuple[int, int]]:
    """How often each of these tasks began in the last `DAYS` days, and failed. Half the work of `counts`."""
    rows = _began(session, keys, _begins(today)[-1])
    return {(dag_id, task_id): (number, failed) for dag_id, task_id, number, failed in rows}


def counts(session: Session, keys: Collection[Key], today: date) -> dict[Key, Count]:
    """The executions of these tasks that began in the last `DAYS` days; a day begins at midnight, UTC."""
    begins = _begins(today)
    # A database's own function for the day of a moment goes by the time zone of the session.
    ago = case(*((TaskInstance.start_date >= begin, number) for number, begin in enumerate(begins))).label("ago")
    found: dict[Key, Count] = {}
    for dag_id, task_id, number, failed, day in _began(session, keys, begins[-1], ago):
        found.setdefault((dag_id, task_id), Count()).add(day, number, failed)
    return found


def _begins(today: date) -> list[datetime]:
    midnight = datetime(today.year, today.month, today.day, tzinfo=UTC)
    return [midnight - timedelta(days=ago) for ago in range(DAYS)]


def _began(session: Session, keys: Collection[Key], since: datetime, *more: Any) -> Iterator[Any]:
    """Of the executions of these tasks since then: DAG, task, number, failures, for each of the labels ``more``."""
    task = (TaskInstance.dag_id, TaskInstance.task_id)
    failed = func.sum(case((TaskInstance.state == "failed", 1), else_=0))
    for dag_ids in _portions({dag_id for dag_id, _ in keys}):
        question = (
            select(*task, func.count(), failed, *more)
            .where(TaskInstance.dag_id.in_(dag_ids), TaskInstance.start_date >= since)
            .group_by(*task, *(one.name for one in more))
        )
        yield from (row for row in session.execute(question) if tuple(row[:2]) in keys)


def runs(session: Session, keys: Sequence[Key], most: int) -> list[Run]:
    """The newest ``most`` executions of these tasks, newest first."""
    found: list[Run] = []
    for some in _portions(keys):
        # What was rendered is large: it is read of those only that are shown.
        newest = (
            select(TaskInstance.id)
            .where(tuple_(TaskInstance.dag_id, TaskInstance.task_id).in_(some), TaskInstance.start_date.is_not(None))
            .order_by(TaskInstance.start_date.desc())
            .limit(most)
            .subquery()
        )
        found += [_run(row) for row in session.execute(_runs().join(newest, newest.c.id == TaskInstance.id))]
    return sorted(found, key=lambda one: one.started or datetime.min.replace(tzinfo=UTC), reverse=True)[:most]


def run(session: Session, dag_id: str, run_id: str, task_id: str, map_index: int) -> Run | None:
    """One execution, its last try; None where there is none."""
    own = (TaskInstance.dag_id, dag_id), (TaskInstance.run_id, run_id), (TaskInstance.task_id, task_id)
    question = _runs().where(*(column == value for column, value in own), TaskInstance.map_index == map_index)
    row = session.execute(question).first()
    return None if row is None else _run(row)


def _runs() -> Any:
    fields = RenderedTaskInstanceFields
    same = ("dag_id", "task_id", "run_id", "map_index")
    joined = and_(*(getattr(fields, name) == getattr(TaskInstance, name) for name in same))
    return select(
        TaskInstance.dag_id, TaskInstance.run_id, TaskInstance.task_id, TaskInstance.map_index,
        TaskInstance.try_number, TaskInstance.state, TaskInstance.scheduled_dttm, TaskInstance.queued_dttm,
        TaskInstance.start_date, TaskInstance.end_date, fields.rendered_fields,
    ).outerjoin(fields, joined)  # fmt: skip


def _run(row: Any) -> Run:
    rendered = row.rendered_fields if isinstance(row.rendered_fields, Mapping) else {}
    image = rendered.get("pod_image")
    return Run(
        row.dag_id, row.run_id, row.task_id, row.map_index, row.try_number, str(row.state or "none"),
        row.scheduled_dttm, row.queued_dttm, row.start_date, row.end_date,
        _usage(rendered.get("podenv")),
        image if isinstance(image, str) and image != "None" else None,
        str(rendered.get("pod_page") or ""),
    )  # fmt: skip


def _usage(kept: object) -> Mapping[str, Any]:
    """What is kept of a run, without what no `TaskUsage` has: another version of podenv may have written it."""
    return {name: one for name, one in kept.items() if _fits(name, one)} if isinstance(kept, Mapping) else {}


def _fits(name: str, value: object) -> bool:
    try:
        return name in _FIELDS and _FIELDS[name].validate_python(value) is not None
    except ValidationError:
        return False


def _portions(keys: Iterable[Any]) -> Iterable[Sequence[Any]]:
    every = list(keys)
    return (every[begin : begin + _AT_ONCE] for begin in range(0, len(every), _AT_ONCE))
