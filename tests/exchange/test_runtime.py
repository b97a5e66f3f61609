"""The runtime of a pod with values in a store over HTTP: where it waits for its task, and where it is ended."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.exchange.httpstore import HttpStore, Trouble, serving
from tests.runtime.test_runtime import PYTHONS, TOKEN, VERSIONS

from podenv.call import warm
from podenv.call.source import build_call
from podenv.runtime import command, travel_env
from podenv.runtime.call import Result
from podenv.runtime.frame import FrameReader
from podenv.runtime.reference import references

OWN = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
SIZE = 3_000_000


@pytest.fixture
def store() -> Iterator[HttpStore]:
    with serving() as started:
        yield started


def ticket(store: HttpStore, prefix: str, *arguments: Any) -> dict[str, Any]:
    get = {one.key: store.address(one.key) for one in references(list(arguments))}
    return {"put": [store.address(f"{prefix}/{number}") for number in range(4)], "get": get, "all": False}


def start(
    function: Callable[..., Any], *args: Any, allowed: dict[str, Any], python: str = sys.executable, **env: str
) -> subprocess.Popen[bytes]:
    travel = travel_env(build_call(function, args, {}), TOKEN, linger=0, ticket=allowed)
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command(python), env={**OWN, **travel, **env}, **pipes)


def finish(output: bytes) -> tuple[Result, list[str]]:
    log: list[str] = []
    reader = FrameReader(TOKEN, log.append)
    reader.feed(output)
    reader.close()
    assert reader.result is not None, log
    return reader.result, log


def make(size: int) -> Any:
    return {"raw": b"x" * size, "n": size}


def length(value: Any) -> Any:
    import os

    return [len(value["raw"]), [name for name in os.environ if name.startswith("PODENV_RUN_")]]


@pytest.mark.parametrize("python", [PYTHONS[version] for version in VERSIONS], ids=VERSIONS)
def test_a_value_goes_from_one_process_to_another_on_every_python(store: HttpStore, python: str) -> None:
    result, log = finish(start(make, SIZE, allowed=ticket(store, "a"), python=python).communicate(timeout=60)[0])
    assert result.error is None
    assert store.values["a/0"] == b"x" * SIZE
    assert [line.partition(" in ")[0] for line in log] == ["bytes, 2.9 MiB, to storage"]
    again = start(length, result.value, allowed=ticket(store, "b", result.value), python=python)
    assert finish(again.communicate(timeout=60)[0])[0].value == [SIZE, []]


def test_a_pod_that_waits_brings_a_value_to_storage(store: HttpStore) -> None:
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    waiting = subprocess.Popen(
        [sys.executable, "-c", warm.loader()], env={**OWN, warm.RUNTIME: warm.runtime()}, **pipes
    )
    travel = travel_env(build_call(make, (5,), {}), TOKEN, linger=0, ticket=ticket(store, "a"))
    sent = {name: value for name, value in travel.items() if name != warm.RUNTIME}
    output, _ = waiting.communicate(warm.message(sent), timeout=20)
    assert finish(output)[0].value["raw"].key == "a/0"
    assert store.values == {"a/0": b"xxxxx"}


def test_without_a_ticket_nothing_of_storage_travels() -> None:
    call = build_call(make, (5,), {})
    without, with_one = travel_env(call, TOKEN), travel_env(call, TOKEN, ticket={"put": [], "get": {}, "all": False})
    changed = {name for name in with_one if without.get(name) != with_one[name]}
    assert changed == {"PODENV_RUN_CODE", "PODENV_RUN_CALL_EXCHANGE_0"}
    assert max(map(len, with_one.values())) < 120_000


def test_a_storage_that_stays_away_fails_the_task_and_a_retry_may_help(store: HttpStore) -> None:
    store.troubles = [Trouble(403, "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>")]
    result, log = finish(start(make, 5, allowed=ticket(store, "a")).communicate(timeout=60)[0])
    assert result.error is not None
    assert (result.error.kind, result.error.code) == ("storage", "retry")
    assert result.error.message.startswith("a/0: the signed address expired while the task ran")
    assert log == []


def test_a_function_that_closes_its_output_still_brings_its_value(store: HttpStore) -> None:
    def silent() -> Any:
        import sys

        sys.stdout.close()
        return b"1"

    result, _ = finish(start(silent, allowed=ticket(store, "a")).communicate(timeout=60)[0])
    assert result.value.key == "a/0"


def test_a_child_that_the_function_forked_brings_nothing_to_storage(store: HttpStore) -> None:
    def forks() -> Any:
        import os

        child = os.fork()
        if child:
            os.waitpid(child, 0)
        return b"parent" if child else b"child"

    result, _ = finish(start(forks, allowed=ticket(store, "a")).communicate(timeout=60)[0])
    assert result.value.key == "a/0"
    assert [method for method, _, _ in store.asked] == ["PUT"]
    assert store.values == {"a/0": b"parent"}


def test_sigterm_while_a_value_is_sent_ends_the_task_at_once_and_leaves_no_file(
    store: HttpStore, tmp_path: Path
) -> None:
    def folder() -> Any:
        import pathlib
        import tempfile

        made = pathlib.Path(tempfile.mkdtemp(), "own")
        made.mkdir()
        (made / "file").write_text("1")
        return [made, b"2"]

    store.troubles = [Trouble(wait=5.0), Trouble(wait=5.0)]
    process = start(folder, allowed=ticket(store, "a"), TMPDIR=str(tmp_path))
    with process:
        until = time.monotonic() + 20
        while len(store.asked) < 2 and time.monotonic() < until:
            time.sleep(0.01)
        sent = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 143
        assert time.monotonic() - sent < 2
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith("podenv-")] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("kind", ["http", "file"])
def test_a_task_that_is_ended_at_any_moment_leaves_no_half_of_a_value(
    store: HttpStore, tmp_path: Path, kind: str, number: signal.Signals
) -> None:
    pick = random.Random(14)
    seen = set()
    for count in range(15):
        allowed = ticket(store, f"{count}")
        if kind == "file":
            for one in allowed["put"]:
                one["url"] = (tmp_path / "store" / one["key"]).as_uri()
        process = start(make, 40_000_000, allowed=allowed)
        with process:
            time.sleep(pick.uniform(0.05, 0.35))
            process.send_signal(number)
            process.communicate(timeout=20)
        whole = store.values.get(f"{count}/0")
        if kind == "file":
            path = tmp_path / "store" / f"{count}" / "0"
            whole = path.read_bytes() if path.exists() else None
        assert whole is None or len(whole) == 40_000_000
        seen.add(whole is None)
        store.values.clear()
    assert True in seen  # some were ended before
