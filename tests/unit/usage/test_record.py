"""The line that ends a task's log, and the record that is kept."""

from __future__ import annotations

from typing import Any

import pytest

from podenv.errors import FunctionRaised, Killed, OutOfMemory
from podenv.usage.record import TaskUsage, usage_of
from podenv.usage.runs import Run

MIB = 2**20
RESOURCES = {"requests": {"cpu": "500m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}}
MEASURED = {
    "peak_memory_bytes": 612.0 * MIB,
    "cpu_seconds": 1.2401,
    "throttled_seconds": 0.2,
    "written_bytes": 4096.0,
    "out_of_memory_kills": 0.0,
}


def used(
    measured: dict[str, float] = MEASURED,
    resources: dict[str, dict[str, Any]] = RESOURCES,
    error: BaseException | None = None,
    seconds: float | None = 3.1,
) -> TaskUsage:
    return usage_of(
        measured,
        resources,
        error,
        environment="etl",
        backend="kubernetes",
        started="2026-11-26T12:00:00+00:00",
        lock="f" * 64,
        seconds=seconds,
    )


@pytest.mark.parametrize(
    ("usage", "line"),
    [
        (used(), "Peak 612 MiB of 1 GiB, 0.4 cores of 1 (throttled 0.2 s), 3.1 s."),
        (used({**MEASURED, "throttled_seconds": 0.01}), "Peak 612 MiB of 1 GiB, 0.4 cores of 1, 3.1 s."),
        (used(resources={}), "Peak 612 MiB, 0.4 cores (throttled 0.2 s), 3.1 s."),
        (used({}), "Peak not known, 3.1 s."),
        (used({"cpu_seconds": 0.01}, seconds=0.02), "Peak not known, 0.0 s."),
        (used({}, error=OutOfMemory("etl", "1Gi", "")), "Peak at least 1 GiB, its limit, 3.1 s."),
        (used({}, {}, OutOfMemory("etl", "", "")), "Peak beyond this machine's memory, 3.1 s."),
        (used(error=FunctionRaised("etl", "ValueError", "", "")), used().line),
        (used({}, error=Killed("ended"), seconds=None), ""),
    ],
)
def test_the_line_says_what_is_known(usage: TaskUsage, line: str) -> None:
    assert usage.line == line


def test_a_record_holds_what_is_known_and_nothing_else() -> None:
    assert used().known == {
        "environment": "etl",
        "backend": "kubernetes",
        "state": "success",
        "started": "2026-11-26T12:00:00+00:00",
        "lock": "f" * 64,
        "seconds": 3.1,
        "peak_memory_bytes": 612 * MIB,
        "memory_request_bytes": 256 * MIB,
        "memory_limit_bytes": 1024 * MIB,
        "cpu_seconds": 1.24,
        "cpu_request_cores": 0.5,
        "cpu_limit_cores": 1.0,
        "throttled_seconds": 0.2,
        "written_bytes": 4096,
        "out_of_memory_kills": 0,
        "growths": 0,
        "relaunches": 0,
    }


@pytest.mark.parametrize(
    ("error", "state", "kills"),
    [
        (FunctionRaised("etl", "ValueError", "", ""), "failed", None),
        (OutOfMemory("etl", "1Gi", ""), "out_of_memory", 1),
        (Killed("ended"), "killed", None),
        (KeyboardInterrupt(), "killed", None),
    ],
)
def test_how_a_run_ended_is_in_its_record(error: BaseException, state: str, kills: int | None) -> None:
    record = used({}, error=error)
    assert (record.state, record.out_of_memory_kills, record.failure) == (state, kills, type(error).__name__)


def test_podenv_sizes_reads_what_is_kept() -> None:
    run = Run.of("daily", "load", used().known)
    assert run is not None
    assert (run.peak, run.memory_limit, run.cpu_limit, run.seconds) == (612 * MIB, 1024 * MIB, 1.0, 3.1)
    assert (run.cores, run.throttled, run.killed) == (1.24 / 3.1, True, False)
