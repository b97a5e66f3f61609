"""The same repository on pods: images of its library, its index and its git; its code travels."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests import airflowserver
from tests.chart.helm import SUPPORTED, fetch
from tests.cluster.releases import swept
from tests.team.team import LOGIN, NAMES, PUBLISHED, Team, values

from podenv.release.cluster import Cluster

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def deployed(_cluster: None, team: Team) -> Iterator[Team]:
    """The repository with its environments built, pushed and deployed."""
    prefix = f"podenv-tm{uuid.uuid4().hex[:6]}-"
    own = {
        "PODENV_NAMESPACE_PREFIX": prefix,
        "AIRFLOW__PODENV__NAMESPACE_PREFIX": prefix,
        "PODENV_HELM": os.environ.get("PODENV_HELM") or str(fetch(SUPPORTED[0])),
    }
    there = replace(team, environ={**team.environ, **own})
    with swept(Cluster(), prefix):
        there.podenv("up")
        yield there


@pytest.fixture(scope="module")
def ran(deployed: Team) -> dict[str, Any]:
    """One run by `podenv run`, on pods."""
    return deployed.run("kubernetes")


def test_it_runs_on_pods_as_it_does_here(deployed: Team, ran: dict[str, Any]) -> None:
    assert (ran["state"], ran["result"]) == ("success", PUBLISHED)
    assert sorted({task["environment"] for task in ran["tasks"]}) == NAMES
    assert values(ran) == values(deployed.run())


def test_a_change_of_code_beside_the_dag_needs_no_new_image(deployed: Team, ran: dict[str, Any]) -> None:
    file = deployed.root / "dags" / "common" / "settings.py"
    text = file.read_text()
    file.write_text(text.replace("EUR", "CHF"))
    try:
        again = deployed.run("kubernetes")
    finally:
        file.write_text(text)
    currencies = [
        {task["value"]["currency"] for task in one["tasks"] if task["task_id"] == "price"} for one in (ran, again)
    ]
    assert currencies == [{"EUR"}, {"CHF"}]


def test_a_real_scheduler_runs_it_on_pods(deployed: Team, ran: dict[str, Any], tmp_path: Path) -> None:
    environ = {**deployed.environ, "PODENV_BACKEND": "kubernetes"}
    with airflowserver.started(tmp_path / "airflow", deployed.root / "dags", environ) as airflow:
        assert values(airflow.run("orders")) == values(ran), airflow.said()


def test_images_hold_what_was_locked_and_no_login(deployed: Team) -> None:
    deployed.podenv("verify")
    written = list(Path(deployed.environ["PODENV_CACHE"], "logs").rglob("*.log"))
    # Images that the registry has from an earlier run are not built again; this one's index has another address now.
    assert "pricing" in {file.name.partition("-")[0] for file in written}
    assert [file.name for file in written if LOGIN[1] in file.read_text()] == []
