"""A task that is ended from outside: all of it is gone, and it is never a success."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from podenv import local
from podenv.call import source
from podenv.catalogue.environment import Catalogue
from podenv.errors import Killed
from podenv.local import LocalRun
from podenv.local.child import Child

from .conftest import Runner, alive

both = pytest.mark.parametrize("sampled", [False, True], ids=["cgroup", "sampled"])
MESSAGE = "The task in environment 'small' was ended from outside; none of its processes is left."


def gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + 20
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not any(map(alive, pids))


def with_children() -> None:
    import os
    import subprocess
    import time

    session = subprocess.Popen(["sleep", "300"], start_new_session=True)
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(writer, str(os.getpid()).encode())
            os.execve("/bin/sleep", ["sleep", "300"], {})
        os._exit(0)
    print(os.getpid(), session.pid, int(os.read(reader, 20)), flush=True)
    time.sleep(300)


def stubborn() -> None:
    import os
    import time

    print(os.getpid(), flush=True)
    while True:
        try:
            time.sleep(300)
        except BaseException as error:
            print(type(error).__name__, flush=True)


def careful() -> None:
    import time

    try:
        print("begun", flush=True)
        for _ in range(3000):  # Python does not see a signal that comes just before a sleep begins
            time.sleep(0.1)
    finally:
        print("tidied up", flush=True)


def killed_at_first_line(runner: Runner, function: Callable[..., Any], *, sampled: bool = False) -> LocalRun:
    """A run that is killed from another thread as soon as it has printed; `.call` must raise `Killed`."""
    begun = threading.Event()

    def emit(line: str) -> None:
        runner.lines.append(line)
        begun.set()

    run = runner.run(sampled=sampled, emit=emit)
    with killed_once(begun, run), pytest.raises(Killed) as raised:
        run.call(source.build_call(function, (), {}, None))
    assert str(raised.value) == MESSAGE
    return run


@contextmanager
def killed_once(begun: threading.Event, run: LocalRun) -> Iterator[None]:
    """Another thread kills ``run`` when it has begun."""

    def kill() -> None:
        begun.wait(20)
        run.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    yield
    killer.join()


@both
def test_a_killed_task_is_gone_with_all_that_it_has_started(
    runner: Runner, sampled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "GRACE_SECONDS", 100)
    began = time.monotonic()
    killed_at_first_line(runner, with_children, sampled=sampled)
    pids = [int(pid) for pid in runner.lines[0].split()]
    assert len(set(pids)) == 3
    assert gone(pids)
    assert time.monotonic() - began < local.GRACE_SECONDS


def test_sigterm_comes_first_so_a_function_can_tidy_up(runner: Runner) -> None:
    killed_at_first_line(runner, careful)
    assert runner.lines == ["begun", "tidied up"]


def test_one_that_does_not_end_by_sigterm_is_ended_after_the_grace(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "GRACE_SECONDS", 0.3)
    killed_at_first_line(runner, stubborn)
    assert gone([int(runner.lines[0])])


def test_a_run_that_was_killed_before_it_began_does_not_begin(runner: Runner) -> None:
    run = runner.run()
    run.kill()
    with pytest.raises(Killed):
        run.call(source.build_call(careful, (), {}, None))
    assert runner.lines == []


def test_killing_again_or_after_the_end_does_nothing(runner: Runner) -> None:
    run = killed_at_first_line(runner, careful)
    run.kill()
    run.kill()


def test_a_killed_command_is_gone_too(runner: Runner) -> None:
    begun = threading.Event()

    def emit(line: str) -> None:
        runner.lines.append(line)
        begun.set()

    run = runner.run(emit=emit)
    with killed_once(begun, run), pytest.raises(Killed):
        run.command(["sh", "-c", "sleep 300 & echo $$ $!; wait"])
    assert gone([int(pid) for pid in runner.lines[0].split()])


PARENT = """
import signal, sys
from pathlib import Path
from podenv import local
from podenv.call import source
from podenv.catalogue.environment import Catalogue
from podenv.local import Limits, LocalRun

def forever():
    import os, time
    print("at work", os.getpid(), flush=True)
    while True:
        time.sleep(0.01)

def emit(line):
    print(line, flush=True)

local.GRACE_SECONDS = 100

class TimedOut(BaseException):  # as AirflowTaskTimeout is
    pass

run = LocalRun(Catalogue(Path(sys.argv[1]))["small"], limits=Limits(), env={}, emit=emit)

def on_term(*_):
    run.kill()
    raise TimedOut("as Airflow's own handler does")

signal.signal(signal.SIGTERM, on_term)
if sys.argv[2] == "call":
    run.call(source.build_call(forever, (), {}, None))
else:
    run.command([sys.executable, "-c", "import os, time; print('at work', os.getpid(), flush=True); time.sleep(300)"])
"""


def parent(catalogue: Catalogue, tmp_path: Path, what: str) -> tuple[subprocess.Popen[str], int]:
    """Another process that runs a task, and the task's pid."""
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    process = subprocess.Popen(
        [sys.executable, script, str(catalogue.root), what], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("at work"):
            return process, int(line.split()[-1])
    raise AssertionError(process.communicate()[1])


@pytest.mark.parametrize("what", ["call", "command"])
def test_when_podenv_itself_is_killed_the_task_does_not_live_on(
    catalogue: Catalogue, tmp_path: Path, what: str
) -> None:
    process, pid = parent(catalogue, tmp_path, what)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert gone([pid])


def test_a_signal_handler_can_kill_the_run_that_it_interrupts(catalogue: Catalogue, tmp_path: Path) -> None:
    process, pid = parent(catalogue, tmp_path, "call")
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)  # well within the grace
    assert errors.splitlines()[-1] == "TimedOut: as Airflow's own handler does"
    assert gone([pid])


def test_a_signal_handler_that_interrupts_a_look_at_the_process_waits_for_no_grace() -> None:
    """Popen.poll holds a lock meanwhile; a caller that does not get it hears that the process lives."""
    with Child([sys.executable, "-c", "import time; time.sleep(300)"], env=dict(os.environ)) as child:
        with child._process._waitpid_lock:  # type: ignore[attr-defined]
            began = time.monotonic()
            child.end(20)
        assert time.monotonic() - began < 10


def test_an_exception_of_a_signal_handler_inside_a_look_at_the_process_does_not_hang_its_end() -> None:
    """It may come after Popen.poll has taken its lock, and before the lines that give it back."""
    with Child([sys.executable, "-c", "import time; time.sleep(300)"], env=dict(os.environ)) as child:
        pid = child._process.pid
        child._process._waitpid_lock.acquire()  # type: ignore[attr-defined]
    assert gone([pid])
    assert child._process.returncode == -signal.SIGKILL


def test_ctrl_c_ends_the_task(catalogue: Catalogue, tmp_path: Path) -> None:
    process, pid = parent(catalogue, tmp_path, "call")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert errors.splitlines()[-1] == "KeyboardInterrupt"
    assert gone([pid])
