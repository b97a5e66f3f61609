"""What OpenLineage is told of tasks: by Airflow's own provider, as a person's `podenv run` loads it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.airflowhome import variables_of_others
from tests.local.conftest import add_environment

from podenv.airflow.reference import Reference
from podenv.lock.lockfile import content_hash

pytest.importorskip("airflow.providers.openlineage", reason="needs the provider of OpenLineage")
from podenv.airflow import lineage

PODENV = Path(sys.executable).parent / "podenv"
DAG = """
from airflow.sdk import dag, task


@dag(schedule=None)
def flow():
    @task.env("polars")
    def make() -> dict:
        import polars
        return {"rows": polars.DataFrame({"kind": ["a"], "size": [1]}), "note": b"x"}

    @task.env("polars", retries=0)
    def fail(rows: "polars.DataFrame"):
        raise ValueError(rows.height)

    fail(make()["rows"])


flow()
"""


def of_task(events: list[dict[str, Any]], state: str, task: str) -> dict[str, Any]:
    (found,) = (one for one in events if (one["eventType"], one["job"]["name"]) == (state, f"flow.{task}"))
    return found


def known(dataset: dict[str, Any]) -> dict[str, Any]:
    """``dataset`` without what each facet says of its producer."""
    facets = {**dataset["facets"], **dataset.get("outputFacets", {})}
    return {
        "name": (dataset["namespace"], dataset["name"]),
        **{name: {key: value for key, value in facet.items() if key[0] != "_"} for name, facet in facets.items()},
    }


def test_openlineage_gets_the_tables_of_each_task_and_what_it_ran_in(tmp_path: Path) -> None:
    environment = add_environment(tmp_path / "envs", "polars", "3.13", "polars")
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "flow.py").write_text(DAG)
    kept = variables_of_others()
    transport = {"type": "file", "log_file_path": str(tmp_path / "events.json"), "append": True}
    ended = subprocess.run(
        [PODENV, "run", "flow"],
        cwd=tmp_path,
        env={
            **kept,
            "PODENV_CACHE": str(tmp_path / "c"),
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 1, ended.stderr
    events = [json.loads(line) for line in (tmp_path / "events.json").read_text().splitlines()]

    made = of_task(events, "COMPLETE", "make")
    table, note = sorted(map(known, made["outputs"]), key=lambda one: str(one["name"]))
    store = f"{tmp_path}/c/exchange/flow/make"
    assert (table["name"], note["name"]) == (("file", f"{store}/0"), ("file", f"{store}/1"))
    fields = [{"name": "kind", "type": "String", "fields": []}, {"name": "size", "type": "Int64", "fields": []}]
    assert table["schema"] == {"fields": fields}
    assert table["storage"] == {"storageLayer": "file", "fileFormat": "parquet"}
    assert table["outputStatistics"]["rowCount"] == 1
    assert note["outputStatistics"] == {"size": 1}
    assert table["version"]["datasetVersion"].startswith("flow/manual__")

    failed = of_task(events, "FAIL", "fail")
    assert known(failed["inputs"][0]) == {name: table[name] for name in ("name", "schema", "storage", "version")}
    for event in (made, failed):
        facet = event["run"]["facets"][lineage.FACET]
        assert (facet["environment"], facet["python"], facet["lock"]) == ("polars", "3.13", content_hash(environment))
        assert "image" not in facet


@pytest.mark.parametrize(
    ("store", "namespace", "name"),
    [
        ("s3://conn@bucket/a/b", "s3://bucket", "a/b/dag/task/3"),
        ("gs://bucket", "gs://bucket", "dag/task/3"),
        ("abfss://conn@container/a", "abfss://container", "a/dag/task/3"),
        ("file:///srv/values", "file", "/srv/values/dag/task/3"),
    ],
)
def test_a_dataset_has_one_name_over_all_runs(store: str, namespace: str, name: str) -> None:
    value = Reference("dag/a~3Arun/task/7/2/0123456789abcdef/3", "bytes", bytes=1, sha256="", store=store)
    task: Any = SimpleNamespace(op_args=[[value]], op_kwargs={})
    (read,) = lineage.of_start(task).inputs
    assert (read.namespace, read.name) == (namespace, name)
