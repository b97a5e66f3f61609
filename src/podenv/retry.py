"""Retries that know why: rules for the ``retry_policy`` of a task (Airflow 3.3 and newer)."""

from __future__ import annotations

TYPE_CHECKING = False  # a DAG file that imports this pays for no more than it uses
if TYPE_CHECKING:
    from datetime import timedelta

    from podenv.airflow.retry import RetryRule


def remote(
    *types: str,
    message: str | None = None,
    delay: timedelta | float | None = None,
    action: str = "retry",
    reason: str | None = None,
) -> RetryRule:
    """A rule of `airflow.sdk.ExceptionRetryPolicy` for what the function raised in its environment.

    ``types`` are names of exceptions, as texts, since Airflow may not have their classes: ``"ValueError"``,
    ``"requests.HTTPError"``. A rule for a type counts for its subclasses. ``message`` is a regular expression, looked
    for in the exception's message. ``delay`` is a timedelta, or seconds; ``action`` is ``retry``, ``fail`` or
    ``default``. Raises `SettingError` for what is not valid, and where Airflow is older than 3.3.
    """
    from podenv.airflow.retry import remote_rule

    return remote_rule(types, message=message, delay=delay, action=action, reason=reason)
