"""The pipelines that come with the project, on their real environments and the real penguins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from podenv.dagrun import home

if TYPE_CHECKING:
    from tests.dags.conftest import Run

ROOT = Path(__file__).parents[2]
DAGS = ROOT / "dags"


def test_ingestion_reads_all_raw_rows_and_counts_what_is_missing(run_dag: Callable[..., Run]) -> None:
    run = run_dag("data_ingestion_dag", folder=DAGS)
    assert run["ingest"].value == {
        "rows": 344,
        "missing": {
            "Culmen Length (mm)": 2,
            "Culmen Depth (mm)": 2,
            "Flipper Length (mm)": 2,
            "Body Mass (g)": 2,
            "Sex": 11,
            "Delta 15 N (o/oo)": 14,
            "Delta 13 C (o/oo)": 13,
            "Comments": 290,
        },
    }
    assert run.printed("ingest") == ["344 rows, 17 columns, 336 values missing"]


def test_three_stages_run_on_three_sets_of_versions_and_the_model_is_good(run_dag: Callable[..., Run]) -> None:
    run = run_dag("multi_env_dag", folder=DAGS)
    assert [(task.task_id, task.environment, task.state) for task in run.result.tasks] == [
        ("ingest", "data-ingestion", "success"),
        ("clean", "data-cleaning", "success"),
        ("train", "model-training", "success"),
    ]
    raw, rows = run["ingest"].value["file"], run["clean"].value["rows"]
    with raw.open() as file:
        assert (raw.kind, raw.name, len(file.readlines())) == ("file", "penguins.csv", 345)
    assert (rows.kind, rows.rows, rows.to_polars().null_count().sum_horizontal().item()) == ("pandas.DataFrame", 342, 0)
    trained = run["train"].value
    assert (trained["trained_on_rows"], trained["held_out_rows"]) == (256, 86)
    assert trained["accuracy"] > 0.95
    ran_on = trained["ran_on"]
    assert ran_on["clean"]["pandas"].startswith("2.1.")
    assert ran_on["clean"]["numpy"].startswith("1.26.")
    assert ran_on["ingest"]["pandas"].startswith("1.5.")
    assert ran_on["ingest"]["python"].startswith("3.11.")
    assert ran_on["train"]["python"].startswith("3.13.")
    assert ran_on["train"]["numpy"].startswith("2.")
    assert "scikit-learn" in ran_on["train"]


def test_helper_function_handles_the_call_that_fails_on_purpose(run_dag: Callable[..., Run]) -> None:
    run = run_dag("helper_func_dag", folder=DAGS)
    value = run["explore"].value
    assert value["refused"] == "ModuleNotFoundError"
    assert sum(value["counts"].values()) == 344
    assert run.printed("explore") == [
        "As expected, The function raised ModuleNotFoundError in environment 'data-cleaning': No module named 'sklearn'"
    ]


def test_airflows_own_commands_run_a_pipeline_and_list_no_import_error(
    run_dag: Callable[..., Run],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from airflow.cli.cli_parser import get_parser

    def airflow(*argv: str) -> None:
        arguments = get_parser().parse_args(argv)
        arguments.func(arguments)

    home.ensure_database()
    monkeypatch.setattr("airflow.settings.DAGS_FOLDER", str(DAGS))
    monkeypatch.setenv("PODENV_BACKEND", "local")
    caplog.set_level("INFO", logger="airflow.task.podenv")
    airflow("dags", "reserialize")
    capsys.readouterr()
    airflow("dags", "list-import-errors")
    assert "No data found" in capsys.readouterr().out
    airflow("dags", "test", "data_ingestion_dag")
    printed = [record.getMessage() for record in caplog.records if record.name == "airflow.task.podenv"]
    # Airflow 3.1 shows the line with which podenv begins too.
    assert [line for line in printed if not line.startswith(("Environment ", "Peak "))] == [
        "344 rows, 17 columns, 336 values missing"
    ]
