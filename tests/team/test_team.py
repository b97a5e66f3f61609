"""A team's own repository runs as it did with plain `@task`: its code, its library, its indexes, its git."""

from __future__ import annotations

import json
from pathlib import Path

from tests.team import team as repositories
from tests.team.team import PUBLISHED, Team, started, values


def test_it_runs_as_with_plain_tasks_but_for_the_decorator(team: Team, tmp_path: Path) -> None:
    ran = team.run()
    assert (ran["state"], ran["result"]) == ("success", PUBLISHED)
    environments = {task["task_id"]: task["environment"] for task in ran["tasks"]}
    assert environments == {
        "read": "ingest", "price": "pricing", "report": "reporting", "publish": "publishing"
    }  # fmt: skip
    plain = repositories.with_plain_tasks(team, tmp_path)
    python = repositories.everything(team, tmp_path)
    words = [str(python), "-c", "from podenv.cli import main; main()", "run", "orders", "--json"]
    before = json.loads(started(words, plain).stdout)
    assert {task["environment"] for task in before["tasks"]} == {None}
    assert values(ran) == values(before)
