"""`podenv init` and `podenv migrate`, as a person starts them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import Run

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
DAG = """\
from airflow.sdk import dag, task


@dag
def flow():
    @task.virtualenv(requirements=["humanize"], python_version="3.11")
    def first():
        import humanize

        return 1

    @task.kubernetes_cmd(image="humanize:1")
    def second():
        return ["humanize"]

    first() >> second()


flow()
"""


def test_init_says_what_it_made_and_what_comes_next(podenv: Run, tmp_path: Path) -> None:
    assert podenv("init").stdout.splitlines() == [
        "made      envs/defaults.yaml",
        "made      envs/values.schema.json",
        "made      envs/example/values.yaml",
        "made      envs/example/requirements.in",
        "made      dags/podenv_example.py",
        "made      .gitignore",
        "made      .pre-commit-config.yaml",
        "made      .github/workflows/podenv.yml",
        "Next:",
        "  podenv lock",
        "  podenv run podenv_example",
    ]
    assert podenv("init").stdout == "Nothing to do: the project has all that podenv needs.\n"
    (row,) = json.loads(podenv("list", "--json").stdout)
    assert (row["name"], row["python"], row["packages"]) == ("example", HERE, ["humanize"])
    assert podenv("schema").stdout == (tmp_path / "envs" / "values.schema.json").read_text()


def test_init_of_another_folder_says_where_to_go(podenv: Run, tmp_path: Path) -> None:
    made = podenv("init", "pipelines", "--python", "3.12", "--ci", "none")
    assert made.stdout.splitlines()[-4:] == ["Next:", "  cd pipelines", "  podenv lock", "  podenv run podenv_example"]
    states = json.loads(podenv("init", "pipelines", "--ci", "none", "--json").stdout)
    assert {one["state"] for one in states} == {"unchanged"}


def test_init_with_a_file_in_its_way_makes_nothing(podenv: Run, tmp_path: Path) -> None:
    (tmp_path / "envs").write_text("x")
    refused = podenv("init", exit_code=1)
    assert refused.stderr == (
        f"error: {tmp_path / 'envs'} is not a folder, and defaults.yaml belongs into it; move it away.\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["envs"]


def test_migrate_shows_the_change_then_makes_it(podenv: Run, tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    file = tmp_path / "dags" / "flow.py"
    file.write_text(DAG)
    shown = podenv("migrate", "dags").stdout
    assert shown.startswith("--- dags/flow.py\n+++ dags/flow.py\n")
    assert "--- /dev/null\n+++ envs/humanize/values.yaml\n" in shown
    assert shown.endswith(
        "ENVIRONMENT         PYTHON   HOLDS      TASKS\n"
        "humanize      new   3.11     humanize   first\n"
        "\n"
        "Stays as it is:\n"
        "  dags/flow.py:12: @task.kubernetes_cmd: its function makes the command when the task runs; use "
        'EnvPodOperator(env="...", cmds=[...]).\n'
        "\n"
        "1 task in 1 file, 1 new environment. Nothing was written: `--write` does it.\n"
    )
    assert file.read_text() == DAG
    written = podenv("migrate", "dags/flow.py", "--write").stdout
    assert written.endswith(
        "1 task in 1 file, 1 new environment: 1 of 1 file edited. Next:\n"
        "  1. podenv lock humanize\n"
        "  2. podenv check, which finds imports that a lock does not have\n"
        "  3. podenv run DAG (its id), which installs what it needs\n"
    )
    assert file.read_text() == DAG.replace(
        '@task.virtualenv(requirements=["humanize"], python_version="3.11")', '@task.env("humanize")'
    )
    again = podenv("migrate", "dags", "--write").stdout
    assert again.endswith("\nNothing to do: 1 file read, no task to carry over.\n")


def test_migrate_names_what_it_cannot_read_and_does_the_rest(podenv: Run, tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text(DAG)
    (tmp_path / "bad.py").write_text("def f(:\n")
    done = podenv("migrate", "bad.py", "good.py", "gone.py", "--write", "--json", exit_code=1)
    answer = json.loads(done.stdout)
    assert [(one["file"], one["written"]) for one in answer["files"]] == [
        ("bad.py", False),
        ("good.py", True),
        ("gone.py", False),
    ]
    assert done.stderr.splitlines() == [
        "error: bad.py:1: it does not parse as Python: invalid syntax. Correct it, then migrate again.",
        "error: gone.py cannot be read: No such file or directory; check the path.",
    ]
    assert [(one["file"], one["line"]) for one in answer["left"]] == [("good.py", 12)]
    assert [(one["name"], one["new"], one["tasks"]) for one in answer["environments"]] == [
        (
            "humanize",
            True,
            [{"file": "good.py", "line": 6, "what": "@task.virtualenv", "name": "first"}],
        )
    ]


def test_migrate_refuses_a_catalogue_that_the_dag_files_would_not_find(podenv: Run, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "flow.py").write_text(DAG)
    refused = podenv("migrate", "../flow.py", exit_code=1, folder="elsewhere")
    assert refused.stderr == (
        f"error: ../flow.py would not find {tmp_path / 'elsewhere' / 'envs'}: DAG files look for envs/ in their folder "
        "and above it. Go to the project's folder, or name the folder: "
        "`podenv --catalogue PROJECT/envs migrate ...`.\n"
    )


def test_migrate_is_the_only_command_that_loads_its_parser() -> None:
    code = "import sys; import podenv.cli.app, podenv.cli.environments, podenv.cli.dags; print('libcst' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert loaded.stdout == "False\n"
