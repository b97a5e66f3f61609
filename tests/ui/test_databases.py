"""The page on SQLite and on PostgreSQL: what it asks of them, and that both say the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.ui.conftest import NOW, RUN_ID, Get, add_dag, add_run, add_try, fill, pages_over, session_of
from tests.ui.test_pages import PAGES


@contextmanager
def asking(session: Any) -> Iterator[list[str]]:
    """What this session asks meanwhile; Airflow looks at the user's token in one of its own."""
    from sqlalchemy import event

    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("SELECT"):
            asked.append(statement)

    event.listen(session.connection(), "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(session.connection(), "before_cursor_execute", note)


def add_more(session: Any, *, dags: int, runs: int) -> set[str]:
    """So many copies of the DAG, each with environments of its own, and so many runs of each; their ids."""
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.serialization.serialized_objects import LazyDeserializedDAG

    (report,) = SerializedDagModel.get_latest_serialized_dags(dag_ids=["report"], session=session)
    for number in range(dags):
        other = json.loads(json.dumps(report.data).replace('"reporting"', f'"reporting-{number}"'))
        other["dag"]["dag_id"] = dag_id = f"report-{number}"
        add_dag(session, LazyDeserializedDAG(data=other))
        for run in range(runs):
            add_run(session, dag_id, NOW - timedelta(hours=run), f"{RUN_ID}-{run}")
            add_try(session, dag_id=dag_id, run_id=f"{RUN_ID}-{run}", task_id="total", began=NOW, state="success")
    return {f"report-{number}" for number in range(dags)}


def test_each_page_is_the_same_on_postgresql(served: Any, get: Get, postgres: Any, project: Path) -> None:
    ours = {page: get(page).text for page in PAGES}
    with session_of(postgres) as session:
        fill(session, project)
        with pages_over(served, session):
            assert {page: get(page).text for page in PAGES} == ours


def test_days_are_those_of_utc_whatever_the_time_zone_of_the_database(engine: Any, project: Path) -> None:
    from podenv.airflow.ui import data

    today = NOW.date()
    midnight = datetime(today.year, today.month, today.day, tzinfo=UTC)
    with session_of(engine) as session:
        fill(session, project)
        began = [
            midnight + timedelta(hours=23),
            midnight,
            midnight - timedelta(seconds=1),
            midnight - timedelta(days=6),
        ]
        for number, at in enumerate([*began, midnight - timedelta(days=6, seconds=1)]):
            add_run(session, "report", at, f"run {number}")
            add_try(session, dag_id="report", run_id=f"run {number}", task_id="away", began=at, state="failed")
        keys = [("report", "away")]
        count = data.counts(session, keys, today)["report", "away"]
        assert count.days == [(1, 1), (0, 0), (0, 0), (0, 0), (0, 0), (1, 1), (2, 2)]
        assert (count.runs, count.failed) == (4, 4)
        assert data.totals(session, keys, today) == {("report", "away"): (4, 4)}
        newest = data.runs(session, keys, 3)
        assert [(run.run_id, run.started) for run in newest] == [(f"run {n}", began[n]) for n in range(3)]


def test_the_number_of_queries_does_not_grow_with_environments_dags_and_runs(
    served: Any, get: Get, engine: Any, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.api_fastapi.app import get_auth_manager

    from podenv.airflow.ui import data

    monkeypatch.setattr(data, "_of_dag", {})
    manager = type(get_auth_manager())
    most = {"": 3, "?page=2": 2, "?q=reporting": 2, "?sort=tasks": 2, "?sort=failed": 3, "env/reporting": 2,
            "dag/report": 2, "task/report/total": 2, PAGES[4]: 2}  # fmt: skip
    with session_of(engine) as session, pages_over(served, session):
        fill(session, project)
        for more, words in ((0, "3 of 3 environments."), (50, "53 of 53 environments.")):
            readable = {"report", *add_more(session, dags=more, runs=2)}
            monkeypatch.setattr(manager, "get_authorized_dag_ids", lambda self, seen=readable, **_: seen)
            asked = {}
            for page in most:
                with asking(session) as statements:
                    get(page)
                asked[page] = len(statements)
            assert asked == most  # the first also reads the DAGs that are new
            assert words in get("").text


def test_what_was_read_of_dags_is_forgotten_where_they_are_too_many(
    engine: Any, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from podenv.airflow.ui import data

    monkeypatch.setattr(data, "_of_dag", {})
    monkeypatch.setattr(data, "_KEPT", 3)
    with session_of(engine) as session:
        fill(session, project)
        others = sorted(add_more(session, dags=5, runs=0))
        assert len(data.uses(session, others)) == 5 * 3
        assert sorted(data._of_dag) == others  # those that are asked for are kept
        assert [use.task_id for use in data.uses(session, ["report"])] == ["away", "each", "total"]
        assert list(data._of_dag)[-1] == "report"
        assert len(data._of_dag) == 3
