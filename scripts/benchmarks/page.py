"""The page in Airflow's UI with 500 environments, 500 DAGs and 100,000 task instances, beside Airflow's own lists."""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import check
from benchmarks.report import Comparison, alternate, show

ENVIRONMENTS, TASKS, RUNS = 500, 4, 50  # a DAG for each environment, tasks of a DAG, runs of a DAG
KEPT = 30  # runs of a DAG of which Airflow keeps what was rendered
ROUNDS = 7
USAGE = {
    "environment": "bench-00", "backend": "kubernetes", "state": "success", "started": "2026-01-01T00:00:00+00:00",
    "lock": "a" * 64, "python": "3.13.1", "seconds": 10.0, "peak_memory_bytes": 384 * 2**20,
    "memory_limit_bytes": 512 * 2**20, "cpu_seconds": 5.0, "cpu_limit_cores": 1.0,
}  # fmt: skip
ARGUMENTS = "x" * 2000  # what a task was called with, as Airflow keeps it beside what it used


def fill(root: Path) -> None:
    """The DAGs as the API server knows them, and their runs: six hours between two, the newest now."""
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.session import create_session
    from sqlalchemy import insert

    from podenv.airflow import compat

    bag = compat.DagBag(dag_folder=str(root / "dags"))
    assert not bag.import_errors, bag.import_errors
    now = datetime.now(UTC)
    began = [now - timedelta(hours=6 * number) for number in range(RUNS)]
    with create_session(scoped=False) as session:
        session.execute(insert(DagBundleModel).values(name="bench"))
        for dag in bag.dags.values():
            _add_dag(session, dag)
            _add_runs(session, dag.dag_id, dag.task_ids, began)


def _add_dag(session: Any, dag: Any) -> None:
    from airflow.models.dag import DagModel
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.serialization.serialized_objects import LazyDeserializedDAG
    from sqlalchemy import insert

    session.execute(
        insert(DagModel).values(
            dag_id=dag.dag_id, bundle_name="bench", fileloc=dag.fileloc, is_paused=False, is_stale=False,
            max_active_tasks=1, max_consecutive_failed_dag_runs=0, has_task_concurrency_limits=False,
        )
    )  # fmt: skip
    SerializedDagModel.write_dag(LazyDeserializedDAG.from_dag(dag), "bench", session=session)


def _add_runs(session: Any, dag_id: str, task_ids: Sequence[str], began: Sequence[datetime]) -> None:
    from airflow.models.dagrun import DagRun
    from airflow.models.renderedtifields import RenderedTaskInstanceFields
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import insert
    from uuid6 import uuid7

    of_run = [{"dag_id": dag_id, "run_id": f"scheduled__{at.isoformat()}"} for at in began]
    times = [{"start_date": at, "end_date": at + timedelta(seconds=12)} for at in began]
    same_run = {"run_type": "scheduled", "state": "success"}
    session.execute(
        insert(DagRun),
        [{**run, **at, **same_run, "run_after": at["start_date"]} for run, at in zip(of_run, times, strict=True)],
    )
    of_task = [{**run, "task_id": one, "map_index": -1} for run in of_run for one in task_ids]
    same = {"pool": "default_pool", "try_number": 1, "operator": "_EnvDecoratedOperator"}
    session.execute(
        insert(TaskInstance),
        [
            {
                **key,
                **times[number // len(task_ids)],
                **same,
                "id": uuid7(),
                "state": "success" if number % 20 else "failed",
            }
            for number, key in enumerate(of_task)
        ],
    )
    rendered = {"podenv": USAGE, "op_args": ARGUMENTS}
    session.execute(
        insert(RenderedTaskInstanceFields),
        [{**key, "rendered_fields": rendered} for key in of_task[: KEPT * len(task_ids)]],
    )


@contextmanager
def served() -> Iterator[Callable[[str], int]]:
    """Airflow's API server in this process; ask it for an address as a viewer, get the number of queries."""
    os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS"] = "False"
    os.environ["AIRFLOW__API_AUTH__JWT_SECRET"] = secrets.token_hex(64)
    from airflow import settings
    from airflow.api_fastapi.app import create_app, get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from sqlalchemy import event
    from starlette.testclient import TestClient

    queries = [0]

    def count(*_: object) -> None:
        queries[0] += 1

    with TestClient(create_app("core")) as client:
        event.listen(settings.engine, "before_cursor_execute", count)
        token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="vera", role="viewer"))
        client.cookies.set("_token", token)

        def ask(address: str) -> int:
            queries[0] = 0
            answer = client.get(address, headers={"Accept": "text/html, application/json"})
            if answer.status_code != 200:
                sys.exit(f"error: {address} answered {answer.status_code}: {answer.text[:500]}")
            return queries[0]

        yield ask


def compared(ask: Callable[[str], int]) -> list[Comparison]:
    """The list, sorted by name and by failures, and one environment."""
    dags = "/ui/dags?limit=50&dag_runs_limit=14"
    runs = "/api/v2/dags/etl_7/dagRuns/~/taskInstances?limit=50&order_by=-start_date"
    found: list[Comparison] = []
    for what, ours, peer_name, peer, promised in (
        ("the list of 500 environments", "/podenv/", "Airflow's list of 500 DAGs", dags, 1.0),
        ("the same by failures", "/podenv/?sort=failed", "Airflow's list of 500 DAGs", dags, 2.5),
        ("one environment and its charts", "/podenv/env/bench-07", "Airflow's 50 task instances of it", runs, 2.0),
    ):
        times = alternate(partial(ask, ours), partial(ask, peer), rounds=ROUNDS)
        found += [
            Comparison(what, peer_name, *times, promised),
            Comparison(f"its queries: {what}", peer_name, ask(ours), ask(peer), 1.0, ""),
        ]
    return found


def main() -> bool:
    """True if every ratio is what the project claims."""
    with tempfile.TemporaryDirectory(prefix="podenv-bench-") as folder:
        from podenv.dagrun import home

        root = Path(folder)
        check.lay_out(root, environments=ENVIRONMENTS, tasks=ENVIRONMENTS * TASKS)
        os.environ.pop("AIRFLOW_HOME", None)
        os.environ["PODENV_CATALOGUE"] = str(root / "envs")
        home.prepare(root / "dags", cache=root / "cache")
        home.ensure_database()
        fill(root)
        with served() as ask:
            return show("page", compared(ask))
