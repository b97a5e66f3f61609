"""Tests in this folder start no program: one that would fails at once, and says where it belongs."""

import sys
from collections.abc import Generator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
STARTS = {"subprocess.Popen", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system"}
_running: list[str] = []


def _refuse(what: str) -> None:
    # Not an Exception: the code under test may handle those.
    pytest.fail(
        f"{_running[0]} starts a program: {what}. Tests in tests/unit start none; "
        "move this test to the folder of its package beside tests/unit (tests/lock, tests/cli ...)."
    )


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if _running and event in STARTS:
        _refuse(f"{event}({arguments[0] if arguments else ''})")


# The interpreter tells an audit hook of every way to start a program, whichever library takes it.
sys.addaudithook(_watch)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    # pytest calls this for tests of other folders too.
    if item.path.is_relative_to(HERE):
        _running.append(item.nodeid)
    try:
        return (yield)
    finally:
        _running.clear()


@pytest.fixture(autouse=True)
def _no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The audit hook hears nothing of multiprocessing's "spawn" (seen with Python 3.11)."""
    monkeypatch.setattr(BaseProcess, "start", lambda process: _refuse(f"multiprocessing's {process.name}"))
