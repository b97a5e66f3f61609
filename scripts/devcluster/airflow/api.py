"""Airflow's REST API, as its administrator: start a run of a DAG, and wait for its end."""

import json
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from devcluster.errors import DevClusterError

PATIENCE = 600  # seconds for a run, on a busy machine


@dataclass(frozen=True)
class Api:
    """The API server at ``url``, which takes everyone for its administrator."""

    url: str

    def ask(self, path: str, body: dict[str, Any] | None = None, method: str = "") -> Any:
        """The JSON that it answers."""
        token = self._send("/auth/token", None, "GET", {})["access_token"]
        return self._send(path, body, method, {"Authorization": f"Bearer {token}"})

    def _send(self, path: str, body: dict[str, Any] | None, method: str, headers: dict[str, str]) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{self.url}{path}", data, {"Content-Type": "application/json", **headers})
        request.method = method or ("GET" if body is None else "POST")
        with urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def await_dags(self) -> None:
        """Return when the DAG processor has read the project's files, those with errors too."""
        until = time.monotonic() + PATIENCE
        while not any(self.ask(path)["total_entries"] for path in ("/api/v2/dags", "/api/v2/importErrors")):
            if time.monotonic() > until:
                raise DevClusterError(f"Airflow found no DAG within {PATIENCE} s; is there any in dags/?")
            time.sleep(1)

    def start(self, dag: str) -> str:
        """The path of a run of a DAG that begins now; the DAG is waited for, and unpaused."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                self.ask(f"/api/v2/dags/{dag}", {"is_paused": False}, "PATCH")
                break
            except (URLError, OSError) as error:
                if time.monotonic() > until:
                    raise DevClusterError(f"Airflow knows no DAG {dag}: {error}") from None
            time.sleep(1)
        run = self.ask(f"/api/v2/dags/{dag}/dagRuns", {"logical_date": None})["dag_run_id"]
        return f"/api/v2/dags/{dag}/dagRuns/{run}"

    def end(self, run: str) -> list[dict[str, Any]]:
        """The tasks of a run, in their order in time, once it has ended well. Raises DevClusterError."""
        until = time.monotonic() + PATIENCE
        while (state := self.ask(run)["state"]) in ("queued", "running"):
            if time.monotonic() > until:
                raise DevClusterError(f"{run} is {state} still after {PATIENCE} s; see {self.url}")
            time.sleep(1)
        tasks = self.ask(f"{run}/taskInstances")["task_instances"]
        if state != "success":
            states = ", ".join(f"{one['task_id']} {one['state']}" for one in tasks)
            raise DevClusterError(f"{run} ended as {state} ({states})")
        return sorted(tasks, key=lambda one: str(one["end_date"]))

    def seconds(self, run: str) -> float:
        """The time of a run from its trigger to its end."""
        found = self.ask(run)
        begin, end = (datetime.fromisoformat(found[key]) for key in ("queued_at", "end_date"))
        return (end - begin).total_seconds()

    def value(self, run: str, task: str) -> Any:
        """What a task returned."""
        return self.ask(f"{run}/taskInstances/{task}/xcomEntries/return_value?deserialize=true")["value"]
