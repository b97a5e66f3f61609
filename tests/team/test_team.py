"""A team's own repository runs as it did with plain `@task`: its code, its library, its indexes, its git."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests import airflowserver
from tests.team import team as repositories
from tests.team.team import PUBLISHED, Team, started, values


@pytest.fixture(scope="module")
def ran(team: Team) -> dict[str, Any]:
    """One run by `podenv run`, in local virtual environments."""
    return team.run()


def test_podenv_run_takes_each_task_into_its_environment(ran: dict[str, Any]) -> None:
    assert (ran["state"], ran["result"]) == ("success", PUBLISHED)
    assert {task["task_id"]: task["environment"] for task in ran["tasks"]} == {
        "read": "ingest",
        "price": "pricing",
        "report": "reporting",
        "publish": "publishing",
    }


def test_it_ran_the_same_with_plain_tasks_in_one_environment_of_everything(
    team: Team, ran: dict[str, Any], tmp_path: Path
) -> None:
    plain = repositories.with_plain_tasks(team, tmp_path)
    python = repositories.everything(team, tmp_path)
    words = [str(python), "-c", "from podenv.cli import main; main()", "run", "orders", "--json"]
    before = json.loads(started(words, plain).stdout)
    assert {task["environment"] for task in before["tasks"]} == {None}
    assert values(before) == values(ran)


def test_a_real_scheduler_runs_it_the_same(team: Team, ran: dict[str, Any], tmp_path: Path) -> None:
    environ = {**team.environ, "PODENV_BACKEND": "local"}
    with airflowserver.started(tmp_path / "airflow", team.root / "dags", environ) as airflow:
        assert values(airflow.run("orders")) == values(ran), airflow.said()
