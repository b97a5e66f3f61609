"""`podenv affected` and `podenv diff --lock` beside what is deployed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.releases import Stage
from tests.packageindex import Index

from podenv import lock
from podenv.release.spec import lock_of

pytestmark = pytest.mark.cluster

DAG = """\
from airflow.sdk import dag, task

@dag(schedule=None)
def pipeline():
    @task.env("etl")
    def clean():
        import alpha

pipeline()
"""


@pytest.fixture
def etl(stage: Stage, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """An environment of a lock with alpha 1.0 that is deployed, and a DAG whose task imports alpha."""
    monkeypatch.setenv("PODENV_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("AIRFLOW__CORE__DAGS_FOLDER", raising=False)
    for version in ("1.0", "2.0"):
        index.add("alpha", version, requires=["beta"])
    index.add("beta", "1.0")
    index.add("gamma", "1.0")
    stage.write("etl", image={})
    ask(stage, "alpha<2\n")
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "pipeline.py").write_text(DAG)
    return stage


def ask(stage: Stage, text: str) -> None:
    (stage.root / "etl" / "requirements.in").write_text(text)
    lock.resolve(stage.catalogue["etl"], upgrade=True)


def deploy(stage: Stage, **recorded: Any) -> None:
    """Deploy etl as its lock is now; the image is any that can be pulled."""
    environment = stage.catalogue["etl"]
    spec = stage.releases.spec_with_image(environment, stage.ref, lock_hash=lock_of(environment))
    spec = replace(spec, values={**spec.values, "lock": {**spec.values["lock"], **recorded}})
    known = stage.releases.survey(stage.releases.places([environment]))["etl"]
    stage.releases.deploy(spec, known, timeout=120)


def affected(stage: Stage, what: str, *, exit_code: int) -> dict[str, Any]:
    code, said, errors = stage.run("affected", what, "--json")
    assert code == exit_code, errors
    found: dict[str, Any] = json.loads(said)
    assert found["deployed_known"] is True
    return found


def test_what_is_deployed_is_affected_until_a_deploy_brings_the_lock_that_is_not(etl: Stage) -> None:
    deploy(etl)
    [hit] = affected(etl, "alpha<2", exit_code=1)["hits"]
    assert (hit["environment"], hit["locked"], hit["deployed"]) == ("etl", ["1.0"], "1.0")
    assert hit["image"] == f"{etl.ref.registry}/{etl.ref.repository}@{etl.ref.digest}"
    assert (hit["namespace"], hit["importing"]) == (etl.namespace("etl"), ["pipeline.clean"])

    ask(etl, "alpha\n")
    [hit] = affected(etl, "alpha<2", exit_code=1)["hits"]
    assert (hit["locked"], hit["deployed"]) == ([], "1.0")
    [hit] = affected(etl, "alpha>=2", exit_code=1)["hits"]
    assert (hit["locked"], hit["deployed"]) == (["2.0"], "")

    deploy(etl)
    assert affected(etl, "alpha<2", exit_code=0)["hits"] == []


def test_a_diff_of_locks_names_packages_that_a_deploy_changes_and_the_tasks_that_import_them(etl: Stage) -> None:
    code, said, errors = etl.run("diff", "--lock", "etl")
    assert (code, errors) == (0, "note: etl: it is not deployed.\n")
    deploy(etl)
    assert etl.run("diff", "--lock", "etl")[:2] == (0, "etl: no package changes\n")

    ask(etl, "alpha\ngamma\n")
    code, said, errors = etl.run("diff", "--lock", "etl")
    assert (code, errors) == (0, "")
    assert said.splitlines() == [
        "etl: 2 packages",
        "PACKAGE   CHANGE    DEPLOYED   LOCKED   IMPORTED BY",
        "alpha     changed   1.0        2.0      pipeline.clean",
        "gamma     added     -          1.0      -",
    ]
    [found] = json.loads(etl.run("diff", "--lock", "etl", "--json")[1])
    assert [(one["package"], one["what"], one["importing"]) for one in found["changes"]] == [
        ("alpha", "changed", ["pipeline.clean"]), ("gamma", "added", []),
    ]  # fmt: skip


def test_a_release_that_records_names_alone_says_version_unknown(etl: Stage) -> None:
    deploy(etl, packages=["alpha", "beta"])
    ask(etl, "alpha\n")
    [hit] = affected(etl, "alpha<2", exit_code=2)["hits"]
    assert (hit["locked"], hit["deployed"], hit["is_certain"]) == ([], "version unknown", False)
    code, said, errors = etl.run("diff", "--lock", "etl")
    assert (code, said.splitlines()[2:]) == (
        0,
        [
            "alpha     version unknown   -          2.0      pipeline.clean",
            "beta      version unknown   -          1.0      -",
        ],
    )
    assert errors.endswith("which recorded the names of packages alone.\n")


def test_an_environment_that_the_catalogue_has_no_longer_is_found_and_one_built_elsewhere_is_said(etl: Stage) -> None:
    deploy(etl)
    etl.deploy(etl.write("foreign"))
    (etl.root / "etl").rename(etl.root.parent / "gone")
    found = affected(etl, "beta", exit_code=1)
    assert [(one["environment"], one["deployed"], one["lock"]) for one in found["hits"]] == [("etl", "1.0", "")]
    assert "Nothing says what is in the deployed image of foreign." in found["notes"]
