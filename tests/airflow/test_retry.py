"""An error that is final stays so, unless the task's retry policy says otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.airflowtask import execute
from tests.pods import functions, statuses
from tests.pods.apiserver import ApiServer

from podenv import retry
from podenv.airflow.compat import AirflowFailException
from podenv.errors import FunctionRaised, PodRefused

pytest.importorskip("airflow.sdk.definitions.retry_policy", reason="retry policies came with Airflow 3.3")
DENIED = statuses.bad_request('admission webhook "p" denied the request: no')


@pytest.mark.parametrize("asked", [True, False])
def test_a_policy_may_have_a_final_error_tried_again(server: ApiServer, make: Callable[..., Any], asked: bool) -> None:
    from airflow.sdk import ExceptionRetryPolicy, RetryRule

    server.trouble("POST", refuse=DENIED)
    rules = [RetryRule(PodRefused if asked else FunctionRaised)]
    outcome = execute(make(functions.double, 1, retry_policy=ExceptionRetryPolicy(rules=rules)))
    assert type(outcome.error) is (PodRefused if asked else AirflowFailException)


@pytest.mark.usefixtures("server")
def test_what_the_function_raised_reaches_the_policy_with_its_bases(make: Callable[..., Any]) -> None:
    from airflow.sdk import ExceptionRetryPolicy

    policy = ExceptionRetryPolicy(rules=[retry.remote("Exception", message="on purpose", delay=5)])
    outcome = execute(make(functions.raises, "on purpose", retry_policy=policy))
    assert isinstance(outcome.error, FunctionRaised)
    assert (outcome.error.type, outcome.error.bases) == ("ValueError", ("Exception",))
    delay = policy.evaluate(outcome.error, 1, 3).retry_delay
    assert delay is not None
    assert delay.total_seconds() == 5
