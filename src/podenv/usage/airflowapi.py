"""What tasks used, as Airflow's REST API tells it: the field `podenv` among the rendered fields of their runs.

Pages are read one after the other, and only their figures are kept. The answers are read as JSON, not into the models
of apache-airflow-client, which are those of one version of Airflow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib.util import find_spec
from typing import Any
from urllib.parse import quote, urlsplit

from podenv.errors import AirflowApiError, SettingError, nearest
from podenv.usage.runs import Run

# The classes of podenv's own operators; a class that somebody derives from them has another name.
OPERATORS = ("EnvPodOperator", "EnvDecoratedOperator", "_BranchOperator", "_ShortCircuitOperator", "_SensorOperator")
PAGE_RUNS = 100  # the most that Airflow gives at once, unless [api] maximum_page_limit says otherwise
ANSWER_SECONDS = (10.0, 120.0)  # to connect, and for an answer
_RETRIES = 3
_NAMED_DAGS = 500  # among which the name that was meant is looked for


@dataclass(frozen=True)
class Login:
    """How to log in at the API server ``url``: a ``token``, or a ``user`` with a ``password``; or nothing."""

    url: str
    token: str = field(default="", repr=False)
    user: str = ""
    password: str = field(default="", repr=False)


class AirflowApi:
    """The API server of ``login``. Raises `SettingError` where apache-airflow-client is missing, `AirflowApiError`."""

    def __init__(self, login: Login) -> None:
        if find_spec("airflow_client") is None:
            raise SettingError(
                "Airflow's REST API is read through apache-airflow-client, which is not installed; "
                "install it with `pip install 'podenv[sizes]'`."
            )
        self.url = login.url.rstrip("/").removesuffix("/api/v2")
        if urlsplit(self.url).scheme not in ("http", "https") or not urlsplit(self.url).netloc:
            raise AirflowApiError(
                f"{login.url!r} is not an address of Airflow; write it like https://airflow.example.com."
            )
        from airflow_client.client import ApiClient, Configuration
        from urllib3.util import Retry

        retries = Retry(
            _RETRIES, connect=1, backoff_factor=0.5, status_forcelist=(502, 503, 504), raise_on_status=False
        )
        self._client: Any = ApiClient(Configuration(host=self.url, retries=retries))
        if login.token or login.user:
            self._client.configuration.access_token = login.token or self._token(login)

    def runs(
        self, dag: str | None, since: datetime | None, *, progress: Callable[[int, int | None], None] = lambda *_: None
    ) -> Iterator[Run]:
        """The runs of podenv's tasks, of one DAG or of all, that began ``since``.

        ``progress`` gets how many were read, and of how many (None where Airflow does not say).
        Raises `AirflowApiError`.
        """
        if dag is not None:
            self._check_dag(dag)
        query: list[tuple[str, str]] = [("operator", name) for name in OPERATORS]
        query += [("state", "success"), ("state", "failed"), ("order_by", "id"), ("limit", str(PAGE_RUNS))]
        if since is not None:
            query.append(("start_date_gte", since.isoformat()))
        path = f"/api/v2/dags/{quote(dag or '~', safe='~')}/dagRuns/~/taskInstances"
        read, cursor = 0, ""
        while True:
            # Airflow before 3.3 does not know the cursor and takes the offset; a newer one leaves the offset.
            page = self._ask(path, [*query, ("cursor", cursor), ("offset", str(read))])
            found = page.get("task_instances")
            if not isinstance(found, list):
                raise self._not_airflow(path)
            read += len(found)
            total = page.get("total_entries")
            if isinstance(limit := page.get("total_entries_limit"), int) and isinstance(total, int) and total >= limit:
                total = None  # it counted no further
            yield from (run for one in found if (run := _run(one)) is not None)
            progress(read, total if isinstance(total, int) else None)
            cursor = page.get("next_cursor") or ""
            by_cursor = "next_cursor" in page and page.get("total_entries_limit") is not None
            if not found or (not cursor if by_cursor else isinstance(total, int) and read >= total):
                return

    def _check_dag(self, dag: str) -> None:
        """Raise `AirflowApiError` where there is no such DAG, with the name that was probably meant."""
        if self._ask(f"/api/v2/dags/{quote(dag, safe='')}", [], absent_is_none=True) is not None:
            return
        known: list[str] = []
        while len(known) < _NAMED_DAGS:
            page = self._ask("/api/v2/dags", [("limit", str(PAGE_RUNS)), ("offset", str(len(known)))]).get("dags") or []
            known += [str(one.get("dag_id")) for one in page]
            if len(page) < PAGE_RUNS:
                break
        raise AirflowApiError(
            f"Airflow at {self.url} has no DAG {dag!r} that you may read.{nearest(dag, known)} "
            "`podenv sizes` without a name shows all."
        )

    def _token(self, login: Login) -> str:
        answer = self._ask("/auth/token", [], body={"username": login.user, "password": login.password})
        token = answer.get("access_token")
        if not isinstance(token, str):
            raise AirflowApiError(
                f"Airflow at {self.url} gave no token for {login.user!r}; give one itself, in PODENV_AIRFLOW_TOKEN."
            )
        return token

    def _ask(
        self,
        path: str,
        query: list[tuple[str, str]],
        *,
        body: Mapping[str, str] | None = None,
        absent_is_none: bool = False,
    ) -> Any:
        """The JSON object that the server answers."""
        from airflow_client.client import ApiException
        from urllib3.exceptions import HTTPError

        method, address, headers, sent, _ = self._client.param_serialize(
            "POST" if body else "GET",
            path,
            query_params=query,
            header_params={"Accept": "application/json", "Content-Type": "application/json"},
            body=body,
            auth_settings=[] if body else ["OAuth2PasswordBearer", "HTTPBearer"],
        )
        try:
            answer = self._client.rest_client.request(
                method, address, headers=headers, body=sent, _request_timeout=ANSWER_SECONDS
            )
            data, status = answer.read(), answer.status
        except (HTTPError, OSError, ApiException) as error:
            raise AirflowApiError(self._unreachable(error)) from None
        if status == 404 and absent_is_none and _is_json(data):
            return None
        if status >= 300:
            raise AirflowApiError(self._refusal(status, path, _words(data), user=body["username"] if body else ""))
        try:
            found = json.loads(data)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise self._not_airflow(path)
        return found

    def _unreachable(self, error: Exception) -> str:
        reason = getattr(error, "reason", None) or error
        words = getattr(reason, "strerror", None) or " ".join(str(reason).split()).rpartition(": ")[2]
        words = re.sub(r"^\[Errno -?[0-9]+\] ", "", words).rstrip(".")[:160]
        return f"Airflow at {self.url} cannot be reached: {words}. Check the address, and that its API server runs."

    def _refusal(self, status: int, path: str, words: str, *, user: str) -> str:
        said = f" ({words})" if words else ""
        if user and status in (400, 401, 403, 422):
            return f"Airflow at {self.url} refuses {user!r} or the password{said}; correct them."
        if status == 401:
            return (
                f"Airflow at {self.url} wants a login{said}; set PODENV_AIRFLOW_TOKEN, or name a user with --user. "
                "A token ends after a day: get a new one."
            )
        if status == 403:
            return f"Airflow at {self.url} does not let you read the runs of tasks{said}; ask for that right."
        if status == 404:
            return str(self._not_airflow(path))
        return f"Airflow at {self.url} answers {path} with {status}{said}; look into the log of its API server."

    def _not_airflow(self, path: str) -> AirflowApiError:
        return AirflowApiError(
            f"There is no API of Airflow 3 at {self.url}: {path} is not what it answers. "
            "Name the address that you open in the browser, without the part behind the host and Airflow's own prefix."
        )


def _run(instance: Any) -> Run | None:
    """A task instance; None where podenv has measured nothing of it."""
    if not isinstance(instance, dict):
        return None
    usage = (instance.get("rendered_fields") or {}).get("podenv")
    if isinstance(usage, str):  # a rendered field that was shortened, or written by another serialiser
        try:
            usage = json.loads(usage)
        except ValueError:
            return None
    if not isinstance(usage, dict):
        return None
    known = {"state": instance.get("state"), "started": instance.get("start_date")}
    return Run.of(str(instance.get("dag_id")), str(instance.get("task_id")), {**known, **_given(usage)})


def _given(usage: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in usage.items() if value is not None}


def _is_json(data: bytes) -> bool:
    try:
        return isinstance(json.loads(data), dict)
    except ValueError:
        return False


def _words(data: bytes) -> str:
    """What the server says, in a few words."""
    try:
        said = json.loads(data).get("detail", "")
    except (ValueError, AttributeError):
        return ""
    text = said.get("message", "") if isinstance(said, dict) else said
    return " ".join(str(text).split())[:160].rstrip(".") if isinstance(text, str) else ""
