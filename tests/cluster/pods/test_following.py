"""Every line that a pod prints is in the task's log once and in order, whatever is cut in between."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from tests.cluster.pods.devcluster_parts import restart

if TYPE_CHECKING:
    from tests.cluster.pods.conftest import Cluster, InBackground, Outcome

    Run = Callable[..., Outcome]
    Start = Callable[..., InBackground]


def bursts(lines: int) -> int:
    print("\n".join(f"{number:07}" * 10 for number in range(lines)))
    return lines


def counts(lines: int, pause: float) -> int:
    import time

    for number in range(lines):
        print(number)
        time.sleep(pause)
    return lines


def prints_oddly() -> None:
    import os
    import sys

    print()
    print("x" * 40_000)
    sys.stderr.write("to stderr\n")
    os.write(1, b"not utf-8: \xff\n")
    print("no newline", end="")


def returns(size: int) -> str:
    return "é" * size


def test_the_log_of_a_burst_is_whole_although_the_container_ends_at_once(run: Run) -> None:
    outcome = run(bursts, 20_000)
    assert outcome.value == 20_000
    assert outcome.printed == [f"{number:07}" * 10 for number in range(20_000)]


def test_odd_lines_arrive_as_they_were_printed(run: Run) -> None:
    assert run(prints_oddly).printed == [
        "",
        "x" * 40_000,
        "to stderr",
        "not utf-8: \N{REPLACEMENT CHARACTER}",
        "no newline",
    ]


def test_a_large_result_comes_back_whole(run: Run) -> None:
    assert run(returns, 400_000).value == "é" * 400_000


def test_without_logs_only_the_result_is_read(run: Run) -> None:
    small, large = run(counts, 3, 0, get_logs=False), run(returns, 20_000, get_logs=False)
    assert (small.value, small.printed) == (3, [])
    assert (large.value, large.printed) == ("é" * 20_000, [])


def test_a_stream_that_is_cut_again_and_again_loses_and_doubles_nothing(start: Start, cluster: Cluster) -> None:
    running = start(counts, 300, 0.02)
    done = threading.Event()

    def cut() -> None:
        while not done.wait(0.4):
            cluster.proxy.cut()

    knife = threading.Thread(target=cut)
    knife.start()
    try:
        outcome = running.outcome()
    finally:
        done.set()
        knife.join()
    assert outcome.value == 300
    assert outcome.printed == [str(number) for number in range(300)]


@pytest.mark.devcluster
def test_a_task_outlives_a_restart_of_the_api_server(start: Start, cluster: Cluster) -> None:
    running = start(counts, 40, 0.25, task_id="outlives")
    cluster.await_pod("outlives", lambda pod: pod.status.phase == "Running")
    restart("apiserver")
    outcome = running.outcome(90)
    assert outcome.value == 40
    assert outcome.printed == [str(number) for number in range(40)]


def test_lines_that_the_node_rotated_away_leave_one_line_that_says_so(
    start: Start, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader is away while the container prints more than the kubelet keeps (5 files of 10 MiB)."""
    from podenv.pods.follow import GAP, PodFollower

    away = threading.Event()
    real = PodFollower._stream_once

    def slow(self: PodFollower, done: Callable[[], bool], silence: float, *, follow: bool) -> bool:
        if self._lines.lines and not away.is_set():
            away.set()
            time.sleep(14)
        return real(self, done, silence, follow=follow)

    monkeypatch.setattr(PodFollower, "_stream_once", slow)
    running = start(floods, 75, task_id="floods")
    cluster.await_pod("floods", lambda pod: pod.status.phase == "Running")
    time.sleep(1.5)
    cluster.proxy.cut()
    outcome = running.outcome(120)
    assert outcome.value == 75
    numbers = [int(line.split()[0]) for line in outcome.printed if line != GAP]
    assert outcome.printed.count(GAP) == 1
    assert numbers == sorted(set(numbers))
    assert numbers[0] == 0
    assert numbers[-1] == 75 * 1024


def floods(megabytes: int) -> int:
    import time

    print(0, "x" * 1000)
    time.sleep(3)
    for number in range(1, megabytes * 1024):
        print(number, "x" * 1000)
    time.sleep(14)
    print(megabytes * 1024, "the end")
    return megabytes
