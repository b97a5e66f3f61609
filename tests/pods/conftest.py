"""A simulated API server for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.pods.apiserver import ApiServer


@pytest.fixture
def server() -> Iterator[ApiServer]:
    """An empty cluster with one node."""
    made = ApiServer()
    yield made
    made.close()
