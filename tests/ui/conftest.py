"""The page as a part of Airflow's own API server, in this process, over a database that holds a few runs."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests import postgresserver
from tests.airflowhome import prepare
from tests.local.conftest import add_environment

PROJECT = Path(__file__).parents[1] / "cluster/pods/project"
NOW = datetime.now(UTC).replace(microsecond=0)
RUN_ID = "manual__1+00:00"
HOSTILE = "<script>alert('x')</script>"
LOCK = "a" * 64
USAGE = {
    "environment": "reporting", "backend": "kubernetes", "state": "success", "started": "2026-01-01T00:00:00+00:00",
    "lock": LOCK, "python": "3.13.1", "image": "registry.example/reporting@sha256:" + "b" * 64, "seconds": 10.0,
    "peak_memory_bytes": 384 * 2**20, "memory_limit_bytes": 512 * 2**20, "cpu_seconds": 5.0, "cpu_limit_cores": 1.0,
    "relaunches": 1, "reasons": {"Evicted": 1}, "pod": "podenv-reporting/total-x1", "node": "n1",
    "travelled": "With total travel 2 statements of report.py.",
    "times": {"created": "2026-01-01T00:00:01+00:00", "scheduled": "2026-01-01T00:00:02+00:00"},
}  # fmt: skip
DAG = """
from airflow.sdk import dag, task


@dag(schedule=None)
def report():
    @task.env("reporting", memory="512Mi")
    def total():
        return 1

    @task.env("reporting")
    def each(n):
        return n

    @task.env("elsewhere")
    def away():
        return 1

    @task
    def plain():
        return 1

    each.expand(n=[1, 2]) >> total() >> plain() >> away()


report()
"""

prepare(PROJECT / "dags")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            # Of Airflow's own, on what it imports.
            for said in (
                "Using `httpx` with `starlette.testclient`", "Could not import graphviz", "'HTTP_422_",
                "Setting per-request cookies", "The HMAC key is",
            ):  # fmt: skip
                item.add_marker(pytest.mark.filterwarnings(f"ignore:{said}"))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``envs/`` and ``dags/``."""
    root = tmp_path_factory.mktemp("ui")
    environment = add_environment(root / "envs", "reporting", "3.13", "iniconfig==2.0.0")
    values = environment.folder / "values.yaml"
    values.write_text(
        f"{values.read_text()}description: {HOSTILE!r}\nenv: {{TOKEN: verysecretword}}\nnodeSelector: {{disk: ssd}}\n"
    )
    add_environment(root / "envs", "unused", "3.11", "six==1.16.0")
    (root / "dags").mkdir()
    (root / "dags" / "report.py").write_text(DAG)
    return root


def fill(session: Any, project: Path) -> None:
    """The DAG as the API server knows it, and runs of its tasks. Its environment `elsewhere` is then gone."""
    import importlib.util

    from airflow.models.dagbundle import DagBundleModel
    from airflow.serialization.serialized_objects import LazyDeserializedDAG
    from sqlalchemy import insert

    gone, dag_file = project / "envs" / "elsewhere", project / "dags" / "report.py"
    gone.mkdir()
    (gone / "values.yaml").write_text('python: "3.11"\n')
    spec = importlib.util.spec_from_file_location("report", dag_file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    dag = module.report()
    shutil.rmtree(gone)
    if session.get(DagBundleModel, "ui") is not None:
        return
    session.execute(insert(DagBundleModel).values(name="ui"))
    add_dag(session, LazyDeserializedDAG.from_dag(dag))
    add_run(session, "report", NOW)
    failed = {**USAGE, "state": "failed", "failure": "FunctionRaised", "message": f"It raised {HOSTILE}"}
    rows: list[tuple[str, int, str, dict[str, Any] | None]] = [
        ("total", -1, "failed", failed), ("each", 0, "success", USAGE), ("each", 1, "running", None),
        ("plain", -1, "success", None),
    ]  # fmt: skip
    for number, (task, index, state, usage) in enumerate(rows):
        began = NOW - timedelta(minutes=number + 1)
        same = {"dag_id": "report", "run_id": RUN_ID, "task_id": task, "map_index": index}
        add_try(session, **same, began=began, state=state)
        add_rendered(session, {"podenv": usage, "pod_image": USAGE["image"]} if usage else {}, **same)


def fill_home(project: Path) -> None:
    """`fill` the database of Airflow's home."""
    from airflow.utils.session import create_session

    with create_session(scoped=False) as session:
        fill(session, project)


def add_dag(session: Any, dag: Any) -> None:
    """A DAG, which is serialised already."""
    from airflow.models.dag import DagModel
    from airflow.models.serialized_dag import SerializedDagModel
    from sqlalchemy import insert

    session.execute(
        insert(DagModel).values(
            dag_id=dag.dag_id, bundle_name="ui", fileloc="/dags/report.py", is_paused=False, is_stale=False,
            max_active_tasks=1, max_consecutive_failed_dag_runs=0, has_task_concurrency_limits=False,
        )
    )  # fmt: skip
    SerializedDagModel.write_dag(dag, "ui", session=session)


def add_run(session: Any, dag_id: str, at: datetime, run_id: str = RUN_ID) -> None:
    """A run of a DAG."""
    from airflow.models.dagrun import DagRun
    from sqlalchemy import insert

    session.execute(
        insert(DagRun).values(
            dag_id=dag_id, run_id=run_id, run_type="manual", state="failed", run_after=at, start_date=at
        )
    )


def add_try(session: Any, *, began: datetime, state: str, **key: Any) -> None:
    """An execution of a task."""
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import insert
    from uuid6 import uuid7

    kind = TaskInstance.__table__.c.id.type.python_type  # Airflow 3.1 keeps a text
    session.execute(
        insert(TaskInstance).values(
            **key, id=kind(str(uuid7())), pool="default_pool", state=state, try_number=2, operator="EnvPodOperator",
            scheduled_dttm=began - timedelta(seconds=5), queued_dttm=began - timedelta(seconds=3),
            start_date=began, end_date=None if state == "running" else began + timedelta(seconds=12),
        )
    )  # fmt: skip


def add_rendered(session: Any, fields: Mapping[str, Any], **key: Any) -> None:
    """What an execution was rendered with."""
    from airflow.models.renderedtifields import RenderedTaskInstanceFields
    from sqlalchemy import insert

    session.execute(insert(RenderedTaskInstanceFields).values(**key, rendered_fields=fields))


Get = Callable[..., Any]


@pytest.fixture(scope="module")
def served(project: Path) -> Iterator[Any]:
    """Airflow's API server."""
    from podenv.dagrun import home

    home.ensure_database()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "False")
        patch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", secrets.token_hex(64))
        from airflow.api_fastapi import app as fastapi
        from starlette.testclient import TestClient

        patch.setattr(fastapi, "init_access_logging", lambda app: None, raising=False)  # 3.1 has none
        patch.setenv("PODENV_CATALOGUE", str(project / "envs"))
        fill_home(project)
        with TestClient(fastapi.create_app("core")) as client:
            yield client
        fastapi.purge_cached_app()


@pytest.fixture
def get(served: Any, project: Path, monkeypatch: pytest.MonkeyPatch) -> Get:
    """The answer to a GET below the page's address, as a viewer unless ``role`` says otherwise; None is nobody."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    monkeypatch.setenv("PODENV_CATALOGUE", str(project / "envs"))
    # The library has read KUBECONFIG when it was loaded.
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(project / "absent"))
    monkeypatch.setenv("KUBECONFIG", str(project / "absent"))
    # The database is the whole session's.
    monkeypatch.setattr(type(get_auth_manager()), "get_authorized_dag_ids", lambda self, **_: {"report"})
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    def ask(path: str, *, role: str | None = "viewer", accept: str = "text/html") -> Any:
        served.cookies.clear()
        if role is not None:
            served.cookies.set(
                "_token", get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="vera", role=role))
            )
        return served.get(f"/podenv/{path}", headers={"Accept": accept}, follow_redirects=False)

    return ask


@pytest.fixture(scope="module")
def postgres(served: Any) -> Iterator[Any]:
    """An engine of a PostgreSQL whose day begins 14 hours before ours, with Airflow's tables."""
    if postgresserver.programs() is None:
        pytest.skip("This machine has no PostgreSQL: apt-get install postgresql.")
    from airflow.models import import_all_models
    from airflow.models.base import Base
    from sqlalchemy import create_engine

    import_all_models()  # type: ignore[no-untyped-call]
    with postgresserver.running("Pacific/Kiritimati") as address:
        engine = create_engine(address)
        Base.metadata.create_all(engine)
        yield engine
        engine.dispose()


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def engine(request: pytest.FixtureRequest, served: Any) -> Any:
    """Each database in turn."""
    from airflow import settings

    return request.getfixturevalue("postgres") if request.param == "PostgreSQL" else settings.engine


@contextmanager
def session_of(engine: Any) -> Iterator[Any]:
    """A session whose changes are gone afterwards."""
    from sqlalchemy.orm import Session

    with engine.connect() as connection, connection.begin() as all_of_it:
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            yield session
        all_of_it.rollback()


@contextmanager
def pages_over(served: Any, session: Any) -> Iterator[None]:
    """The page reads this session."""
    from airflow.api_fastapi.common.db.common import _get_session

    mounted = next(route.app for route in served.app.routes if getattr(route, "path", "") == "/podenv")
    mounted.dependency_overrides[_get_session] = lambda: session
    try:
        yield
    finally:
        del mounted.dependency_overrides[_get_session]
