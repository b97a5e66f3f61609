"""Rules of Airflow's retry policies for what a function raised in its environment (Airflow 3.3 and newer)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from podenv.errors import FunctionRaised, PodenvError, SettingError

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk import RetryRule as RetryRule

_TYPE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_ACTIONS = ("retry", "fail", "default")


def remote_rule(
    types: tuple[str, ...], *, message: str | None, delay: timedelta | float | None, action: str, reason: str | None
) -> RetryRule:
    """The rule that `podenv.retry.remote` describes. Raises `SettingError` for what is not valid."""
    try:
        from airflow.sdk import RetryAction, RetryRule
    except ImportError:
        raise SettingError(
            "podenv.retry needs Airflow 3.3 or newer, where tasks take retry_policy; with an older one leave the "
            "policy out, and set retries."
        ) from None
    _check(types, message, action)
    pause = timedelta(seconds=delay) if isinstance(delay, int | float) else delay
    if pause is not None and pause < timedelta(0):
        raise SettingError(f"podenv.retry.remote: delay is a time of 0 seconds or more, not {delay!r}.")

    class RemoteRule(RetryRule):
        """Matches `FunctionRaised` by what it says of the exception over there."""

        def matches(self, exc: BaseException) -> bool:
            return isinstance(exc, FunctionRaised) and _matches(exc, types, message)

    return RemoteRule(
        exception=FunctionRaised, action=RetryAction(action), retry_delay=pause, reason=reason or _words(types, message)
    )


def retries_all_the_same(policy: Any, error: PodenvError, context: Mapping[str, Any] | Context) -> bool:
    """True if a task's retry policy asks for a retry after an error that is final otherwise."""
    if policy is None:
        return False
    from airflow.sdk import RetryAction

    ti = context["ti"]
    most = getattr(ti, "max_tries", None) or 0
    decision = policy.evaluate(exception=error, try_number=ti.try_number, max_tries=most, context=context)
    return bool(decision.action is RetryAction.RETRY)


def _check(types: tuple[str, ...], message: str | None, action: str) -> None:
    if not types and message is None:
        raise SettingError("podenv.retry.remote needs the type of an exception, or message=.")
    for one in types:
        if not isinstance(one, str) or not _TYPE.fullmatch(one):
            raise SettingError(
                f"podenv.retry.remote: {one!r} is not a valid name of a type; write it as text, like 'ValueError' or "
                "'requests.HTTPError': Airflow may not have the class."
            )
    if action not in _ACTIONS:
        raise SettingError(
            f"podenv.retry.remote: {action!r} is not a valid action; it is one of {', '.join(_ACTIONS)}."
        )
    try:
        re.compile(message or "")
    except re.error as error:
        raise SettingError(
            f"podenv.retry.remote: message={message!r} is not a valid regular expression ({error})."
        ) from None


def _matches(error: FunctionRaised, types: tuple[str, ...], message: str | None) -> bool:
    by_type = not types or any(_is(name, asked) for name in (error.type, *error.bases) for asked in types)
    return by_type and (message is None or re.search(message, error.remote_message) is not None)


def _is(name: str, asked: str) -> bool:
    """True if ``asked`` means the type ``name``, which its package may define in another module than it shows it in."""
    if "." not in asked:
        return name.rpartition(".")[2] == asked
    package, own = name.partition(".")[0], name.rpartition(".")[2]
    return name == asked or (package, own) == (asked.partition(".")[0], asked.rpartition(".")[2])


def _words(types: tuple[str, ...], message: str | None) -> str:
    what = " or ".join(types) or "an exception"
    return f"the function raised {what}{f' with a message like {message!r}' if message else ''}"
