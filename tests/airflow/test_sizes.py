"""`podenv sizes` against Airflow's own REST API, on a socket, with a real database."""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from typer.testing import CliRunner

from podenv.cli.app import app
from podenv.dagrun import home
from podenv.errors import AirflowApiError
from podenv.usage import airflowapi
from podenv.usage.airflowapi import AirflowApi, Login
from podenv.usage.runs import Sizes

NOW = datetime.now(UTC).replace(microsecond=0)
RUNS, MIB = 230, 2**20
LOCK, OTHER = "a" * 64, "b" * 64


def usage(number: int) -> dict[str, Any]:
    return {
        "environment": "plain",
        "lock": OTHER if number < 5 else LOCK,
        "state": "success",
        "seconds": -1.0 if number == 9 else 10.0,
        "peak_memory_bytes": (100 + number % 20) * MIB,
        "memory_request_bytes": 512 * MIB,
        "memory_limit_bytes": 512 * MIB,
        "cpu_seconds": 4.0,
        "cpu_request_cores": 1.0,
        "cpu_limit_cores": 1.0,
        "throttled_seconds": None,
        "growths": 0,
    }


def fill() -> None:
    """A DAG with a mapped task that ran often, one long ago, and one that podenv knows nothing of."""
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.dagrun import DagRun
    from airflow.models.renderedtifields import RenderedTaskInstanceFields
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.models.taskinstance import TaskInstance
    from airflow.sdk import DAG
    from airflow.serialization.serialized_objects import LazyDeserializedDAG
    from airflow.utils.session import create_session
    from sqlalchemy import insert
    from uuid6 import uuid7

    with create_session() as session:
        if session.get(DagModel, "sized") is not None:
            return
        if session.get(DagBundleModel, "sized") is None:
            session.execute(insert(DagBundleModel).values(name="sized"))
        session.execute(
            insert(DagModel).values(
                dag_id="sized", bundle_name="sized", fileloc="sized.py", is_paused=False, is_stale=False,
                max_active_tasks=1, max_consecutive_failed_dag_runs=0, has_task_concurrency_limits=False,
            )
        )  # fmt: skip
        SerializedDagModel.write_dag(
            LazyDeserializedDAG.from_dag(DAG("sized", schedule=None)), "sized", session=session
        )
        session.execute(
            insert(DagRun).values(
                dag_id="sized", run_id="r", run_type="manual", state="success", run_after=NOW, start_date=NOW
            )
        )
        one = {"dag_id": "sized", "run_id": "r", "pool": "default_pool", "state": "success", "try_number": 1}
        instances, fields = [], []
        for number in range(RUNS + 2):
            task = ("other", "old")[number - RUNS] if number >= RUNS else "clean"
            days = 60 if task == "old" else 1
            instances.append(
                {**one, "id": uuid7(), "task_id": task, "map_index": number if task == "clean" else -1,
                 "operator": "EnvPodOperator", "start_date": NOW - timedelta(days, -number), "duration": 10.0}
            )  # fmt: skip
            rendered = {"op_args": "x" * 4000} if task == "other" else {"podenv": usage(number), "op_args": "x" * 4000}
            fields.append(
                {"dag_id": "sized", "run_id": "r", "task_id": task, "map_index": instances[-1]["map_index"],
                 "rendered_fields": rendered}
            )  # fmt: skip
        session.execute(insert(TaskInstance), instances)
        session.execute(insert(RenderedTaskInstanceFields), fields)


@pytest.fixture(scope="module")
def airflow() -> Iterator[str]:
    """The address of Airflow's API server, which wants a login."""
    import uvicorn

    home.ensure_database()
    passwords = Path(os.environ["AIRFLOW_HOME"]) / "simple_auth_manager_passwords.json.generated"
    passwords.write_text(json.dumps({"ada": "lovelace"}))
    settings = {
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(64),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "ada:viewer",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    from airflow.api_fastapi import app as fastapi

    fill()
    patch = pytest.MonkeyPatch()
    patch.setattr(fastapi, "init_access_logging", lambda app: None)  # it prints into what the command says
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(fastapi.create_app("core"), log_level="error", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    until = time.monotonic() + 60
    while not server.started:
        assert time.monotonic() < until
        time.sleep(0.05)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(20)
    patch.undo()
    fastapi.purge_cached_app()
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.fixture
def run(airflow: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`podenv sizes` with these words, as the user `ada`."""
    for name, value in {"URL": airflow, "USER": "ada", "PASSWORD": "lovelace"}.items():
        monkeypatch.setenv(f"PODENV_AIRFLOW_{name}", value)
    return lambda *words: CliRunner().invoke(app, ["sizes", *words])


def login(url: str) -> Login:
    return Login(url, user="ada", password="lovelace")


def test_the_runs_of_a_task_are_read_page_by_page_and_summed_up(run: Any) -> None:
    done = run("sized", "--json")
    assert done.exit_code == 0, done.output
    (task,) = json.loads(done.stdout)["tasks"]
    assert (task["dag"], task["task"], task["environment"]) == ("sized", "clean", "plain")
    # The lock in force is the catalogue's; here it is that of the newest run.
    assert (task["runs"], task["other_lock"], task["odd"]) == (RUNS - 5, 5, 1)
    assert task["memory"] == {"p50": 109 * MIB, "p95": 118 * MIB, "max": 119 * MIB}
    assert (task["proposed_memory"], task["proposed_cpu"]) == ("160Mi", "500m")


def test_the_table_says_what_was_left_out(run: Any) -> None:
    said = run("sized").output
    assert "109 / 118 / 119 MiB" in said
    assert "memory 160Mi, cpu 500m" in said
    assert "5 runs on another lock than the one in force are left out." in said
    assert "The times of 1 run cannot be right (a clock was set), and are left out." in said


def test_runs_that_began_before_are_left_out_unless_they_are_asked_for(run: Any) -> None:
    assert "old" not in run().output
    assert "old" in run("--since", "10w").output


def test_progress_is_told_and_pages_are_bounded(airflow: str) -> None:
    told: list[tuple[int, int | None]] = []
    found = Sizes()
    found.add(AirflowApi(login(airflow)).runs("sized", None, progress=lambda *one: told.append(one)))
    assert [read for read, _ in told] == [100, 200, RUNS + 2]
    assert {total for _, total in told} == {RUNS + 2}
    assert found.runs == RUNS + 1


def test_a_wrong_name_of_a_dag_is_an_error_that_says_what_was_meant(run: Any) -> None:
    done = run("size")
    assert done.exit_code == 1
    assert "has no DAG 'size' that you may read. Did you mean 'sized'?" in done.output


def test_a_wrong_password_and_a_missing_login_are_one_error_each(airflow: str) -> None:
    with pytest.raises(AirflowApiError, match="refuses 'ada' or the password"):
        AirflowApi(Login(airflow, user="ada", password="wrong"))
    with pytest.raises(AirflowApiError, match=r"wants a login .*set PODENV_AIRFLOW_TOKEN, or name a user with --user"):
        list(AirflowApi(Login(airflow)).runs(None, None))
    with pytest.raises(AirflowApiError, match=r"wants a login|does not let you read"):
        list(AirflowApi(Login(airflow, token="no.such.token")).runs(None, None))


def test_the_operators_that_are_asked_for_are_podenvs() -> None:
    from podenv.airflow import decorator, family, operator

    known = [operator.EnvPodOperator, decorator.EnvDecoratedOperator]
    known += [family._BranchOperator, family._ShortCircuitOperator, family._SensorOperator]
    assert tuple(one.__name__ for one in known) == airflowapi.OPERATORS


def test_an_airflow_that_is_away_is_one_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(
        AirflowApiError, match=f"Airflow at http://127.0.0.1:{port} cannot be reached: Connection refused"
    ):
        list(AirflowApi(Login(f"http://127.0.0.1:{port}")).runs(None, None))


class _Other(BaseHTTPRequestHandler):
    """Something else at that address: another web page, or Airflow before 3.3, which takes no cursor."""

    pages: ClassVar[list[Any]]
    asked: ClassVar[list[str]]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        found = self.pages.pop(0) if self.pages else None
        body = b"<html>not found</html>" if found is None else json.dumps(found).encode()
        self.send_response(404 if found is None else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def other() -> Iterator[tuple[str, type[_Other]]]:
    class Handler(_Other):
        pages: ClassVar[list[Any]] = []
        asked: ClassVar[list[str]] = []

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", Handler
    server.shutdown()
    thread.join()
    server.server_close()


def test_another_server_at_the_address_is_one_error(other: tuple[str, type[_Other]]) -> None:
    with pytest.raises(AirflowApiError, match="There is no API of Airflow 3 at"):
        list(AirflowApi(Login(other[0])).runs(None, None))


def test_an_older_airflow_without_cursors_is_read_by_offset(other: tuple[str, type[_Other]]) -> None:
    url, handler = other
    one = {"dag_id": "d", "task_id": "t", "rendered_fields": {"podenv": usage(50)}}
    handler.pages += [{"task_instances": [one] * 2, "total_entries": 3}, {"task_instances": [one], "total_entries": 3}]
    assert len(list(AirflowApi(Login(url)).runs(None, None))) == 3
    assert [path.rpartition("offset=")[2] for path in handler.asked] == ["0", "2"]


def test_a_hundred_thousand_runs_are_a_thousand_pages_of_which_one_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    api, held = AirflowApi(Login("http://127.0.0.1:9")), []

    def page(path: str, query: list[tuple[str, str]], **_: object) -> dict[str, Any]:
        at = int(dict(query)["cursor"] or 0)
        held.append(at)
        one = {"dag_id": "d", "task_id": f"t{at % 3}", "rendered_fields": {"podenv": usage(50)}}
        following = str(at + 100) if at + 100 < 100_000 else None
        limit = {"total_entries": 10_000, "total_entries_limit": 10_000, "next_cursor": following}
        return {"task_instances": [one] * 100, **limit}

    monkeypatch.setattr(api, "_ask", page)
    found, told = Sizes(), []
    found.add(api.runs(None, None, progress=lambda *one: told.append(one)))
    assert (found.runs, len(held), told[-1]) == (100_000, 1000, (100_000, None))
