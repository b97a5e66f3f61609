"""The value and every line of the log come back once and in order, whatever is cut, late or doubled in between."""

from __future__ import annotations

import time
from datetime import timedelta, timezone
from typing import Any

import pytest
from tests.pods import functions, statuses
from tests.pods.apiserver import ApiServer
from tests.pods.engine import Engine, until
from tests.pods.kubelet import run
from tests.pods.nodepod import NodePod

from podenv.errors import Exited, FunctionRaised, PodLost, StartTimedOut, Unschedulable
from podenv.pods import follow
from podenv.pods.follow import GAP

LOG, WATCH = "GET .*/log", "GET .*watch="


def test_the_value_and_the_log_come_back_and_the_pod_is_gone(engine: Engine, server: ApiServer) -> None:
    assert engine.call(functions.double, 21) == 42
    assert engine.told.lines == ["doubling"]
    assert engine.told.steps == [f"{step} etl-task" for step in ("created", "started", "succeeded", "cleaned")]
    (note,) = engine.told.notes
    assert note.startswith("Pod s/etl-task runs on node node-1: scheduled after ")
    until(lambda: server.pods() == [])


def test_a_task_needs_four_requests(engine: Engine, server: ApiServer) -> None:
    engine.call(functions.double, 1)
    assert [asked.line.split("?")[0] for asked in server.requests] == [
        "POST /api/v1/namespaces/s/pods",
        "GET /api/v1/namespaces/s/pods",
        "GET /api/v1/namespaces/s/pods/etl-task/log",
        "DELETE /api/v1/namespaces/s/pods/etl-task",
    ]


def test_what_the_function_raises_comes_back_with_its_type(engine: Engine, server: ApiServer) -> None:
    with pytest.raises(FunctionRaised, match="not a number") as raised:
        engine.call(functions.raises, "not a number")
    assert raised.value.retry
    assert engine.told.lines == ["about to raise"]
    assert engine.told.steps[-2:] == ["failed etl-task", "cleaned etl-task"]
    until(lambda: server.pods() == [])


def test_a_process_that_ends_without_a_result_is_told_by_its_exit_code(engine: Engine) -> None:
    with pytest.raises(Exited, match=r"the process ended with exit code 7\."):
        engine.call(functions.dies, 7)
    assert engine.told.lines == ["about to die"]


@pytest.mark.parametrize("cut", [1, 40, 120, 500, 2000])
def test_a_log_that_is_cut_goes_on_with_the_next_line(engine: Engine, server: ApiServer, cut: int) -> None:
    server.trouble(LOG, times=3, cut=cut)
    assert engine.call(functions.prints, 200) == 200
    assert engine.told.lines == [str(number) for number in range(200)]


@pytest.mark.parametrize("end", [0, 1, 40, 2000])
def test_a_log_that_ends_before_its_container_is_opened_anew(engine: Engine, server: ApiServer, end: int) -> None:
    server.trouble(LOG, times=3, finish=end)
    assert engine.call(functions.prints, 100, 0.002) == 100
    assert engine.told.lines == [str(number) for number in range(100)]


def test_a_log_that_falls_silent_is_opened_anew(engine: Engine, server: ApiServer) -> None:
    server.trouble(LOG, times=2, silence=100)
    assert engine.call(functions.prints, 100) == 100
    assert engine.told.lines == [str(number) for number in range(100)]


def test_a_log_that_trickles_in_odd_pieces_is_put_together(engine: Engine, server: ApiServer) -> None:
    server.trouble(LOG, trickle=(7, 0.0005))
    assert engine.call(functions.prints, 60) == 60
    assert engine.told.lines == [str(number) for number in range(60)]


def test_lines_of_one_moment_that_come_again_are_told_once(engine: Engine, server: ApiServer) -> None:
    def prints_at_once(pod: NodePod) -> None:
        pod.schedule()
        pod.start()
        now = time.time()
        for text in ("same\n", "same\n", "same\n", "other\n"):
            pod.write(text, at=now)
        pod.wait(0.3)
        pod.end(3)

    server.kubelet.plans = [prints_at_once]
    server.trouble(LOG, cut=60)
    server.trouble(LOG, cut=100)
    with pytest.raises(Exited):
        engine.call(functions.double, 1)
    assert engine.told.lines == ["same", "same", "same", "other"]


@pytest.mark.parametrize("stamped", [True, False], ids=["1.20", "newer"])
def test_a_line_longer_than_a_log_entry_is_one_line_although_it_is_cut(
    engine: Engine, server: ApiServer, stamped: bool
) -> None:
    def prints_long_lines(pod: NodePod) -> None:
        pod.log.stamps_each_entry = stamped
        run(pod)

    server.kubelet.plans = [prints_long_lines]
    server.trouble(LOG, cut=20_000)
    server.trouble(LOG, cut=33_000)
    assert engine.call(long_lines) == 2
    assert engine.told.lines == ["x" * 40_000, "y" * 20_000]


def long_lines() -> int:
    print("x" * 40_000)
    print("y" * 20_000)
    return 2


def test_lines_that_were_rotated_away_leave_a_line_that_says_so(engine: Engine, server: ApiServer) -> None:
    def rotates(pod: NodePod) -> None:
        pod.schedule()
        pod.start()
        then = time.time() - 60
        pod.write("first\n", at=then)
        until(lambda: engine.told.lines == ["first"])
        server.cut()
        pod.write("lost\n", at=then + 2)
        pod.write("last\n", at=then + 4)
        pod.log.rotate(keep=1)
        pod.end(3)

    server.kubelet.plans = [rotates]
    with pytest.raises(Exited):
        engine.call(functions.double, 1)
    assert engine.told.lines == ["first", GAP, "last"]


def test_a_node_in_another_time_zone_loses_and_doubles_nothing(engine: Engine, server: ApiServer) -> None:
    def elsewhere(pod: NodePod) -> None:
        pod.log.zone = timezone(timedelta(hours=5, minutes=30))
        run(pod)

    server.kubelet.plans = [elsewhere]
    server.trouble(LOG, times=3, cut=300)
    assert engine.call(functions.prints, 50) == 50
    assert engine.told.lines == [str(number) for number in range(50)]


def test_words_of_the_kubelet_in_place_of_a_log_are_shown_and_the_log_is_read_again(
    engine: Engine, server: ApiServer
) -> None:
    words = b"unable to retrieve container logs for containerd://0123"
    server.trouble(LOG, say=words)
    assert engine.call(functions.prints, 3, 0.1) == 3
    assert engine.told.lines in ([words.decode(), "0", "1", "2"], ["0", "1", "2"])


@pytest.mark.parametrize("get_logs", [True, False])
@pytest.mark.parametrize("size", [0, 20_000], ids=["small", "large"])
def test_a_log_that_a_node_cuts_off_as_if_it_were_whole_is_read_again(
    engine: Engine, server: ApiServer, size: int, get_logs: bool
) -> None:
    """The kubelet restarts while the log of a container that has ended is read: the API server ends it regularly."""
    server.trouble(LOG, delay=1.0, cut=0)
    server.trouble(LOG, times=2, finish=500)
    value = engine.call(functions.prints_and_returns, 40, 0.0, size, follow=get_logs)
    assert value == functions.noise(size)
    assert engine.told.lines == ([str(number) for number in range(40)] if get_logs else [])


def test_a_kubelet_that_does_not_answer_for_a_while_is_waited_for(engine: Engine, server: ApiServer) -> None:
    server.trouble(LOG, times=4, refuse=statuses.refusal(500, "InternalError", "dial tcp 10.0.0.1:10250: i/o timeout"))
    assert engine.call(functions.prints, 3) == 3
    assert engine.told.lines == ["0", "1", "2"]


def test_a_log_that_can_never_be_read_says_so_and_the_value_comes_all_the_same(
    engine: Engine, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "LOG_END_SECONDS", 0.5)
    server.trouble(LOG, times=1000, refuse=statuses.refusal(500, "InternalError", "no such container log"))
    assert engine.call(functions.double, 21) == 42
    assert engine.told.lines == ["[podenv] The rest of the log cannot be read (no such container log)."]


@pytest.mark.parametrize("get_logs", [True, False])
def test_a_result_too_large_for_the_status_is_read_from_the_log(
    engine: Engine, server: ApiServer, get_logs: bool
) -> None:
    assert engine.call(functions.noise, 50_000, follow=get_logs) == functions.noise(50_000)
    assert engine.told.lines == []
    assert len(server.asked(LOG)) == 1


def test_without_logs_a_small_result_comes_with_the_status(engine: Engine, server: ApiServer) -> None:
    assert engine.call(functions.prints, 3, follow=False) == 3
    assert engine.told.lines == []
    assert server.asked(LOG) == []


@pytest.mark.parametrize("follow_log", [True, False])
@pytest.mark.parametrize(
    "trouble",
    [
        {"refuse": statuses.expired()},
        {"cut": 0},
        {"cut": 100},
        {"finish": 0},
        {"finish": 100},
        {"silence": 0},
        {"silence": 100},
        {"drop": True},
        {"trickle": (50, 0.0005)},
        {"refuse": statuses.too_many()},
        {"refuse": statuses.unavailable()},
    ],
    ids=str,
)
def test_a_watch_that_goes_wrong_is_begun_again(
    engine: Engine, server: ApiServer, trouble: dict[str, Any], follow_log: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "WATCH_SECONDS", (1.0, 1.0))
    monkeypatch.setattr(follow, "FIRST_EVENT_SECONDS", 0.1)
    server.trouble(WATCH, times=2, **trouble)
    assert engine.call(functions.prints, 2, 0.1, follow=follow_log, start_timeout=30) == 2
    assert engine.told.lines == (["0", "1"] if follow_log else [])


def test_a_watch_whose_changes_the_server_forgot_is_begun_again(
    engine: Engine, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.trouble(WATCH, times=2, error=statuses.expired())
    assert engine.call(functions.double, 21, follow=False) == 42


def test_bookmarks_say_nothing_of_the_pod(engine: Engine, server: ApiServer) -> None:
    server.answers.always_bookmarks = True
    assert engine.call(functions.prints, 3, 0.2, follow=False) == 3


@pytest.mark.parametrize("get_logs", [True, False])
@pytest.mark.parametrize("how", ["the watch ends", "410", "cut"])
def test_a_pod_that_is_deleted_between_two_watches_is_lost(
    engine: Engine, server: ApiServer, how: str, get_logs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its log only the watch can tell: it must not wait for ever."""
    monkeypatch.setattr(follow, "WATCH_SECONDS", (1.0, 1.0))
    ends: dict[str, Any] = {"the watch ends": {}, "410": {"refuse": statuses.expired()}, "cut": {"cut": 0}}
    running = engine.start(functions.sleeps, 60, follow=get_logs)
    until(lambda: "started etl-task" in engine.told.steps)
    server.trouble(WATCH, before=server.kubelet.pod("etl-task").vanish, **ends[how])
    if get_logs:
        server.kubelet.pod("etl-task").vanish()
    with pytest.raises(PodLost, match=r"the pod s/etl-task was deleted by somebody else before it had a result"):
        running.value()


PULLS = [
    "rpc error: code = DeadlineExceeded desc = context deadline exceeded",
    'failed to pull image "r/etl": context canceled',
    'rpc error: code = Unavailable desc = "transport: Error while dialing: dial tcp 10.0.0.1:443: connection refused"',
    'Get "https://r/v2/": dial tcp: lookup r on 10.0.0.10:53: server misbehaving',
]


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        *(("ErrImagePull", words) for words in PULLS),
        ("ImagePullBackOff", 'Back-off pulling image "r/etl"'),
        ("CreateContainerConfigError", 'secret "vault" not found'),
        ("CreateContainerConfigError", "failed to sync secret cache: timed out waiting for the condition"),
    ],
)
def test_what_may_pass_before_a_container_starts_is_waited_for(
    engine: Engine, server: ApiServer, reason: str, words: str
) -> None:
    def late(pod: NodePod) -> None:
        pod.schedule()
        pod.waiting(reason, words)
        pod.wait(0.2)
        pod.run()

    server.kubelet.plans = [late]
    assert engine.call(functions.double, 21) == 42


def test_a_pod_that_no_node_takes_is_told_in_the_schedulers_words(engine: Engine, server: ApiServer) -> None:
    server.kubelet.plans = [lambda pod: pod.unschedulable("0/1 nodes are available: 1 had untolerated taint.")]
    with pytest.raises(
        Unschedulable, match=r"1 s \(0/1 nodes are available: 1 had untolerated taint\.\); ask for less"
    ):
        engine.call(functions.double, 1, schedule_timeout=1)
    assert server.pods() == []


def test_a_container_that_does_not_start_in_time_is_told_in_the_kubelets_words(
    engine: Engine, server: ApiServer
) -> None:
    def waits(pod: NodePod) -> None:
        pod.schedule()
        pod.waiting("ImagePullBackOff", 'Back-off pulling image "r/etl"')

    server.kubelet.plans = [waits]
    with pytest.raises(StartTimedOut, match=r'within 1 s \(ImagePullBackOff: Back-off pulling image "r/etl"\)'):
        engine.call(functions.double, 1, start_timeout=1)
    until(lambda: server.pods() == [])


def test_the_start_timeout_begins_when_a_node_takes_the_pod(engine: Engine, server: ApiServer) -> None:
    def late(pod: NodePod) -> None:
        pod.unschedulable("full")
        pod.wait(1.5)
        pod.schedule()
        pod.wait(1.2)
        pod.run()

    server.kubelet.plans = [late]
    assert engine.call(functions.double, 21, schedule_timeout=2.5, start_timeout=2.5) == 42
