"""`podenv sizes`: what it draws, what it refuses, what it says where there is nothing yet."""

from __future__ import annotations

import importlib.util
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from podenv.cli.app import app
from podenv.errors import SettingError
from podenv.usage import plot
from podenv.usage.airflowapi import AirflowApi, Login
from podenv.usage.runs import Run, Sizes, TaskSizes

MIB = 2**20


@pytest.fixture(autouse=True)
def _no_history(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who runs the tests has run this project's own DAGs too."""
    monkeypatch.setenv("PODENV_CACHE", str(tmp_path_factory.mktemp("cache")))


def tasks(count: int = 3) -> list[TaskSizes]:
    found = Sizes()
    for number in range(count):
        usage = {"environment": "etl", "lock": "a" * 64, "state": "success", "seconds": 9.0, "cpu_seconds": 3.0,
                 "started": datetime.now(UTC).isoformat(), "peak_memory_bytes": (100 + number) * MIB,
                 "memory_limit_bytes": 512 * MIB if number else None, "cpu_limit_cores": 1.0}  # fmt: skip
        found.add(one for one in [Run.of("dag", f"task-{number}", usage)] * 3 if one)
    return found.tasks()


def absent(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    """Let ``module`` be a package that is not installed."""
    find = importlib.util.find_spec
    for place in ("podenv.usage.plot", "podenv.usage.airflowapi"):
        monkeypatch.setattr(f"{place}.find_spec", lambda name: None if name == module else find(name))


def test_a_picture_is_drawn_as_its_suffix_says(tmp_path: Path) -> None:
    plot.draw(tasks(), tmp_path / "a.png", title="Sizes")
    plot.draw(tasks(), tmp_path / "a.svg", title="Sizes")
    png = (tmp_path / "a.png").read_bytes()
    assert png.startswith(b"\x89PNG")
    assert int.from_bytes(png[16:20]) == 2200  # 11 inches at 200 dots an inch: legible in print
    assert "<svg" in (tmp_path / "a.svg").read_text()


def test_the_same_figures_are_the_same_svg(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        plot.draw(tasks(), tmp_path / name, title="Sizes")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_a_page_holds_the_tasks_that_waste_most(tmp_path: Path) -> None:
    plot.draw(tasks(200), tmp_path / "a.png", title="Sizes")
    height = int.from_bytes((tmp_path / "a.png").read_bytes()[20:24])
    assert height == pytest.approx(200 * (1.7 + 0.5 * plot.MOST_TASKS), abs=2)


@pytest.mark.parametrize("name", ["a.pdf", "a", "a.svg.gz"])
def test_an_unknown_suffix_is_refused_before_anything_is_read(name: str) -> None:
    done = CliRunner().invoke(app, ["sizes", "--airflow", "http://127.0.0.1:9", "--plot", name])
    assert done.exit_code == 1
    assert done.output == (f"error: {name} is not a picture that podenv draws; let its name end with .svg or .png.\n")


def test_a_missing_matplotlib_is_named_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    absent(monkeypatch, "matplotlib")
    with pytest.raises(SettingError, match=r"needs matplotlib, .*pip install 'podenv\[plot\]'"):
        plot.check(Path("a.png"))


def test_a_missing_client_is_named_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    absent(monkeypatch, "airflow_client")
    with pytest.raises(SettingError, match=r"apache-airflow-client, .*pip install 'podenv\[sizes\]'"):
        AirflowApi(Login("http://127.0.0.1:9"))


def test_a_picture_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="cannot be written: No such file or directory; name another file"):
        plot.draw(tasks(), tmp_path / "no/a.png", title="Sizes")


@pytest.mark.parametrize("span", ["3x", "", "0d", "d", "-3d", "9999999d"])
def test_a_span_of_time_without_sense_is_refused(span: str) -> None:
    done = CliRunner().invoke(app, ["sizes", "--since", span])
    assert done.exit_code == 2
    assert "write it like 12h, 30d or 8w" in done.output


def test_where_nothing_ran_yet_it_says_how_to_get_a_history() -> None:
    done = CliRunner().invoke(app, ["sizes"])
    assert done.exit_code == 0
    assert done.output.startswith("No run of a task in an environment is known from the last 30d.")
    assert "--airflow URL" in done.output


def test_where_nothing_was_measured_nothing_is_drawn(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["sizes", "--plot", str(tmp_path / "a.png")])
    assert (done.exit_code, list(tmp_path.iterdir())) == (0, [])
    assert "Nothing was measured, so nothing is drawn." in done.output


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose tasks have run, as Airflow tells it."""
    monkeypatch.chdir(tmp_path)
    for name in ("PODENV_CATALOGUE", "AIRFLOW__CORE__DAGS_FOLDER"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "envs/etl").mkdir(parents=True)
    (tmp_path / "envs/etl/values.yaml").write_text('python: "3.11"  # quoted\nresources:\n  limits: {memory: 4Gi}\n')
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags/dag.py").write_text(
        "from airflow.sdk import dag, task\n\n\n@dag(schedule=None)\ndef dag():\n"
        '    @task.env("etl", task_id="task-0", memory="2Gi")  # once more than enough\n    def a(): ...\n\n'
        '    @task.env("etl", task_id="task-1")\n    def b(): ...\n\n'
        '    @task.env("etl", task_id="task-2", memory=size())\n    def c(): ...\n'
    )

    def read(found: Sizes, *_: object) -> None:
        for number in range(3):
            usage = {"environment": "etl", "seconds": 9.0, "peak_memory_bytes": 100 * MIB, "state": "success"}
            found.add(one for one in [Run.of("dag", f"task-{number}", usage)] * 3 if one)

    monkeypatch.setattr("podenv.cli.sizes._read", read)
    return tmp_path


def write(*words: str) -> Result:
    return CliRunner().invoke(app, ["sizes", "--airflow", "http://127.0.0.1:9", "--write", *words])


def test_writing_shows_what_it_does_and_what_is_left_and_asks_first(project: Path) -> None:
    before = (project / "dags/dag.py").read_text()
    done = write()
    assert done.exit_code == 1
    assert "Write 2 files? There is no terminal to ask on; --yes says so beforehand." in done.output
    assert '+    @task.env("etl", task_id="task-0", memory="128Mi")  # once more than enough' in done.output
    assert "+  limits: {memory: 128Mi}" in done.output
    assert 'dag.task-2: memory="128Mi"; memory in dags/dag.py:12 is computed.' in done.output
    assert (project / "dags/dag.py").read_text() == before


def test_with_yes_it_writes_and_once_more_there_is_nothing_to_write(project: Path) -> None:
    assert write("--yes").exit_code == 0
    assert 'memory="128Mi")  # once more' in (project / "dags/dag.py").read_text()
    values = 'python: "3.11"  # quoted\nresources:\n  limits: {memory: 128Mi}\n'
    assert (project / "envs/etl/values.yaml").read_text() == values
    assert "Nothing to write." in write("--yes").output


def test_for_a_program_it_prints_the_same_as_json(project: Path) -> None:
    told = json.loads(write("--yes", "--json").stdout)
    assert [Path(one["file"]).name for one in told["files"]] == ["dag.py", "values.yaml"]
    assert told["left"] == [
        {"where": "dag.task-2", "what": 'memory="128Mi"', "why": "memory in dags/dag.py:12 is computed"}
    ]


def test_a_file_that_was_changed_meanwhile_is_left_alone(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = project / "dags/dag.py"
    monkeypatch.setattr("podenv.cli.output.agree", lambda question: file.write_text("# somebody else's\n"))
    done = write()
    assert done.exit_code == 1
    assert "was changed while it was read; run `podenv sizes --write` again." in done.output
    assert file.read_text() == "# somebody else's\n"


def test_yes_alone_is_refused() -> None:
    done = CliRunner().invoke(app, ["sizes", "--yes"])
    assert (done.exit_code, "it goes with --write" in done.output) == (2, True)
