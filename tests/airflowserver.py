"""A real Airflow: API server, scheduler with LocalExecutor, DAG processor; on loopback, in a home of its own."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

_START_TIMEOUT = 180.0  # seconds, on a busy machine
_RUN_TIMEOUT = 240.0  # seconds
_PARTS = {
    "api-server": ["api-server", "--host", "127.0.0.1", "--workers", "1"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
}


class Airflow:
    """Its REST API, as the administrator; ``home`` holds its logs."""

    def __init__(self, home: Path, url: str, parts: Mapping[str, subprocess.Popen[bytes]]) -> None:
        self.home = home
        self._url = url
        self._parts = parts
        self._token = ""

    def ask(self, path: str, body: dict[str, Any] | None = None, method: str = "") -> Any:
        """The JSON that the server answers."""
        request = Request(f"{self._url}{path}", method=method or ("GET" if body is None else "POST"))
        request.add_header("Content-Type", "application/json")
        if self._token:
            request.add_header("Authorization", f"Bearer {self._token}")
        with urlopen(request, None if body is None else json.dumps(body).encode(), timeout=30) as answer:
            return json.load(answer)

    def await_dag(self, dag_id: str) -> None:
        """Return when the server knows the DAG."""
        until = time.monotonic() + _START_TIMEOUT
        while True:
            self._check_parts()
            try:
                self._token = self._token or self.ask("/auth/token")["access_token"]
                self.ask(f"/api/v2/dags/{dag_id}")
                return
            except (URLError, OSError) as error:
                if time.monotonic() > until:
                    raise AssertionError(f"Airflow knows no {dag_id}: {error}\n{self.said()}") from None
            time.sleep(0.3)

    def run(self, dag_id: str) -> dict[str, Any]:
        """The run of a DAG that is triggered now, at its end; ``tasks`` as `podenv run --json` has them."""
        self.await_dag(dag_id)
        self.ask(f"/api/v2/dags/{dag_id}", {"is_paused": False}, "PATCH")
        run_id = self.ask(f"/api/v2/dags/{dag_id}/dagRuns", {"logical_date": None})["dag_run_id"]
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}"
        until = time.monotonic() + _RUN_TIMEOUT
        while (state := self.ask(path)["state"]) in ("queued", "running"):
            self._check_parts()
            assert time.monotonic() < until, f"the run is {state} still\n{self.said()}"
            time.sleep(0.3)
        return {"state": state, "tasks": [self._result(path, one) for one in self._instances(path)]}

    def said(self) -> str:
        """The last lines of all its parts and tasks."""
        files = sorted(self.home.rglob("*.log"))
        return "\n".join(f"── {file}\n{file.read_text(errors='replace')[-3000:]}" for file in files)

    def _instances(self, path: str) -> list[dict[str, Any]]:
        return list(self.ask(f"{path}/taskInstances?limit=1000")["task_instances"])

    def _result(self, path: str, task: dict[str, Any]) -> dict[str, Any]:
        at = f"{path}/taskInstances/{task['task_id']}/xcomEntries/return_value?map_index={task['map_index']}"
        try:
            value = self.ask(at)["value"]
        except HTTPError:
            value = None
        return {"task_id": task["task_id"], "map_index": task["map_index"], "state": task["state"], "value": value}

    def _check_parts(self) -> None:
        ended = {name: part.returncode for name, part in self._parts.items() if part.poll() is not None}
        assert not ended, f"{ended} ended\n{self.said()}"


@contextmanager
def started(home: Path, dags: Path, environ: Mapping[str, str]) -> Iterator[Airflow]:
    """Airflow that reads ``dags``; ``environ`` is all that it and its tasks see."""
    home.mkdir(parents=True)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {
        "AIRFLOW_HOME": home,
        "AIRFLOW__CORE__DAGS_FOLDER": dags,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__API__PORT": port,
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
    }
    variables = {**environ, **{name: str(value) for name, value in settings.items()}}
    program = Path(sys.executable).parent / "airflow"
    migrated = subprocess.run([program, "db", "migrate"], env=variables, capture_output=True, text=True, check=False)
    assert migrated.returncode == 0, migrated.stderr
    parts: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, words in _PARTS.items():
            with (home / f"{name}.log").open("wb") as log:
                parts[name] = subprocess.Popen(
                    [program, *words], env=variables, cwd=home, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )  # fmt: skip
        yield Airflow(home, url, parts)
    finally:
        for part in parts.values():
            part.terminate()
        for part in parts.values():
            _end(part)


def _end(part: subprocess.Popen[bytes]) -> None:
    """Wait for it, and end what is left of its session."""
    with suppress(subprocess.TimeoutExpired):
        part.wait(20)
    with suppress(ProcessLookupError):
        os.killpg(part.pid, signal.SIGKILL)
    part.wait(20)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
