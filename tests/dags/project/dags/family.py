"""``@task``'s family, each member in an environment and beside it Airflow's own: both must end alike."""

from datetime import datetime
from typing import Any

from airflow.sdk import PokeReturnValue, dag, task

KINDS = {
    "own": (task.branch, task.short_circuit, task.sensor),
    "env": (task.env_branch("plain"), task.env_short_circuit("plain"), task.env_sensor("plain")),
}


def follow(branch: Any, prefix: str) -> None:
    """Two tasks of which the branch picks one, or none."""

    @task(task_id=f"{prefix}_left")
    def left() -> None: ...

    @task(task_id=f"{prefix}_right")
    def right() -> None: ...

    branch >> [left(), right()]


def chain(first: Any, prefix: str) -> None:
    """A task after ``first``, and one after that which runs whatever came before."""

    @task(task_id=f"{prefix}_next")
    def after() -> None: ...

    @task(task_id=f"{prefix}_last", trigger_rule="all_done")
    def last() -> None: ...

    first >> after() >> last()


def picks(name: str | None) -> str | None:
    return name


def picks_many(names: list) -> list:
    return names


def answers(value: Any) -> Any:
    return value


def counts(folder: str, until: int) -> bool:
    """True the ``until``-th time that it is called with this folder."""
    import pathlib

    file = pathlib.Path(folder)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as log:
        log.write("poked\n")
    return len(file.read_text().splitlines()) >= until


@dag(schedule=None, start_date=datetime(2024, 1, 1), params={"folder": ""})
def family():
    for kind, (branch, short_circuit, sensor) in KINDS.items():
        for name, function, value in (
            ("one", picks, f"{kind}_one_left"),
            ("none", picks, None),
            ("both", picks_many, [f"{kind}_both_left", f"{kind}_both_right"]),
        ):
            follow(branch(function).override(task_id=f"{kind}_{name}")(value), f"{kind}_{name}")
        chain(short_circuit(answers).override(task_id=f"{kind}_goes")({"rows": 1}), f"{kind}_goes")
        chain(short_circuit(answers).override(task_id=f"{kind}_stops")([]), f"{kind}_stops")
        chain(
            short_circuit(answers).override(task_id=f"{kind}_spares", ignore_downstream_trigger_rules=False)(False),
            f"{kind}_spares",
        )
        for mode in ("poke", "reschedule"):
            sensor(counts).override(task_id=f"{kind}_{mode}", mode=mode, poke_interval=0.1)(
                "{{ params.folder }}" + f"/{kind}_{mode}", 2
            )
        sensor(answers).override(task_id=f"{kind}_soft", soft_fail=True, timeout=0, poke_interval=0)(False)
        mapped = short_circuit(answers).override(task_id=f"{kind}_mapped")
        chain(mapped.expand(value=[0, 1]), f"{kind}_mapped")

    @task.sensor
    def own_found():
        return PokeReturnValue(is_done=True, xcom_value={"rows": 2})

    @task.env_sensor("plain")
    def env_found():
        return {"is_done": True, "xcom_value": {"rows": 2}}

    own_found()
    env_found()


family()
