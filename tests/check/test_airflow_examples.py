"""Airflow's own example DAGs, turned to podenv: what is found in them is so."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import airflow
import airflow.providers.standard
import pytest
from tests.check.project import Project

from podenv.catalogue.environment import Catalogue
from podenv.check.run import Options, check

PODENV = Path(sys.executable).parent / "podenv"
EXAMPLES = [Path(one).parent / "example_dags" for one in (airflow.__file__, airflow.providers.standard.__file__)]


@pytest.fixture
def examples(project: Project) -> Path:
    dags = project.root / "dags"
    for number, folder in enumerate(EXAMPLES):
        shutil.copytree(folder, dags / f"part{number}", ignore=shutil.ignore_patterns("__pycache__", "plugins"))
    return dags


def test_what_migrate_makes_of_them_has_neither_errors_nor_warnings(project: Project, examples: Path) -> None:
    (project.root / "envs").mkdir()
    for words in (["--catalogue", "envs", "migrate", "dags", "--write"], ["lock"]):
        subprocess.run([PODENV, *words], check=True, capture_output=True, timeout=300)
    report = check([examples], Catalogue(project.root / "envs"), Options(roots=[examples]))
    assert report.tasks >= 10
    assert [one for one in report.findings if one.severity != "note"] == []


def test_their_plain_tasks_in_an_environment_lack_airflow_and_packages_and_nothing_else(
    project: Project, examples: Path
) -> None:
    project.environment("plain")
    for file in examples.rglob("*.py"):
        text = re.sub(r"^( *)@task(\(\))?$", r'\1@task.env("plain")', file.read_text(), flags=re.MULTILINE)
        file.write_text(re.sub(r"^( *)@task\(", r'\1@task.env("plain", ', text, flags=re.MULTILINE))
    report = check([examples], Catalogue(project.root / "envs"), Options(roots=[examples]))
    assert report.tasks > 80
    errors = [one for one in report.findings if one.severity == "error"]
    for one in errors:
        why = f"{one.message} {one.remedy}"
        assert "Airflow" in why or "is a generator" in why or re.match(r"`(requests|pandas|duckdb)` is not in", why), (
            why
        )
    assert [one for one in report.findings if one.severity == "warning"] == []
