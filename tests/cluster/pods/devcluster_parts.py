"""Stop and start parts of the dev cluster of this machine; tests that need that skip on any other cluster."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devcluster import processes
from devcluster.places import Places
from devcluster.processes import Identity

SCRIPT = Path(__file__).parents[3] / "scripts" / "dev-cluster"


def _process(name: str) -> Identity:
    places = Places.from_environment(os.environ)
    found = processes.recorded(places.state / "processes", name)
    if os.environ.get("KUBECONFIG") != str(places.kubeconfig) or found is None or not processes.is_alive(found):
        pytest.skip(f"stops the {name} of the dev cluster, which is not the cluster in use")
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
