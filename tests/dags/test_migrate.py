"""`podenv migrate` on Airflow's own example DAGs, as a person starts it; the result runs."""

from __future__ import annotations

import ast
import inspect
import json
import shutil
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest
from airflow.providers.cncf.kubernetes.decorators.kubernetes import _KubernetesDecoratedOperator
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.standard.operators.python import ExternalPythonOperator, PythonVirtualenvOperator
from airflow.sdk.bases.operator import BaseOperator
from packaging.version import Version
from tests.airflowhome import variables_of_others

from podenv.migrate.arguments import DROPPED, KEPT, READ, REFUSED, REMARKED_OF, Kind

PODENV = Path(sys.executable).parent / "podenv"
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def examples() -> list[Path]:
    """The example DAGs in the installed Airflow and its provider of Python operators."""
    found: list[Path] = []
    for package in ("airflow.example_dags", "airflow.providers.standard.example_dags"):
        spec = find_spec(package)
        for folder in spec.submodule_search_locations or () if spec else ():
            found += sorted(Path(folder).rglob("*.py"))
    return found


counts_examples = pytest.mark.skipif(
    Version(version("apache-airflow")) < Version("3.3"), reason="counts the examples of Airflow 3.3 and newer"
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "dags").mkdir()
    return tmp_path


def podenv(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """No setting of podenv or Airflow from outside."""
    variables = variables_of_others()
    done = subprocess.run(
        [PODENV, *words], cwd=project, env=variables, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_airflows_virtualenv_tutorial_becomes_a_dag_that_runs(project: Path) -> None:
    (tutorial,) = (file for file in examples() if file.name == "tutorial_taskflow_api_virtualenv.py")
    shutil.copy(tutorial, project / "dags")
    podenv(project, "migrate", "dags", "--write")
    podenv(project, "lock")
    ran = json.loads(podenv(project, "run", "tutorial_taskflow_api_virtualenv", "--json").stdout)
    assert (ran["state"], ran["result"]) == ("success", {"total_order_value": 1236.7})
    assert [(task["task_id"], task["environment"]) for task in ran["tasks"]] == [
        ("extract", "funcsigs"),
        ("transform", None),
        ("load", None),
    ]


@counts_examples
def test_every_example_dag_of_airflow_is_read_and_edited_to_python_that_parses(project: Path) -> None:
    for number, file in enumerate(examples()):  # some of them have the same name
        (project / "dags" / str(number)).mkdir()
        shutil.copy(file, project / "dags" / str(number))
    planned = json.loads(podenv(project, "migrate", "dags", "--write", "--json").stdout)
    assert len(planned["files"]) == len(examples()) > 70
    assert [one["file"] for one in planned["files"] if one["error"]] == []
    written = sorted(Path(one["file"]).name for one in planned["files"] if one["written"])
    assert written == [
        "example_branch_operator.py",
        "example_branch_operator_decorator.py",
        "example_python_decorator.py",
        "example_python_operator.py",
        "tutorial_taskflow_api_virtualenv.py",
    ]
    assert {
        one["name"]: (one["python"], one["requirements"], len(one["tasks"])) for one in planned["environments"]
    } == {
        f"python-{HERE.replace('.', '-')}": (HERE, [], 5),
        "numpy": (HERE, ["numpy~=1.26.0"], 3),
        "colorama": (HERE, ["colorama==0.4.0"], 2),
        "funcsigs": (HERE, ["funcsigs"], 1),
    }
    for one in planned["files"]:
        ast.parse((project / one["file"]).read_text())
    again = json.loads(podenv(project, "migrate", "dags", "--write", "--json").stdout)
    assert (again["environments"], [one for one in again["files"] if one["diff"]]) == ([], [])


@counts_examples
def test_what_is_left_in_the_examples_is_named_by_line(project: Path) -> None:
    (file,) = (file for file in examples() if file.name == "example_branch_operator.py")
    shutil.copy(file, project / "dags")
    shown = podenv(project, "migrate", "dags").stdout
    for what in ("BranchExternalPythonOperator(", "BranchPythonVirtualenvOperator("):
        (line,) = (number for number, text in enumerate(file.read_text().splitlines(), 1) if what in text)
        assert f"  dags/example_branch_operator.py:{line}: {what[:-1]}: decorate its function, " in shown
    assert "2 tasks in 1 file, 2 new environments. Nothing was written: `--write` does it." in shown
    assert not (project / "envs").exists()


def parameters(*classes: type) -> set[str]:
    names = {name for one in classes for name in inspect.signature(one.__init__).parameters}  # type: ignore[misc]
    return names - {"self", "kwargs"}


@pytest.mark.parametrize(
    ("kind", "classes"),
    [
        (Kind.VIRTUALENV, (BaseOperator, PythonVirtualenvOperator)),
        (Kind.EXTERNAL_PYTHON, (BaseOperator, ExternalPythonOperator)),
        (Kind.POD, (BaseOperator, KubernetesPodOperator, _KubernetesDecoratedOperator)),
    ],
)
def test_every_argument_of_the_installed_operators_is_known(kind: Kind, classes: tuple[type, ...]) -> None:
    known = KEPT[kind] | READ[kind] | DROPPED[kind] | REMARKED_OF[kind] | REFUSED.keys()
    assert parameters(*classes) - known == set()
