"""One repository for all tests of this folder."""

from collections.abc import Iterator

import pytest
from tests.team import team as repositories
from tests.team.team import Team


@pytest.fixture(scope="session")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with repositories.made(tmp_path_factory.mktemp("team")) as made:
        yield made
