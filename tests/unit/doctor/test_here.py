"""What `podenv doctor` says of this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.registryserver import Answer, Asked, basic, serving

from podenv.doctor import finding, here
from podenv.doctor.finding import Check, CheckFailed, Finding, NotHere, State
from podenv.doctor.subject import Subject
from podenv.errors import PodenvError, ValuesError


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("PODENV_", "AIRFLOW", "UV_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "none"))
    monkeypatch.chdir(tmp_path)


def make(root: Path, name: str, values: str = 'python: "3.11"\n') -> None:
    folder = root / "envs" / name
    folder.mkdir(parents=True)
    (folder / "values.yaml").write_text(values)
    (folder / "requirements.in").write_text("alpha\n")


def said(state: State, text: str) -> Callable[[], tuple[State, str]]:
    return lambda: (state, text)


def raising(error: Exception) -> Callable[[], tuple[State, str]]:
    def look() -> tuple[State, str]:
        raise error

    return look


def test_findings_come_in_the_order_of_the_checks_whatever_they_raise() -> None:
    def slow() -> tuple[State, str]:
        time.sleep(0.05)
        return State.OK, "late"

    found = finding.run(
        [
            Check("a", slow),
            Check("b", said(State.WARNING, "look")),
            Check("c", raising(PodenvError("it is gone; make it."))),
            Check("d", raising(CheckFailed("none; get one."))),
            Check("e", raising(NotHere("not used"))),
        ]
    )
    assert found == [
        Finding("a", State.OK, "late"),
        Finding("b", State.WARNING, "look"),
        Finding("c", State.FAILED, "it is gone; make it."),
        Finding("d", State.FAILED, "none; get one."),
        Finding("e", State.SKIPPED, "not used"),
    ]


def test_a_bug_in_a_check_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        finding.run([Check("a", raising(ZeroDivisionError()))])


def test_a_check_that_hangs_holds_up_no_other() -> None:
    def hang() -> tuple[State, str]:
        time.sleep(5)
        return State.OK, "never seen"

    began = time.monotonic()
    found = finding.run([Check("a", hang), Check("b", said(State.OK, "quick"))], limit=0.2)
    assert time.monotonic() - began < 4
    assert found == [
        Finding("a", State.FAILED, "no answer within 0.2 s; try it by hand, or look at the network"),
        Finding("b", State.OK, "quick"),
    ]


def test_versions_that_do_not_fit_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    state, text = here.versions()
    assert (state, text.startswith("podenv ")) == (State.OK, True)
    installed = {"apache-airflow": "3.0.2", "typer": "0.20"}
    monkeypatch.setattr(here, "_version", lambda name: installed.get(name, ""))
    with pytest.raises(
        CheckFailed, match=r"apache-airflow is 3\.0\.2, podenv needs <4,>=3\.[0-9.]+: install podenv anew"
    ):
        here.versions()
    installed.pop("apache-airflow")
    assert here.versions()[0] is State.WARNING


def test_a_catalogue_is_read_whole(tmp_path: Path) -> None:
    with pytest.raises(PodenvError, match="begin with `podenv init`"):
        here.catalogue()
    make(tmp_path, "a")
    assert here.catalogue() == (State.OK, f"{tmp_path / 'envs'}, 1 environment")
    make(tmp_path, "b", "pyton: 3\n")
    with pytest.raises(ValuesError, match="Did you mean 'python'"):
        here.catalogue()


def test_locks_that_are_not_fresh_are_named_with_what_to_run(tmp_path: Path) -> None:
    make(tmp_path, "a")
    make(tmp_path, "b")
    with pytest.raises(CheckFailed, match=r"not fresh: a, b; run `podenv lock a b`\."):
        here.locks(Subject())


def test_a_python_that_is_missing_is_a_warning_where_uv_may_download_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a")
    make(tmp_path, "b", 'python: "3.9"\n')
    monkeypatch.setattr(here, "_is_here", lambda version: version == "3.11")
    assert here.interpreters(Subject()) == (
        State.WARNING,
        "no Python 3.9 here: `podenv sync` lets uv download it, or run `uv python install 3.9`",
    )
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    with pytest.raises(CheckFailed, match="UV_PYTHON_DOWNLOADS forbids to download it; install it"):
        here.interpreters(Subject())


@pytest.mark.parametrize("status", [200, 404])
def test_an_index_that_answers_is_well_and_gets_its_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    make(tmp_path, "a")
    with serving(lambda asked: Answer(status)) as (host, requests):
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://me:secret@{host}/simple")
        assert here.index(Subject()) == (State.OK, f"http://{host}/simple")
    (asked,) = requests
    found = {name.lower(): value for name, value in asked.headers.items()}["authorization"]
    assert (asked.path, found) == ("/simple/pip/", basic("me", "secret"))


@pytest.mark.parametrize(
    ("status", "words"), [(401, "wants a login"), (403, "wants a login"), (503, "answers 503; try again later")]
)
def test_an_index_that_refuses_is_named_without_its_login(tmp_path: Path, status: int, words: str) -> None:
    def respond(asked: Asked) -> Answer:
        return Answer(status)

    with serving(respond) as (host, _):
        make(tmp_path, "a", f'python: "3.11"\nindexes: [{{name: own, url: "http://{host}/simple"}}]\n')
        with pytest.raises(CheckFailed, match=words) as caught:
            here.index(Subject())
    assert host in str(caught.value)


def test_an_index_that_is_down_is_named(tmp_path: Path) -> None:
    with serving(lambda asked: Answer()) as (host, _):
        pass
    make(tmp_path, "a", f'python: "3.11"\nimage: {{index: "http://{host}/simple"}}\n')
    with pytest.raises(CheckFailed, match=rf"http://{host}/simple does not answer \(.*refused\); check the network"):
        here.index(Subject())


def test_airflow_looks_for_the_catalogue_by_its_own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a")
    with pytest.raises(NotHere, match="there is no folder of DAGs"):
        here.airflow_view(Subject())
    (tmp_path / "dags").mkdir()
    assert here.airflow_view(Subject()) == (State.OK, f"DAGs in {tmp_path / 'dags'} find {tmp_path / 'envs'}")
    home = tmp_path / "airflow"
    (home / "dags").mkdir(parents=True)
    make(tmp_path / "other", "b")
    (home / "airflow.cfg").write_text(
        f"[core]\ndags_folder = {home / 'dags'}\n[podenv]\ncatalogue = {tmp_path / 'other' / 'envs'}\n"
    )
    state, text = here.airflow_view(Subject())
    assert (state, text) == (
        State.WARNING,
        f"DAGs in {home / 'dags'} find {tmp_path / 'other' / 'envs'}, the command line {tmp_path / 'envs'}: "
        "set [podenv] catalogue and PODENV_CATALOGUE to the same folder",
    )
    monkeypatch.setenv("AIRFLOW__PODENV__CATALOGUE", str(tmp_path / "envs"))
    assert here.airflow_view(Subject())[0] is State.OK
    (home / "airflow.cfg").write_text("[core\n")
    with pytest.raises(CheckFailed, match=r"airflow\.cfg cannot be read"):
        here.airflow_view(Subject())
