"""What Airflow's database knows of tasks in environments: the only place that reads its models.

They are trusted but no public API: seen with Airflow 3.3.2. Every query is bounded: by the DAGs that the user may read,
by days, or by a page.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from sqlalchemy import and_, func, select, tuple_
from sqlalchemy.orm import Session

DAYS = 7
"""How far back the counts go."""
_ASKED = ("cpu", "memory", "max_memory", "gpu")
_AT_ONCE = 500  # keys in one question: databases bound them


@dataclass(frozen=True)
class Use:
    """A task in an environment; ``asks`` holds what it says of its size, as text."""

    dag_id: str
    task_id: str
    environment: str
    asks: Mapping[str, str]
    is_mapped: bool

    @property
    def key(self) -> tuple[str, str]:
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

    def add(self, day: int, state: str, number: int) -> None:
        """Count ``number`` more, of the day that is ``day`` days ago."""
        failed = number if state == "failed" else 0
        self.runs += number
        self.failed += failed
        if 0 <= day < DAYS:
            before = self.days[DAYS - 1 - day]
            self.days[DAYS - 1 - day] = (before[0] + number, before[1] + failed)


_of_dag: dict[str, tuple[str, list[Use]]] = {}  # by DAG, with the hash of the serialised one that was read


def uses(session: Session, dag_ids: Collection[str]) -> list[Use]:
    """The tasks in environments of these DAGs, as their newest serialised form has them; each form is read once."""
    wanted = set(dag_ids)
    newest = select(SerializedDagModel.dag_id, func.max(SerializedDagModel.created_at).label("created"))
    if len(wanted) <= _AT_ONCE:
        newest = newest.where(SerializedDagModel.dag_id.in_(wanted))
    newest_of = newest.group_by(SerializedDagModel.dag_id).subquery()
    found = session.execute(
        select(SerializedDagModel.dag_id, SerializedDagModel.dag_hash).join(
            newest_of,
            and_(SerializedDagModel.dag_id == newest_of.c.dag_id, SerializedDagModel.created_at == newest_of.c.created),
        )
    )
    hashes = {dag_id: dag_hash for dag_id, dag_hash in found if dag_id in wanted}
    unread = [dag_id for dag_id, dag_hash in hashes.items() if _of_dag.get(dag_id, ("",))[0] != dag_hash]
    for some in _portions(unread):
        for row in SerializedDagModel.get_latest_serialized_dags(dag_ids=list(some), session=session):
            _of_dag[row.dag_id] = (row.dag_hash, _uses_in(row.dag_id, row.data or {}))
    found_uses = [use for dag_id in hashes for use in _of_dag.get(dag_id, ("", []))[1]]
    return sorted(found_uses, key=lambda use: use.key)


def _uses_in(dag_id: str, data: Mapping[str, Any]) -> list[Use]:
    tasks = (task.get("__var", task) for task in (data.get("dag") or {}).get("tasks") or [])
    return [use for task in tasks if (use := _use(dag_id, task)) is not None]


def _use(dag_id: str, task: Mapping[str, Any]) -> Use | None:
    given = {**task, **(task.get("partial_kwargs") or {})}
    environment = given.get("env")
    if not isinstance(environment, str):
        return None
    asks = {name: str(given[name]) for name in _ASKED if isinstance(given.get(name), str | int | float)}
    return Use(dag_id, str(given["task_id"]), environment, asks, bool(task.get("_is_mapped")))


def counts(session: Session, keys: Collection[tuple[str, str]], today: date) -> dict[tuple[str, str], Count]:
    """The executions of these tasks that began in the last `DAYS` days."""
    since = datetime(today.year, today.month, today.day, tzinfo=UTC) - timedelta(days=DAYS - 1)
    day = func.date(TaskInstance.start_date)
    question = (
        select(TaskInstance.dag_id, TaskInstance.task_id, TaskInstance.state, day, func.count())
        .where(TaskInstance.start_date >= since)
        .group_by(TaskInstance.dag_id, TaskInstance.task_id, TaskInstance.state, day)
    )
    found: dict[tuple[str, str], Count] = {}
    for dag_id, task_id, state, began, number in session.execute(question):
        if (dag_id, task_id) in keys:
            ago = (today - date.fromisoformat(str(began))).days
            found.setdefault((dag_id, task_id), Count()).add(ago, str(state or ""), number)
    return found


def runs(session: Session, keys: Sequence[tuple[str, str]], most: int) -> list[Run]:
    """The newest ``most`` executions of these tasks, newest first."""
    found: list[Run] = []
    for some in _portions(keys):
        question = (
            _runs()
            .where(tuple_(TaskInstance.dag_id, TaskInstance.task_id).in_(some), TaskInstance.start_date.is_not(None))
            .order_by(TaskInstance.start_date.desc())
            .limit(most)
        )
        found += [_run(row) for row in session.execute(question)]
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
    usage = rendered.get("podenv")
    image = rendered.get("pod_image")
    return Run(
        row.dag_id, row.run_id, row.task_id, row.map_index, row.try_number, str(row.state or "none"),
        row.scheduled_dttm, row.queued_dttm, row.start_date, row.end_date,
        usage if isinstance(usage, Mapping) else {},
        image if isinstance(image, str) and image != "None" else None,
        str(rendered.get("pod_page") or ""),
    )  # fmt: skip


def _portions(keys: Iterable[Any]) -> Iterable[Sequence[Any]]:
    every = list(keys)
    return (every[begin : begin + _AT_ONCE] for begin in range(0, len(every), _AT_ONCE))
