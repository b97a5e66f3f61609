"""The simulated API server's troubles, and its node, do what a test asks of them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from kubernetes.client import ApiException, CoreV1Api
from tests.pods import statuses
from tests.pods.apiserver import ApiServer
from tests.pods.nodepod import NodePod
from urllib3 import HTTPResponse
from urllib3.exceptions import HTTPError, ProtocolError, ReadTimeoutError

Json = dict[str, Any]


def pod(name: str = "p", code: str = "print('here')", **container: Any) -> Json:
    base = {"name": "base", "image": "i", "command": ["python", "-c", code], **container}
    return {"metadata": {"name": name, "labels": {"a": "b"}}, "spec": {"restartPolicy": "Never", "containers": [base]}}


def idle(node: NodePod) -> None:
    """The test takes every step itself."""


def watch(core: CoreV1Api, seconds: int = 5, silence: float = 5.0, **query: Any) -> HTTPResponse:
    query = {"resource_version": "0", "timeout_seconds": seconds, **query}
    response: HTTPResponse = core.list_namespaced_pod(
        "s", watch=True, _preload_content=False, _request_timeout=(5, silence), **query
    )
    return response


def events(response: HTTPResponse) -> Iterator[tuple[str, Json]]:
    buffer = b""
    for data in response.stream(None):
        *lines, buffer = (buffer + data).split(b"\n")
        for line in lines:
            event = json.loads(line)
            yield event["type"], event["object"]
    assert buffer == b""


def log(core: CoreV1Api, silence: float = 5.0, **query: Any) -> HTTPResponse:
    response: HTTPResponse = core.read_namespaced_pod_log(
        "p", "s", _preload_content=False, _request_timeout=(5, silence), **query
    )
    return response


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("refusal", "code", "words"),
    [
        (statuses.quota_exceeded(), 403, "exceeded quota: q"),
        (statuses.forbidden("create", "pods"), 403, "cannot create resource"),
        (statuses.conflict(), 409, "the object has been modified"),
        (statuses.too_many(), 429, "please try again later"),
        (statuses.unavailable(), 503, "503 Service Unavailable"),
    ],
)
def test_a_request_is_refused_as_often_as_planned(
    server: ApiServer, refusal: statuses.Refusal, code: int, words: str
) -> None:
    server.trouble("POST .*/pods$", times=2, skip=1, refuse=refusal)
    core = server.core()
    core.create_namespaced_pod("s", pod("first"))
    for _ in range(2):
        with pytest.raises(ApiException) as raised:
            core.create_namespaced_pod("s", pod())
        assert raised.value.status == code
        assert words in raised.value.body
    assert core.create_namespaced_pod("s", pod()).metadata.name == "p"
    assert len(server.asked("POST .*/pods$")) == 4


def test_an_answer_is_lost_before_or_after_the_request_took_effect(server: ApiServer) -> None:
    core = server.core()
    server.trouble("POST", drop=True)
    with pytest.raises(ProtocolError):
        core.create_namespaced_pod("s", pod())
    assert server.pods() == []
    server.trouble("POST", lose_answer=True)
    with pytest.raises(ProtocolError):
        core.create_namespaced_pod("s", pod())
    assert [found["metadata"]["name"] for found in server.pods()] == ["p"]


def test_credentials_are_refused_until_they_are_renewed(server: ApiServer) -> None:
    server.tokens = {"new"}
    with pytest.raises(ApiException) as raised:
        server.core("old").list_namespaced_pod("s")
    assert raised.value.status == 401
    assert server.core("new").list_namespaced_pod("s").items == []
    assert [asked.token for asked in server.requests] == ["old", "new"]


def test_something_happens_before_and_after_a_request(server: ApiServer) -> None:
    core, done = server.core(), threading.Event()
    server.kubelet.plans = [idle]
    core.create_namespaced_pod("s", pod())
    server.trouble("GET .*/pods/p", before=server.kubelet.pod("p").vanish, after=done.set)
    with pytest.raises(ApiException) as raised:
        core.read_namespaced_pod("p", "s")
    assert raised.value.status == 404
    assert done.wait(5)


def test_a_watch_is_cut_within_a_line_ends_early_or_falls_silent(server: ApiServer) -> None:
    core = server.core()
    server.kubelet.plans = [idle]
    core.create_namespaced_pod("s", pod())
    server.trouble("watch=", cut=100)
    with pytest.raises(ProtocolError):
        list(events(watch(core)))
    server.trouble("watch=", finish=100)
    assert len(watch(core).read()) == 100
    server.trouble("watch=", silence=0)
    with pytest.raises(ReadTimeoutError):
        next(events(watch(core, silence=0.1)))


def test_a_watch_that_asks_for_what_is_forgotten_is_told_so_in_both_ways(server: ApiServer) -> None:
    core = server.core()
    core.create_namespaced_pod("s", pod())
    server.objects.forget()
    ((kind, said),) = events(watch(core, resource_version="1"))
    assert (kind, said["code"], said["reason"]) == ("ERROR", 410, "Expired")
    server.trouble("watch=", refuse=statuses.expired())
    with pytest.raises(ApiException) as raised:
        watch(core)
    assert raised.value.status == 410


def test_bookmarks_come_when_they_are_asked_for(server: ApiServer) -> None:
    core = server.core()
    kinds = [kind for kind, _ in events(watch(core, 1, allow_watch_bookmarks=True))]
    assert kinds
    assert set(kinds) == {"BOOKMARK"}
    assert list(events(watch(core, 1))) == []


def test_a_cut_ends_all_that_is_under_way(server: ApiServer) -> None:
    core = server.core()
    response = watch(core)
    server.cut()
    with pytest.raises(HTTPError):
        list(events(response))
    assert core.list_namespaced_pod("s").items == []


def test_a_log_trickles_is_cut_and_comes_again_from_the_whole_second(server: ApiServer) -> None:
    core = server.core()
    server.kubelet.plans = [idle]
    core.create_namespaced_pod("s", pod())
    node = server.kubelet.pod("p")
    node.schedule()
    with pytest.raises(ApiException, match="ContainerCreating"):
        log(core)
    node.start()
    for number in range(3):
        node.write(f"line {number}\n", at=1_700_000_000.2 + number / 2)
    server.trouble("/log", trickle=(3, 0.001), cut=50)
    with pytest.raises(ProtocolError):
        log(core, timestamps=True, follow=True).read()
    node.end()
    response = core.api_client.call_api(
        "/api/v1/namespaces/s/pods/p/log",
        "GET",
        query_params=[("timestamps", "true"), ("sinceTime", "2023-11-14T22:13:20.9Z")],
        response_types_map={200: "str"},
        _preload_content=False,
        _return_http_data_only=True,
    )
    assert response.read() == (
        b"2023-11-14T22:13:20.200000000Z line 0\n2023-11-14T22:13:20.700000000Z line 1\n"
        b"2023-11-14T22:13:21.200000000Z line 2\n"
    )
    node.log.rotate(keep=1)
    assert log(core).read() == b"line 2\n"


def test_a_newer_node_stamps_the_beginning_of_a_long_line_only(server: ApiServer) -> None:
    core = server.core()
    server.kubelet.plans = [idle]
    core.create_namespaced_pod("s", pod())
    node = server.kubelet.pod("p")
    node.log.stamps_each_entry = False
    node.schedule()
    node.start()
    node.write("x" * 40_000 + "\ny\n", at=0)
    node.end()
    first, second, rest = log(core, timestamps=True).read().split(b"\n")
    assert first == b"1970-01-01T00:00:00.000000000Z " + b"x" * 40_000
    assert (second, rest) == (b"1970-01-01T00:00:00.000000000Z y", b"")


def test_a_process_that_is_asked_to_end_may_take_its_time(server: ApiServer) -> None:
    core = server.core()
    code = "import os, signal, time\nsignal.signal(15, lambda *_: os.write(1, b'asked\\n'))\nos.write(1, b'up\\n')\n"
    core.create_namespaced_pod("s", pod(code=code + "while True: time.sleep(60)"))
    stream = log_once_running(core)
    lines = iter(stream.stream(None))
    assert next(lines) == b"up\n"
    core.delete_namespaced_pod("p", "s", grace_period_seconds=1)
    assert core.read_namespaced_pod("p", "s").metadata.deletion_timestamp is not None
    assert next(lines) == b"asked\n"
    assert list(lines) == []
    until(lambda: server.pods() == [])


def log_once_running(core: CoreV1Api) -> HTTPResponse:
    until(lambda: core.read_namespaced_pod("p", "s").status.phase == "Running")
    return log(core, follow=True)


def test_a_lost_node_keeps_its_pod_and_its_log(server: ApiServer) -> None:
    core = server.core()
    core.create_namespaced_pod("s", pod(code="import time; time.sleep(60)"))
    until(lambda: core.read_namespaced_pod("p", "s").status.phase == "Running")
    server.kubelet.answers = False
    server.kubelet.pod("p").not_ready()
    with pytest.raises(ApiException) as raised:
        log(core)
    assert raised.value.status == 500
    core.delete_namespaced_pod("p", "s", grace_period_seconds=1)
    time.sleep(0.2)
    held = core.read_namespaced_pod("p", "s")
    assert held.metadata.deletion_timestamp is not None
    assert [one.status for one in held.status.conditions if one.type == "Ready"] == ["False"]
    core.delete_namespaced_pod("p", "s", grace_period_seconds=0)  # by force
    assert server.pods() == []


def test_pods_follow_their_plans_in_order(server: ApiServer) -> None:
    def killed(node: NodePod) -> None:
        node.schedule()
        node.start()
        node.tell("Started", "Started container base")
        node.end(137, "OOMKilled")

    def evicted(node: NodePod) -> None:
        node.disrupt("EvictionByEvictionAPI", "Eviction API: evicting")
        node.fail("Evicted", "The node was low on resource: memory.")

    server.kubelet.plans = [killed, evicted]
    core = server.core()
    for name in ("a", "b", "c"):
        core.create_namespaced_pod("s", pod(name))
    until(lambda: all(found["status"]["phase"] in ("Failed", "Succeeded") for found in server.pods()))
    first, second, third = (found["status"] for found in server.pods())
    assert first["containerStatuses"][0]["state"]["terminated"]["reason"] == "OOMKilled"
    assert (second["reason"], second["conditions"][0]["type"]) == ("Evicted", "DisruptionTarget")
    assert third["phase"] == "Succeeded"
    told = core.list_namespaced_event("s", field_selector="involvedObject.name=a").items
    assert [event.reason for event in told] == ["Started"]


def test_nothing_is_left_running_when_the_server_ends() -> None:
    server = ApiServer()
    core = server.core()
    core.create_namespaced_pod("s", pod(code="import time; print('up', flush=True); time.sleep(60)"))
    stream = log_once_running(core)
    threads = threading.active_count()
    began = time.monotonic()
    server.close()
    assert time.monotonic() - began < 10
    assert threading.active_count() < threads
    with suppress(ProtocolError):  # the stream may have been cut within what it sent
        assert list(stream.stream(None)) in ([b"up\n"], [])
    with pytest.raises(HTTPError):
        watch(core)
