"""What tasks print and log comes line by line with the task's id; Airflow's own narration does not come."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator

import pytest
import structlog

from podenv.dagrun.lines import LEVEL_VARIABLE, Lines

Heard = list[tuple[str, str]]


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(LEVEL_VARIABLE, raising=False)
    before, level = structlog.get_config(), logging.getLogger().level
    logging.getLogger().setLevel(logging.INFO)
    structlog.configure(cache_logger_on_first_use=False)
    yield
    structlog.configure(**before)
    logging.getLogger().setLevel(level)


@pytest.fixture
def heard() -> Heard:
    return []


@pytest.fixture
def lines(heard: Heard) -> Lines:
    made = Lines(lambda task, line: heard.append((task, line)))
    made.task = "t"
    return made


def test_lines_are_whole_and_the_last_one_needs_no_newline(lines: Lines, heard: Heard) -> None:
    with lines.heard():
        print("a", end="")
        print("b\nc")
        sys.stderr.write("err\n")
        sys.stdout.buffer.write("bytes é\n".encode())
        print("open", end="")
        lines.end_line()
        lines.task = "u"
        print("last", end="")
    assert heard == [("t", "ab"), ("t", "c"), ("t", "err"), ("t", "bytes é"), ("t", "open"), ("u", "last")]


def test_a_stream_looks_like_one(lines: Lines) -> None:
    with lines.heard():
        assert (sys.stdout.encoding, sys.stdout.isatty(), sys.stdout.fileno()) == ("utf-8", False, 2)


def test_logs_have_level_and_logger_where_they_say_something(lines: Lines, heard: Heard) -> None:
    with lines.heard():
        logging.getLogger("mine").info("of a module")
        logging.getLogger("unusual_prefix_0a1b_my_dag").error("of a DAG file")
        logging.getLogger().warning("of the root")
        logging.getLogger("airflow.task.operators.x").info("of an operator")
        logging.getLogger("airflow.task.podenv").warning("of podenv")
        structlog.get_logger().info("structured", rows=3)
    assert [line for _, line in heard] == [
        "INFO mine: of a module",
        "ERROR my_dag: of a DAG file",
        "WARNING of the root",
        "of an operator",
        "of podenv",
        "INFO structured rows=3",
    ]


def test_an_exception_brings_its_traceback(lines: Lines, heard: Heard) -> None:
    with lines.heard():
        try:
            raise KeyError("x")
        except KeyError:
            logging.getLogger("mine").exception("caught")
            structlog.get_logger().exception("caught too")
    text = [line for _, line in heard]
    assert text.count("Traceback (most recent call last):") == 2
    assert text.count("KeyError: 'x'") == 2
    assert (text[0], text[5]) == ("ERROR mine: caught", "ERROR caught too")


def test_airflows_narration_is_left_out_unless_its_level_is_set(
    lines: Lines, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def narrate() -> None:
        logging.getLogger("airflow.models.dag").info("narrates")
        logging.getLogger("httpx").warning("HTTP Request")
        logging.getLogger("airflow.task.operators.x").info("Done. Returned value was: None")
        structlog.get_logger(logger_name="task").info("::endgroup::")

    with lines.heard():
        narrate()
    assert [line for _, line in heard] == []
    monkeypatch.setenv(LEVEL_VARIABLE, "INFO")
    with lines.heard():
        narrate()
    assert len(heard) == 4


def test_the_last_error_of_airflows_own_is_kept(lines: Lines) -> None:
    with lines.heard():
        try:
            raise RuntimeError("the database is locked")
        except RuntimeError:
            logging.getLogger("airflow.sdk.definitions.dag").exception("Error running task")
    assert lines.failure == "RuntimeError: the database is locked"


def test_afterwards_everything_is_as_before(lines: Lines, capfd: pytest.CaptureFixture[str]) -> None:
    root, stdout = logging.getLogger(), sys.stdout
    before = list(root.handlers)
    with lines.heard():
        os.write(1, b"a program\n")
    assert (root.handlers, sys.stdout, Lines.listening) == (before, stdout, None)
    os.write(1, b"a result\n")
    out, err = capfd.readouterr()
    assert (out, err) == ("a result\n", "a program\n")
