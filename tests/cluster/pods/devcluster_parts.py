"""Stop and start parts of the dev cluster of this machine, for tests that are marked `devcluster`."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devcluster import processes
from devcluster.places import Places
from devcluster.processes import Identity

SCRIPT = Path(__file__).parents[3] / "scripts" / "dev-cluster"


def _process(name: str) -> Identity:
    found = processes.recorded(Places.from_environment(os.environ).state / "processes", name)
    assert found is not None, f"the {name} of the dev cluster does not run"
    assert processes.is_alive(found), f"the {name} of the dev cluster does not run"
    return found


def restart(name: str) -> None:
    """Kill a part at once and bring it up again."""
    os.kill(_process(name).pid, signal.SIGKILL)
    environ = {key: value for key, value in os.environ.items() if key != "KUBECONFIG"}
    subprocess.run([SCRIPT, "up"], env=environ, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@contextmanager
def stopped(name: str) -> Iterator[None]:
    """A part that does not answer meanwhile."""
    pid = _process(name).pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
