"""A process that waits for its Call on standard input, as a pod of a pool does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.test_runtime import PYTHONS, TOKEN, VERSIONS

from podenv.call import warm
from podenv.call.source import build_call
from podenv.runtime import travel_env
from podenv.runtime.frame import FrameReader

Start = Callable[..., "subprocess.Popen[bytes]"]


def double(number: int) -> list[Any]:
    import os
    import sys

    print("it runs", sys.stdin.read())
    return [2 * number, os.environ.get("WORD"), [name for name in os.environ if "PODENV" in name]]


def loaded(name: str) -> bool:
    import sys

    return name in sys.modules


def variables(function: Callable[..., Any], *args: Any, **more: str) -> dict[str, str]:
    travel = travel_env(build_call(function, args, {}), TOKEN, linger=0)
    return {name: value for name, value in travel.items() if name != warm.RUNTIME} | more


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a process that waits, on a Python of this machine."""
    with ExitStack() as stack:

        def started(python: str = sys.executable, **env: str) -> subprocess.Popen[bytes]:
            whole = {"PATH": os.environ["PATH"], warm.RUNTIME: warm.runtime(), **env}
            pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
            process = subprocess.Popen([python, "-c", warm.loader()], env=whole, **pipes)
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield started


def told(output: bytes) -> tuple[Any, list[str]]:
    """The value, and what the reader of the log sees."""
    log: list[str] = []
    reader = FrameReader(TOKEN, log.append)
    reader.feed(output)
    reader.close()
    assert reader.result is not None
    assert reader.result.error is None
    return reader.result.value, log


@pytest.mark.parametrize("python", [PYTHONS[version] for version in VERSIONS], ids=VERSIONS)
def test_it_says_that_it_has_the_call_and_makes_it_with_the_variables_that_came_along(
    start: Start, python: str
) -> None:
    process = start(python)
    output, _ = process.communicate(warm.message(variables(double, 21, WORD="Grüße €")), timeout=20)
    assert output.startswith(warm.taken(TOKEN))
    assert told(output) == ([42, "Grüße €", []], ["it runs "])
    assert process.returncode == 0


def test_modules_that_it_was_told_to_are_there_before_the_call(start: Start) -> None:
    asked = {"PODENV_WARM_IMPORTS": '["xml.dom", "json"]'}
    output, _ = start(**asked).communicate(warm.message(variables(loaded, "xml.dom")), timeout=20)
    assert told(output) == (True, [])


def test_a_module_that_cannot_be_imported_is_named_with_why(start: Start) -> None:
    process = start(PODENV_WARM_IMPORTS='["json", "no_such_module"]')
    output, _ = process.communicate(timeout=20)
    reason = "no_such_module of warm.imports cannot be imported: ModuleNotFoundError: No module named 'no_such_module'"
    assert (process.returncode, output.decode()) == (213, reason + "\n")


def test_the_runtime_of_another_podenv_comes_with_the_call(start: Start) -> None:
    own = travel_env(build_call(double, (21,), {}), TOKEN, linger=0)
    output, _ = start().communicate(warm.message(own), timeout=20)
    assert told(output)[0] == [42, None, []]


@pytest.mark.parametrize("size", [0, 1, 16, 40])
def test_half_a_message_ends_it(start: Start, size: int) -> None:
    process = start()
    output, _ = process.communicate(warm.message(variables(double, 21))[:size], timeout=20)
    assert (process.returncode, output) == (65, b"")


@pytest.mark.parametrize("message", [b"GET / HTTP/1.1\r\n\r\n", b"podenv1 ffffffff\n", b"podenv1 00000002\n{}"])
def test_what_is_no_message_ends_it(start: Start, message: bytes) -> None:
    process = start()
    process.communicate(message, timeout=20)
    assert process.returncode == 65


def test_sigterm_ends_it_at_once_while_it_waits(start: Start) -> None:
    process = start()
    signals = Path(f"/proc/{process.pid}/status")
    deadline = time.monotonic() + 10
    while not _catches(signals.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 143


def _catches(status: str) -> bool:
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)
