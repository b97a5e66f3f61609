"""Interpreters that wait for the next task of this process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from podenv.call import source
from podenv.catalogue.environment import Catalogue
from podenv.errors import OutOfMemory
from podenv.local import Limits, LocalRun, ahead

TOOK = "An interpreter that waited took the task."


def state() -> list[Any]:
    import os
    import sys

    return [
        os.getpid(),
        "colorsys" in sys.modules,
        sorted(name for name in os.environ if "PODENV" in name),
        os.getppid(),
    ]


def holds(mebibytes: int) -> int:
    return len(bytearray(mebibytes * 1024**2))


@pytest.fixture
def warm(own_catalogue: Catalogue) -> Iterator[Catalogue]:
    """``small`` keeps idle pods, with a module that no interpreter loads by itself."""
    _write(own_catalogue, 'python: "3.11"\nwarm: {idle: 1, imports: [colorsys]}\n')
    yield own_catalogue
    ahead.end_all()
    ahead._broken.clear()


def _write(catalogue: Catalogue, values: str) -> None:
    (catalogue.root / "small" / "values.yaml").write_text(values)


def run(
    catalogue: Catalogue,
    function: Any = state,
    *args: Any,
    memory: str | None = None,
    env: Mapping[str, str] | None = None,
    trace: Mapping[str, str] | None = None,
    many: bool = True,
    sampled: bool = False,
) -> tuple[Any, list[str]]:
    log: list[str] = []
    environment = Catalogue(catalogue.root)["small"]
    one = LocalRun(
        environment,
        limits=Limits(memory=memory),
        env=env or {},
        emit=log.append,
        trace=trace,
        many=many,
        sampled=sampled,
    )
    return one.call(source.build_call(function, args, {}, python="3.11")), log


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE}


def test_the_second_task_takes_an_interpreter_that_has_loaded_the_imports_and_ends_with_it(warm: Catalogue) -> None:
    first, log = run(warm)
    assert (first[1:3], TOOK in log) == ([False, ["PODENV_TASK"]], False)
    waiting = children()
    second, log = run(warm)
    assert waiting == {second[0]}
    assert (second[1:], log) == ([True, ["PODENV_TASK"], os.getpid()], [TOOK])
    third, _ = run(warm)
    assert len({first[0], second[0], third[0]}) == 3
    assert not {first[0], second[0], third[0]} & set(psutil.pids())
    ahead.end_all()
    assert children() == set()


def traceparent() -> str | None:
    import os

    return os.environ.get("TRACEPARENT")


def test_the_trace_comes_with_the_call_and_keeps_no_interpreter_from_taking_it(warm: Catalogue) -> None:
    assert run(warm, traceparent, trace={"TRACEPARENT": "first"}) == ("first", [])
    assert run(warm, traceparent, trace={"TRACEPARENT": "second"}) == ("second", [TOOK])
    assert run(warm, traceparent) == (None, [TOOK])


@pytest.mark.parametrize("sampled", [False, True])
def test_its_memory_is_limited_as_that_of_the_task_that_takes_it(warm: Catalogue, *, sampled: bool) -> None:
    run(warm, memory="512Mi", sampled=sampled)
    with pytest.raises(OutOfMemory) as caught:
        run(warm, holds, 200, memory="64Mi", sampled=sampled)
    assert caught.value.limit == "64Mi"
    assert run(warm, holds, 200, memory="512Mi", sampled=sampled) == (200 * 1024**2, [TOOK])


@pytest.mark.parametrize("unlike", [{"many": False}, {"env": {"WORD": "own"}}])
def test_a_process_with_one_task_and_a_task_with_variables_of_its_own_start_a_new_one(
    warm: Catalogue, unlike: dict[str, Any]
) -> None:
    run(warm)
    value, log = run(warm, **unlike)
    assert (value[1], log) == (False, [])
    assert run(warm)[1] == [TOOK]


def test_none_waits_without_idle_pods(own_catalogue: Catalogue) -> None:
    run(own_catalogue)
    assert children() == set()


def test_one_that_was_started_with_other_imports_is_not_taken(warm: Catalogue) -> None:
    run(warm)
    _write(warm, 'python: "3.11"\nwarm: {idle: 1, imports: [chunk]}\n')
    value, log = run(warm)
    assert (value[1], log) == (False, [])


def test_an_import_that_fails_is_named_once_and_tasks_start_as_without(warm: Catalogue) -> None:
    _write(warm, 'python: "3.11"\nwarm: {idle: 1, imports: [pandaz]}\n')
    run(warm)
    time.sleep(1)
    _, log = run(warm)
    why = "pandaz of warm.imports cannot be imported: ModuleNotFoundError: No module named 'pandaz'"
    assert log == [f"The interpreter that waited has ended ({why}): from now on none waits."]
    assert run(warm)[1] == []
    assert children() == set()


def test_one_that_somebody_killed_holds_no_task_up(warm: Catalogue) -> None:
    run(warm)
    (waiting,) = children()
    os.kill(waiting, signal.SIGKILL)
    time.sleep(0.2)
    value, log = run(warm)
    assert value[0] != waiting
    assert log == ["The interpreter that waited has ended (exit code -9): from now on none waits."]


@pytest.mark.parametrize("end", ["", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"])
def test_it_ends_with_the_process_that_started_it(warm: Catalogue, tmp_path: Path, end: str) -> None:
    file = tmp_path / "script.py"
    file.write_text(
        "import psutil\nfrom podenv.local import run_in_env\n\n"
        "def one():\n    return 1\n\n"
        "run_in_env('small', one)\n"
        f"print(*[child.pid for child in psutil.Process().children()], flush=True)\n{end}\n"
    )
    env = {**os.environ, "PODENV_CATALOGUE": str(warm.root)}
    printed = subprocess.run([sys.executable, file], env=env, stdout=subprocess.PIPE, text=True, check=False).stdout
    (waiting,) = map(int, printed.split())
    until = time.monotonic() + 10
    while psutil.pid_exists(waiting) and time.monotonic() < until:
        time.sleep(0.02)
    assert not psutil.pid_exists(waiting)
