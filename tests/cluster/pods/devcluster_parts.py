"""Stop and start parts of the dev cluster of this machine, for tests that are marked `devcluster`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from devcluster import supervisor
from devcluster.places import Places

PLACES = Places.from_environment(os.environ)


def restart(name: str) -> None:
    """Kill a part at once; the supervisor brings it up again."""
    _tell("kill", name)


@contextmanager
def stopped(name: str) -> Iterator[None]:
    """A part that does not answer meanwhile."""
    _tell("pause", name)
    try:
        yield
    finally:
        _tell("cont", name)


def _tell(command: str, name: str) -> None:
    assert name in supervisor.pids(PLACES), f"the {name} of the dev cluster does not run"
    supervisor.control(PLACES, command, name)
