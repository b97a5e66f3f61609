"""A server that is away, throttles, or has let credentials expire costs a task nothing but time."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest
from tests.pods import functions, statuses
from tests.pods.apiserver import ApiServer
from tests.pods.engine import Engine, until
from tests.pods.kubelet import Plan, run
from tests.pods.nodepod import NodePod

from podenv.errors import ClusterUnreachable, PodRefused
from podenv.pods import client

PASSING: dict[str, dict[str, Any]] = {
    "429": {"refuse": statuses.too_many()},
    "429 with a Status": {"refuse": statuses.refusal(429, "TooManyRequests", "the server is busy")},
    "500": {"refuse": statuses.refusal(500, "InternalError", "Internal error occurred: failed calling webhook")},
    "503": {"refuse": statuses.unavailable()},
    "504": {"refuse": statuses.refusal(504, "Timeout", "request did not complete within requested timeout")},
    "409 of a quota": {"refuse": statuses.conflict()},
    "no connection": {"drop": True},
    "no answer": {"lose_answer": True},
}
# create pod, create Secret, watch, log, delete
REQUESTS = ["POST .*/pods$", "POST .*/secrets$", "GET .*watch=", "GET .*/log", "DELETE"]


@pytest.mark.parametrize(
    ("request_", "trouble"),
    [(one, trouble) for one in REQUESTS for trouble in PASSING if "quota" not in trouble or one.startswith("POST")],
)
def test_a_request_that_fails_for_a_while_is_sent_again(
    engine: Engine, server: ApiServer, request_: str, trouble: str
) -> None:
    server.trouble(request_, times=2, **PASSING[trouble])
    assert engine.call(functions.double, 21, payload="secret") == 42
    assert engine.told.lines == ["doubling"]
    until(lambda: server.pods() == [])


@pytest.mark.parametrize("request_", REQUESTS)
def test_credentials_that_expire_are_renewed(engine: Engine, server: ApiServer, request_: str) -> None:
    expire_before(engine, server, request_)
    assert engine.call(functions.double, 21, payload="secret") == 42
    assert engine.renewals == 1
    until(lambda: server.pods() == [])


@pytest.mark.parametrize("request_", REQUESTS)
def test_credentials_that_expire_while_the_server_is_away_are_renewed(
    engine: Engine, server: ApiServer, request_: str
) -> None:
    server.kubelet.plans = [starts_after_three_watches(server) if "watch=" in request_ else run]
    server.trouble(request_, times=2, refuse=statuses.unavailable())
    expire_before(engine, server, request_)
    assert engine.call(functions.double, 21, payload="secret") == 42
    assert engine.renewals == 1
    until(lambda: server.pods() == [])


def test_credentials_that_expire_again_and_again_are_renewed_each_time(engine: Engine, server: ApiServer) -> None:
    for request in REQUESTS:
        expire_before(engine, server, request)
    assert engine.call(functions.double, 21, payload="secret") == 42
    assert engine.renewals == len(REQUESTS)


def starts_after_three_watches(server: ApiServer) -> Plan:
    def plan(pod: NodePod) -> None:
        until(lambda: len(server.asked("watch=")) > 3)
        run(pod)

    return plan


def expire_before(engine: Engine, server: ApiServer, request: str) -> None:
    """The credentials expire just before this request; the next ones are the new ones."""

    def expire() -> None:
        engine.token = f"t{len(server.requests)}"
        server.tokens = {engine.token}

    server.trouble(request, before=expire)


def test_credentials_that_stay_wrong_are_told(
    engine: Engine, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.tokens = set()
    with pytest.raises(PodRefused, match=r"does not accept Airflow's credentials \(Unauthorized\); check the conn"):
        engine.call(functions.double, 1)
    assert engine.renewals >= 1
    assert server.pods() == []


def test_rights_that_come_back_after_a_restart_of_the_server_are_waited_for(engine: Engine, server: ApiServer) -> None:
    """A server that has just started refuses what it allowed before, until it has read its roles."""
    server.trouble("GET .*watch=", times=2, refuse=statuses.forbidden("watch", "pods"))
    server.trouble("GET .*/log", times=2, refuse=statuses.forbidden("get", "pods/log"))
    assert engine.call(functions.double, 21) == 42
    assert engine.told.lines == ["doubling"]


def test_rights_that_were_never_there_are_told_at_once(engine: Engine, server: ApiServer) -> None:
    server.trouble("POST", times=10, refuse=statuses.forbidden("create", "pods"))
    with pytest.raises(PodRefused, match="may not create pods"):
        engine.call(functions.double, 1)
    assert len(server.asked("POST")) == 1


@pytest.mark.parametrize("get_logs", [True, False])
def test_rights_that_stay_away_are_told_and_leave_no_pod(
    engine: Engine, server: ApiServer, get_logs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "RIGHTS_SECONDS", 0.3)
    server.kubelet.plans = [lambda pod: pod.schedule()]
    server.trouble("GET .*watch=", times=100, refuse=statuses.forbidden("watch", "pods"))
    with pytest.raises(PodRefused, match="may not watch pods"):
        engine.call(functions.sleeps, 60, follow=get_logs)
    until(lambda: server.pods() == [])


ENDS: dict[str, dict[str, Any]] = {
    "no connection": {"drop": True},
    "503": {"refuse": statuses.unavailable()},
    "401": {"refuse": statuses.unauthorized()},
    "the kubelet is away": {"refuse": statuses.refusal(500, "InternalError", "dial tcp 10.0.0.1:10250: i/o timeout")},
    "cut": {"cut": 3000},
}


@pytest.mark.parametrize("get_logs", [True, False])
@pytest.mark.parametrize("trouble", list(ENDS))
def test_the_end_of_a_log_is_read_although_the_server_is_away_when_the_container_ends(
    engine: Engine, server: ApiServer, trouble: str, get_logs: bool
) -> None:
    def ends_while_the_server_is_away(pod: NodePod) -> None:
        pod.schedule()
        pod.run()
        server.trouble("GET .*/log", times=2 if trouble == "401" else 4, **ENDS[trouble])
        away.set()

    away = threading.Event()
    server.kubelet.plans = [ends_while_the_server_is_away]
    server.trouble("GET .*/log", before=lambda: away.wait(20) and None, drop=True)
    assert engine.call(functions.noise, 50_000, follow=get_logs) == functions.noise(50_000)
    assert engine.told.lines == []


def test_a_server_that_stays_away_is_given_up_and_may_be_tried_again(
    engine: Engine, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PATIENCE_SECONDS", 0.3)
    server.trouble("POST", times=100, refuse=statuses.unavailable())
    with pytest.raises(ClusterUnreachable) as raised:
        engine.call(functions.double, 1)
    assert raised.value.retry
    assert re.search(
        r"the API server has not answered for \d s \(Service Unavailable\); the pod may", str(raised.value)
    )


def test_a_request_that_is_too_large_is_not_sent_again(engine: Engine, server: ApiServer) -> None:
    too_large = statuses.refusal(500, "InternalError", "etcdserver: request is too large")
    server.trouble("POST", times=100, refuse=too_large)
    with pytest.raises(PodRefused, match="request is too large"):
        engine.call(functions.double, 1)
    assert len(server.asked("POST")) == 1


def test_a_restart_of_the_server_breaks_nothing(engine: Engine, server: ApiServer) -> None:
    def restart(line: str) -> None:
        if line in ("5", "20"):
            server.trouble(".", times=3, drop=True)
            server.cut()

    engine.told.on_line = restart
    assert engine.call(functions.prints, 40, 0.01) == 40
    assert engine.told.lines == [str(number) for number in range(40)]
