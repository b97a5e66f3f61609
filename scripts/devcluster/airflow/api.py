"""Airflow's REST API, as its administrator: unpause a DAG, and wait for the end of the run that its schedule makes."""

import json
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from devcluster.errors import DevClusterError

PATIENCE = 600  # seconds for a run, on a busy machine
LINES = 8  # of the log of a task that failed


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
        """The path of the run that the scheduler makes by the DAG's schedule; the DAG is waited for, and unpaused."""
        until = time.monotonic() + PATIENCE
        path = f"/api/v2/dags/{dag}"
        while time.monotonic() < until:
            try:
                self.ask(path, {"is_paused": False}, "PATCH")
                for run in self.ask(f"{path}/dagRuns")["dag_runs"]:
                    return f"{path}/dagRuns/{run['dag_run_id']}"
            except HTTPError as error:  # 404 until its file is read
                if error.code != 404:
                    raise
            time.sleep(1)
        raise DevClusterError(f"Airflow knows no DAG {dag}, or does not run it; see {self.url}")

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
            said = "".join(self._last_words(run, one) for one in tasks if one["state"] == "failed")
            raise DevClusterError(f"{run} ended as {state} ({states}){said}")
        return sorted(tasks, key=lambda one: str(one["end_date"]))

    def _last_words(self, run: str, task: dict[str, Any]) -> str:
        """The end of the log of a task's last try, errors with what they say."""
        log = self.ask(f"{run}/taskInstances/{task['task_id']}/logs/{task['try_number']}")["content"]
        lines = []
        for line in log:
            lines += [line["event"], *(error["exc_value"] for error in line.get("error_detail") or ())]
        return "".join(f"\n{task['task_id']}: {line}" for line in lines[-LINES:])

    def seconds(self, run: str) -> float:
        """The time of a run from its queue to its end."""
        found = self.ask(run)
        begin, end = (datetime.fromisoformat(found[key]) for key in ("queued_at", "end_date"))
        return (end - begin).total_seconds()

    def value(self, run: str, task: str) -> Any:
        """What a task returned."""
        return self.ask(f"{run}/taskInstances/{task}/xcomEntries/return_value?deserialize=true")["value"]
