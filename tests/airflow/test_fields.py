"""Fields accompany podenv's own lines in the task's log, as Airflow writes it; the text of a line stays as it is."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from tests.airflow.conftest import IMAGE
from tests.airflowtask import execute
from tests.pods import functions
from tests.pods.apiserver import ApiServer

from podenv.airflow import fields

Make = Callable[..., Any]
OURS = ("environment", "try_number", "pod", "node", "image_digest")


class TaskLog:
    """The task's log as Airflow writes it, one JSON object a line."""

    def __init__(self, stream: io.StringIO) -> None:
        self._stream = stream

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]

    def fields(self, beginning: str) -> dict[str, Any]:
        """What accompanies the line that begins so."""
        (found,) = [line for line in self.lines if line["event"].startswith(beginning)]
        return {name: found[name] for name in OURS if name in found}


@pytest.fixture
def log() -> Iterator[TaskLog]:
    """Airflow's own formatter of a task's log, on podenv's logger."""
    from airflow.sdk._shared.logging.structlog import structlog_processors

    stream = io.StringIO()
    chain, for_stdlib, _ = structlog_processors(json_output=True)
    processors = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, for_stdlib]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=processors, foreign_pre_chain=chain))
    logger = logging.getLogger("airflow.task.podenv")
    logger.addHandler(handler)
    yield TaskLog(stream)
    logger.removeHandler(handler)


def test_podenvs_own_lines_say_which_pod_of_which_try_they_are_about(
    server: ApiServer, make: Make, log: TaskLog
) -> None:
    execute(make(functions.double, 21), try_number=3)
    (asked,) = server.asked("POST .*/pods$")
    task = {"environment": "plain", "try_number": 3}
    pod = {"pod": asked.body["metadata"]["name"], "image_digest": IMAGE.partition("@")[2]}
    assert log.fields("Environment 'plain' (") == task
    assert log.fields("Pod podenv-plain/") == {**task, **pod}
    assert log.fields("Peak ") == {**task, **pod, "node": "node-1"}


@pytest.mark.usefixtures("server")
def test_what_the_function_prints_has_no_fields(make: Make, log: TaskLog) -> None:
    execute(make(functions.double, 21))
    assert log.fields("doubling") == {}


@pytest.mark.usefixtures("server")
def test_the_text_of_the_lines_is_that_of_the_log_without_fields(make: Make, log: TaskLog) -> None:
    outcome = execute(make(functions.double, 21))
    assert [line["event"] for line in log.lines] == outcome.log


@pytest.mark.usefixtures("server")
def test_the_next_task_of_the_process_has_its_own(make: Make, log: TaskLog) -> None:
    execute(make(functions.double, 21))
    with fields.of_try("other", 1):
        fields.FieldsLog(logging.getLogger("airflow.task.podenv")).warning("between")
    fields.FieldsLog(logging.getLogger("airflow.task.podenv")).warning("after")
    assert log.fields("between") == {"environment": "other", "try_number": 1}
    assert log.fields("after") == {}


def test_a_line_names_the_place_in_the_code_that_wrote_it() -> None:
    seen: list[logging.LogRecord] = []
    logger = logging.Logger("apart")
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(record)  # type: ignore[method-assign]
    logger.addHandler(handler)
    fields.FieldsLog(logger).warning("here")
    assert seen[0].pathname == __file__
