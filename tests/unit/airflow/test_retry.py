"""Rules of a retry policy for what a function raised in its environment."""

from __future__ import annotations

from datetime import timedelta

import pytest

from podenv import retry
from podenv.errors import FunctionRaised, OutOfMemory, SettingError

pytest.importorskip("airflow.sdk.definitions.retry_policy", reason="retry policies came with Airflow 3.3")


def raised(type: str, message: str = "", *bases: str) -> FunctionRaised:
    return FunctionRaised("etl", type, message, "", bases)


HTTP = raised("requests.exceptions.HTTPError", "503 Server Error", "requests.exceptions.RequestException", "OSError")


@pytest.mark.parametrize(
    ("types", "message", "error", "matches"),
    [
        (["requests.HTTPError"], None, HTTP, True),
        (["requests.exceptions.HTTPError"], None, HTTP, True),
        (["HTTPError"], None, HTTP, True),
        (["requests.RequestException"], None, HTTP, True),
        (["OSError"], None, HTTP, True),
        (["urllib3.HTTPError"], None, HTTP, False),
        (["ValueError", "OSError"], None, HTTP, True),
        (["ValueError"], None, HTTP, False),
        (["requests.HTTPError"], r"^50\d ", HTTP, True),
        (["requests.HTTPError"], r"^40\d ", HTTP, False),
        ([], "Server Error", HTTP, True),
        (["ValueError"], None, raised("ValueError"), True),
        (["OSError"], None, OutOfMemory("etl", "1Gi", ""), False),
    ],
)
def test_a_rule_matches_by_type_its_bases_and_message(
    types: list[str], message: str | None, error: Exception, matches: bool
) -> None:
    assert retry.remote(*types, message=message).matches(error) is matches


def test_airflows_own_policy_takes_the_rules_in_their_order() -> None:
    from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

    policy = ExceptionRetryPolicy(
        rules=[
            retry.remote("requests.HTTPError", message="^4", action="fail"),
            retry.remote("requests.HTTPError", delay=90),
            RetryRule(OutOfMemory, action=RetryAction.FAIL),
        ]
    )
    decision = policy.evaluate(HTTP, 1, 3)
    assert (decision.action, decision.retry_delay) == (RetryAction.RETRY, timedelta(seconds=90))
    assert decision.reason == "the function raised requests.HTTPError"
    assert policy.evaluate(raised("requests.exceptions.HTTPError", "404"), 1, 3).action is RetryAction.FAIL
    assert policy.evaluate(OutOfMemory("etl", "1Gi", ""), 1, 3).action is RetryAction.FAIL
    assert policy.serialize()["rules"][0]["exception"] == "podenv.errors.FunctionRaised"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"types": []}, "needs the type of an exception, or message="),
        ({"types": ["not a name"]}, "'not a name' is not a valid name of a type"),
        ({"types": [ValueError]}, "is not a valid name of a type; write it as text"),
        ({"types": ["E"], "message": "("}, r"message='\(' is not a valid regular expression"),
        ({"types": ["E"], "delay": -1}, "delay is a time of 0 seconds or more, not -1"),
        ({"types": ["E"], "action": "again"}, "'again' is not a valid action; it is one of retry, fail, default"),
    ],
)
def test_what_is_no_rule_is_an_error_when_the_dag_is_read(given: dict[str, object], words: str) -> None:
    types = given.pop("types")
    assert isinstance(types, list)
    with pytest.raises(SettingError, match=words):
        retry.remote(*types, **given)  # type: ignore[arg-type]
