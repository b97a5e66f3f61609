"""A branch, a short circuit and a sensor in an environment end as Airflow's own do, and skip what those skip."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, task
from tests.dags.conftest import Run


@pytest.fixture(scope="module")
def family(run_dag: Callable[..., Run], tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    folder = tmp_path_factory.mktemp("pokes")
    return run_dag("family", conf={"folder": str(folder)}), folder


def states(run: Run, kind: str) -> dict[tuple[str, int], str]:
    return {
        (one.task_id.partition("_")[2], one.map_index): one.state
        for one in run.result.tasks
        if one.task_id.startswith(f"{kind}_")
    }


def test_every_task_ends_as_with_airflows_own(family: tuple[Run, Path]) -> None:
    env = states(family[0], "env")
    assert env == states(family[0], "own")
    assert {name: env[name, -1] for name in ("one_left", "one_right", "none_left", "stops_last", "spares_last")} == {
        "one_left": "success",
        "one_right": "skipped",
        "none_left": "skipped",
        "stops_last": "skipped",
        "spares_last": "success",
    }
    assert env["soft", -1] == "skipped"


def test_values_are_those_of_airflows_own(family: tuple[Run, Path]) -> None:
    run = family[0]
    for name in ("goes", "both", "found"):
        values = [str(run[f"{kind}_{name}"].value).replace("own_", "").replace("env_", "") for kind in ("own", "env")]
        assert values[0] == values[1]
    assert run["env_found"].value == {"rows": 2}


def test_a_sensor_pokes_until_it_is_done_in_both_modes(family: tuple[Run, Path]) -> None:
    for name in ("own_poke", "env_poke", "own_reschedule", "env_reschedule"):
        assert (family[1] / name).read_text() == "poked\npoked\n"


def test_each_needs_the_name_of_an_environment() -> None:
    for decorate in (task.env_branch, task.env_short_circuit, task.env_sensor):
        with pytest.raises(TypeError, match=r"^@task\.env_\w+ needs the name of an environment: write @task\.env_"):
            decorate(lambda: None)


def test_a_sensor_that_would_be_deferred_names_the_other_way() -> None:
    sensor: Any = task.env_sensor
    waits = sensor("plain", deferrable=True)(returns_true)
    with DAG("deferred", schedule=None), pytest.raises(TypeError, match="mode='reschedule' frees the slot"):
        waits()


def returns_true() -> bool:
    return True
