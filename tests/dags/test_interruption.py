"""SIGTERM while a task runs: the whole process tree ends, and it is never a success."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.dags.conftest import Run


pytestmark = pytest.mark.usefixtures("_sigterm")


def test_sigterm_ends_the_tree_and_fails_the_task(run_dag: Callable[..., Run]) -> None:
    marker = f"podenv-interrupted-{os.getpid()}-{time.time_ns()}"

    def terminate(task: str, line: str) -> None:
        if line == "asleep":
            threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()

    began = time.monotonic()
    run = run_dag("interrupted", conf={"marker": marker}, on_line=terminate)
    assert {task.task_id: task.state for task in run.result.tasks} == {"decorated": "failed", "plain_task": "failed"}
    for task in run.result.tasks:
        assert "was ended from outside" in str(task.error)
    assert time.monotonic() - began < 60
    assert subprocess.run(["pgrep", "-f", marker], stdout=subprocess.DEVNULL, check=False).returncode == 1
