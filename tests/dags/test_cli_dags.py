"""`podenv run` and `podenv usage`, as a person starts them."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.airflowhome import variables_of_others

from podenv import lock
from podenv.catalogue.environment import Catalogue

PODENV = Path(sys.executable).parent / "podenv"
FLOW = """
from airflow.sdk import dag, task


@dag(schedule=None)
def flow():
    @task.env("small", memory="256Mi", max_memory="512Mi")
    def first(params):
        import six

        print("[bold]six[/bold]", six.__version__)
        return [1, params["second"]]

    @task.env("small", retries=0)
    def half(n):
        if n % 2:
            raise ValueError(f"{n} is odd")
        return n // 2

    @task
    def total(numbers):
        print("a plain task")
        return {"total": sum(numbers)}

    total(half.expand(n=first()))


@dag(schedule=None)
def short():
    @task.env("small", cpu=1)
    def only(params):
        import time

        print("waiting", flush=True)
        time.sleep(params.get("seconds", 0))
        return {"asked": params}

    only()


flow()
short()
"""
TALK = """
import logging
import subprocess
import sys
import warnings

import structlog
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import dag, task

from shared.words import GREETING

print("while the file is read")
log = logging.getLogger(__name__)


@dag(schedule=None)
def talk():
    @task
    def say():
        print(GREETING)
        print("to stderr", file=sys.stderr)
        log.info("an INFO line")
        log.error("%s failed", "step")
        logging.warning("of the root logger")
        structlog.get_logger("steps").warning("structured", rows=3)
        warnings.warn("old")
        subprocess.run(["echo", "from a program"])
        try:
            {}["x"]
        except KeyError:
            log.exception("caught")
        print("no newline", end="")
        return 1

    @task
    def fail():
        raise KeyError("x")

    say() >> BashOperator(task_id="bash", bash_command="echo in bash") >> fail()


talk()
"""
WHOLE = """
from airflow.sdk import dag, task


@dag(schedule=None)
def whole():
    @task.env("small")
    def only():
        return 1

    only()


whole()
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of two environments, of which the DAGs use one."""
    root = tmp_path_factory.mktemp("project")
    for name, asked in (("small", "six==1.16.0\n"), ("spare", "# nothing\n")):
        (root / "envs" / name).mkdir(parents=True)
        (root / "envs" / name / "values.yaml").write_text('python: "3.11"\nresources: {limits: {cpu: 500m}}\n')
        (root / "envs" / name / "requirements.in").write_text(asked)
        lock.resolve(Catalogue(root / "envs")[name])
    (root / "dags").mkdir()
    (root / "dags" / "flow.py").write_text(FLOW)
    (root / "talking" / "shared").mkdir(parents=True)
    (root / "talking" / "shared" / "words.py").write_text('GREETING = "hello"\n')
    (root / "talking" / "talk.py").write_text(TALK)
    (root / "broken").mkdir()
    (root / "broken" / "typo.py").write_text(FLOW.replace('"small"', '"smal"'))
    (root / "broken" / "whole.py").write_text(WHOLE)
    return root


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """No setting of podenv or Airflow from outside, a cache of their own."""
    return {**variables_of_others(), "PODENV_CACHE": str(tmp_path_factory.mktemp("cache"))}


def podenv(
    project: Path, variables: Mapping[str, str], *words: str, exit_code: int = 0
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [PODENV, *words], cwd=project, env=variables, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == exit_code, done.stdout + done.stderr
    return done


def test_a_run_prints_what_the_tasks_say_then_a_table_then_the_last_value(
    project: Path, variables: Mapping[str, str]
) -> None:
    done = podenv(project, variables, "run", "short", "--conf", '{"name": "[x]"}')
    assert "only | waiting\n" in done.stderr
    assert re.search(r"^only \| success( \(\d+\.\d s\))?$", done.stderr, re.MULTILINE)
    heading, row, value = done.stdout.split("\n", 2)
    assert heading.split() == ["TASK", "ENVIRONMENT", "PYTHON", "LIBRARIES", "LIMITS", "STATE", "TIME"]
    assert re.fullmatch(r"only   small         3\.11     six 1\.16\.0   cpu 1    success   \d+\.\d s", row)
    assert json.loads(value) == {"asked": {"name": "[x]"}}


def test_a_run_that_fails_says_which_task_and_why_and_exits_with_1(project: Path, variables: Mapping[str, str]) -> None:
    done = podenv(project, variables, "run", "flow", "--conf", '{"second": 4}', "--json", exit_code=1)
    run = json.loads(done.stdout)
    assert (run["dag_id"], run["state"], run["result"]) == ("flow", "failed", None)
    # Airflow starts mapped tasks in no certain order.
    tasks = sorted(run["tasks"], key=lambda task: (task["task_id"], task["map_index"]))
    assert [(task["task_id"], task["map_index"], task["state"], task["value"]) for task in tasks] == [
        ("first", -1, "success", [1, 4]),
        ("half", 0, "failed", None),
        ("half", 1, "success", 2),
        ("total", -1, "upstream_failed", None),
    ]
    first, failed, _, never = tasks
    assert first["limits"] == "cpu 500m, memory 256Mi (up to 512Mi)"
    assert first["libraries"] == {"six": "1.16.0"}
    assert failed["error"] == "The function raised ValueError in environment 'small': 1 is odd"
    assert (never["environment"], never["python"], never["limits"], never["seconds"]) == (None, None, None, None)
    assert "first | [bold]six[/bold] 1.16.0\n" in done.stderr
    assert "half | ValueError: 1 is odd\n" in done.stderr or "\nValueError: 1 is odd\n" in done.stderr
    assert re.search(r"^error: The run of flow ended as failed after \d+\.\d s\.$", done.stderr, re.MULTILINE)

    # What they used is kept here.
    kept = json.loads(podenv(project, variables, "sizes", "flow", "--json").stdout)
    sizes = {task["task"]: task for task in kept["tasks"]}
    assert {name: (task["runs"], task["environment"]) for name, task in sizes.items()} == {
        "first": (1, "small"),
        "half": (2, "small"),
    }
    assert sizes["first"]["memory"]["max"] == first["usage"]["peak_memory_bytes"] > 5 * 2**20
    assert sizes["first"]["memory_limit"] == 256 * 2**20


def test_a_run_shows_what_plain_tasks_print_and_log_and_nothing_of_airflows_own(
    project: Path, variables: Mapping[str, str]
) -> None:
    done = podenv(project, variables, "run", "talk", "--dags", "talking", "--json", exit_code=1)
    run = json.loads(done.stdout)
    assert [(task["task_id"], task["state"]) for task in run["tasks"]] == [
        ("say", "success"),
        ("bash", "success"),
        ("fail", "failed"),
    ]
    lines = done.stderr.splitlines()
    assert lines[0] == "while the file is read"
    assert [line for line in lines if line.startswith("say | ") and "File" not in line and "^" not in line] == [
        "say | hello",
        "say | to stderr",
        "say | INFO talk: an INFO line",
        "say | ERROR talk: step failed",
        "say | WARNING of the root logger",
        "say | WARNING steps: structured rows=3",
        "say | UserWarning: old",
        "say | ERROR talk: caught",
        "say | Traceback (most recent call last):",
        'say |     {}["x"]',
        "say | KeyError: 'x'",
        "say | no newline",
        "say | success",
    ]
    assert "from a program" in lines
    assert "bash | in bash" in lines
    # Of the traceback only what is the task's own.
    start = lines.index("fail | Traceback (most recent call last):")
    file, number = project / "talking" / "talk.py", TALK.splitlines().index('        raise KeyError("x")') + 1
    assert lines[start + 1 : start + 5] == [
        f'fail |   File "{file}", line {number}, in fail',
        'fail |     raise KeyError("x")',
        "fail | KeyError: 'x'",
        "fail | failed: KeyError: 'x'",
    ]


def test_usage_reads_files_that_import_a_module_beside_them(project: Path, variables: Mapping[str, str]) -> None:
    done = podenv(project, variables, "usage", "--dags", "talking", "--json")
    assert json.loads(done.stdout) == {"tasks": [], "unused": ["small", "spare"], "broken": {}}
    assert done.stderr == "while the file is read\n"


def test_one_ctrl_c_ends_the_run_not_only_the_task(project: Path, variables: Mapping[str, str]) -> None:
    words = [str(PODENV), "run", "short", "--conf", '{"seconds": 60}']
    with subprocess.Popen(
        words, cwd=project, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if line == "only | waiting\n":
                running.send_signal(signal.SIGINT)
                break
        assert running.communicate(timeout=60) == ("", "Interrupted.\n")
    assert running.returncode == 130


def test_usage_shows_tasks_limits_and_what_nobody_uses(project: Path, variables: Mapping[str, str]) -> None:
    assert podenv(project, variables, "usage").stdout == (
        "ENVIRONMENT   DAG      TASK    LIMITS\n"
        "small         flow     first   cpu 500m, memory 256Mi (up to 512Mi)\n"
        "small         flow     half    cpu 500m\n"
        "small         short    only    cpu 1\n"
        "spare         unused   -       -\n"
    )
    told = json.loads(podenv(project, variables, "usage", "--json").stdout)
    assert told["unused"] == ["spare"]
    assert [(one["dag_id"], one["task_id"], one["environment"], one["cpu"]) for one in told["tasks"]] == [
        ("flow", "first", "small", "500m"),
        ("flow", "half", "small", "500m"),
        ("short", "only", "small", "1"),
    ]


def test_a_dag_file_that_cannot_be_imported_is_named(project: Path, variables: Mapping[str, str]) -> None:
    failed = podenv(project, variables, "usage", "--dags", "broken", exit_code=1)
    assert failed.stdout == ("ENVIRONMENT   DAG     TASK   LIMITS\nsmall         whole   only   cpu 500m\n")
    assert failed.stderr.startswith(f"error: {project / 'broken' / 'typo.py'}: ")
    assert "There is no environment 'smal'" in failed.stderr
    assert "Did you mean 'small'?" in failed.stderr
    assert failed.stderr.count("\n") == 1


def test_a_broken_dag_file_does_not_stop_a_dag_of_another_one(project: Path, variables: Mapping[str, str]) -> None:
    assert podenv(project, variables, "run", "whole", "--dags", "broken").stdout.endswith("\n1\n")
    failed = podenv(project, variables, "run", "flow", "--dags", "broken", exit_code=1)
    assert failed.stderr.startswith(f"error: {project / 'broken' / 'typo.py'}: ")


def test_a_folder_of_dags_that_is_missing_is_named(project: Path, variables: Mapping[str, str]) -> None:
    failed = podenv(project, variables, "usage", "--dags", "nowhere", exit_code=1)
    assert failed.stderr == "error: There is no folder nowhere; name the folder of the DAG files with --dags.\n"


def test_an_unknown_dag_gets_the_nearest_one(project: Path, variables: Mapping[str, str]) -> None:
    failed = podenv(project, variables, "run", "shrt", exit_code=1)
    assert failed.stderr == f"error: There is no DAG 'shrt' in {project / 'dags'}. Did you mean 'short'?\n"


def test_what_is_wrong_with_the_command_is_said_before_airflow_starts(
    project: Path, variables: Mapping[str, str], tmp_path: Path
) -> None:
    refused = podenv(project, variables, "run", "short", "--conf", "[1]", exit_code=2)
    assert "it must be a JSON object" in refused.stderr
    assert "it is not JSON" in podenv(project, variables, "run", "short", "--conf", "{", exit_code=2).stderr
    (tmp_path / "envs" / "one").mkdir(parents=True)
    (tmp_path / "envs" / "one" / "values.yaml").write_text('python: "3.11"\n')
    missing = podenv(tmp_path, variables, "usage", exit_code=1)
    assert missing.stderr == (
        f"error: There is no folder {tmp_path / 'dags'}; name the folder of the DAG files with --dags.\n"
    )
