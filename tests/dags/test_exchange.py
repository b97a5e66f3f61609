"""Tables and files from one environment to another, and to a plain task, as Airflow runs them on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.local.conftest import add_environment

from podenv import Reference

if TYPE_CHECKING:
    from tests.dags.conftest import Run

DAG = """
from __future__ import annotations

from airflow.sdk import dag, task
from podenv import run_in_env


def rows_of(frame: "polars.DataFrame") -> int:
    return frame.height


def makes(count):
    import pandas as pd
    return pd.DataFrame({"number": range(count)})


@dag(schedule=None)
def tables():
    @task.env("pandas")
    def make() -> pandas.DataFrame:
        import pandas as pd
        return pd.DataFrame({"kind": pd.Categorical(["a", "b", "a"]), "size": pd.array([1, None, 3], "Int64")})

    @task.env("polars")
    def count(frame: polars.DataFrame, ds=None) -> dict:
        return {"library": type(frame).__module__.split(".")[0], "rows": frame.height, "sum": frame["size"].sum()}

    @task.env("pandas", multiple_outputs=True)
    def split(frame) -> dict:
        return {"left": frame.head(1), "rest": [frame.tail(2), 7], "plain": 1}

    @task.env("polars")
    def joins(left: "polars.DataFrame", rest: "list[polars.DataFrame]"):
        return [left.height, rest[0].height, rest[1]]

    @task.env("pandas")
    def many():
        import pandas as pd
        return [pd.DataFrame({"n": [1] * size}) for size in (1, 2, 3)]

    @task.env("polars")
    def height(frame: polars.DataFrame):
        return frame.height

    @task
    def plain(reference):
        with reference.open() as file:
            head = file.read(4)
        return [reference.rows, reference.kind, len(reference.to_pandas()), head.decode(), reference.schema]

    @task.env("pandas")
    def folder():
        import pathlib, tempfile
        made = pathlib.Path(tempfile.mkdtemp()) / "model"
        (made / "inner").mkdir(parents=True)
        (made / "inner" / "weights.bin").write_bytes(b"12345")
        return made

    @task.env("polars")
    def reads(made: Path):
        return [made.name, (made / "inner" / "weights.bin").read_bytes().decode()]

    @task
    def in_the_middle():
        reference = run_in_env("pandas", makes, 5)
        return [run_in_env("polars", rows_of, reference), reference.rows]

    @task.env("pandas", results="exchange")
    def hidden():
        return {"secret": 42}

    @task.env("polars")
    def adds(one, two):
        return one + sum(two)

    @task.env("polars")
    def opens(value: dict):
        return value["secret"]

    @task.env("pandas", results="exchange", multiple_outputs=True)
    def apart():
        return {"one": 1, "two": [2]}

    @task.env_branch("pandas", results="exchange")
    def decide():
        return "opens"

    both = apart()
    adds(both["one"], both["two"])
    frame = make()
    count(frame)
    parts = split(frame)
    joins(parts["left"], parts["rest"])
    height.expand(frame=many())
    plain(frame)
    reads(folder())
    in_the_middle()
    decide() >> opens(hidden())

tables()
"""


@pytest.fixture(scope="module")
def run(run_dag: Callable[..., Run], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    root = tmp_path_factory.mktemp("tables")
    add_environment(root / "envs", "pandas", "3.11", "pandas==2.1.*", "numpy<2", "pyarrow<20")
    add_environment(root / "envs", "polars", "3.13", "polars")
    (root / "dags").mkdir()
    (root / "dags" / "tables.py").write_text(DAG)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PODENV_EXCHANGE", (root / "store").as_uri())
        yield run_dag("tables", folder=root / "dags")


def value(run: Run, task: str) -> Any:
    found = run[task]
    assert found.state == "success", found.error
    return found.value


def test_a_frame_of_pandas_comes_as_one_of_polars_on_another_python(run: Run) -> None:
    assert value(run, "count") == {"library": "polars", "rows": 3, "sum": 4}


def test_xcom_keeps_a_reference_with_the_address_the_schema_and_the_rows(run: Run) -> None:
    reference = value(run, "make")
    assert isinstance(reference, Reference)
    assert (reference.kind, reference.rows) == ("pandas.DataFrame", 3)
    assert [name for name, _ in reference.schema or ()] == ["kind", "size"]
    assert reference.key.startswith("tables/manual__")
    assert "/make/-1/1/" in reference.key
    stored = Path(reference.store.removeprefix("file://"), reference.key)
    assert stored.stat().st_size == reference.bytes


def test_outputs_by_name_lists_and_mapped_tasks_hold_tables(run: Run) -> None:
    assert value(run, "joins") == [1, 2, 7]
    assert [task.value for task in run.all("height")] == [1, 2, 3]


def test_a_plain_task_reads_a_reference(run: Run) -> None:
    rows, kind, length, head, schema = value(run, "plain")
    assert (rows, kind, length, head) == (3, "pandas.DataFrame", 3, "PAR1")
    assert [tuple(column) for column in schema] == value(run, "make").schema


def test_a_folder_comes_with_its_name(run: Run) -> None:
    assert value(run, "reads") == ["model", "12345"]


def test_run_in_env_takes_and_gives_references(run: Run) -> None:
    assert value(run, "in_the_middle") == [5, 5]


def test_a_task_may_let_every_value_take_that_way(run: Run) -> None:
    hidden = value(run, "hidden")
    assert (hidden.kind, hidden.read()) == ("json", {"secret": 42})
    assert value(run, "opens") == 42
    assert value(run, "adds") == 3


def test_what_airflow_decides_by_takes_no_way_through_the_store(run: Run) -> None:
    assert value(run, "decide") == "opens"
