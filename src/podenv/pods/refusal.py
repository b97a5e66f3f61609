"""What a refusal by the API server means for a task."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from kubernetes.client import ApiException

from podenv import causes
from podenv.causes import Verdict
from podenv.errors import PodFailure, PodRefused
from podenv.pods.client import reason_of, words_of


def refusal(error: ApiException, environment: str, what: str) -> PodFailure:
    """Why the API server refused to ``what`` (like ``create a pod in podenv-etl``)."""
    words = words_of(error)
    cause = causes.api(error.status, reason_of(error), words)
    final = cause.verdict is Verdict.FINAL
    if final and error.status == 403 and (missing := re.search(r'cannot (\w+) resource "([^"]+)"', words)):
        also = " with secrets: true" if missing[2] == "secrets" else ""
        return PodRefused(
            f"Environment {environment!r}: Airflow may not {missing[1]} {missing[2]} ({words}); deploy the environment "
            f"if it is not deployed, or add Airflow's service account to `access` in its values{also}"
            f"{_access_line(words)} and run `podenv deploy {environment}`."
        )
    if error.status == 401:
        return PodRefused(
            f"Environment {environment!r}: the API server does not accept Airflow's credentials ({words}); "
            "check the connection that kubernetes_conn_id names."
        )
    if not final:
        return PodFailure(
            f"Environment {environment!r}: the API server could not {what} ({words}); "
            "if that repeats, look after what it names."
        )
    return PodRefused(
        f"Environment {environment!r}: the API server refused to {what} ({words}); "
        "change what it names in the task or in the environment's values."
    )


@contextmanager
def refusals(environment: str, what: str) -> Iterator[None]:
    """Raise what a refusal by the API server within this means for a task, as `refusal` has it."""
    try:
        yield
    except ApiException as error:
        raise refusal(error, environment, what) from None


def _access_line(words: str) -> str:
    """The line of the values that gives a service account, which the refusal names, its rights."""
    account = re.search(r"system:serviceaccount:([^:\"]+):([^\"\s]+)", words)
    if account is None:
        return ""
    return f" (access: {{serviceAccounts: [{{name: {account[2]}, namespace: {account[1]}}}]}})"
