"""A simulated API server for each test, and the engine with short waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.pods.apiserver import ApiServer
from tests.pods.engine import Engine

from podenv.pods import follow


@pytest.fixture
def server() -> Iterator[ApiServer]:
    """An empty cluster with one node."""
    made = ApiServer()
    yield made
    made.close()


@pytest.fixture
def engines(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Engine]]:
    """Makes executions: one after another, as the tries of a task, or at once, as two workers."""
    monkeypatch.setattr(follow, "FIRST_EVENT_SECONDS", 1.0)
    monkeypatch.setattr(follow, "WATCH_SECONDS", (1.0, 4.0))
    monkeypatch.setattr(follow, "LATE_SECONDS", 1.0)
    monkeypatch.setattr(follow, "LOG_END_SECONDS", 5.0)
    monkeypatch.setattr(follow, "SILENCE_SECONDS", (0.5, 2.0))
    monkeypatch.setattr(follow, "PAUSE_SECONDS", (0.02, 0.2))
    made: list[Engine] = []

    def make() -> Engine:
        made.append(Engine(server))
        return made[-1]

    yield make
    for engine in made:
        engine.close()


@pytest.fixture
def engine(engines: Callable[[], Engine]) -> Engine:
    """One execution of a task."""
    return engines()
