"""The runtime in real processes, on every Python of this machine from 3.8 on."""

from __future__ import annotations

import dataclasses
import datetime as dt
import inspect
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from podenv.call.source import build_call
from podenv.runtime import command, travel_env
from podenv.runtime.call import Failure, Result
from podenv.runtime.frame import FrameReader

TOKEN = "0123456789abcdef"


def pythons() -> dict[str, str]:
    """Every Python from 3.8 on: in pyenv's versions, on PATH, and this one; pyenv's shims on PATH may fail."""
    root = os.environ.get("PYENV_ROOT")
    if not root and shutil.which("pyenv"):
        root = subprocess.run(["pyenv", "root"], capture_output=True, text=True, check=True).stdout.strip()
    found = [str(path) for path in Path(root or "/nonexistent").glob("versions/3.*/bin/python")]
    found += [path for minor in range(8, 16) if (path := shutil.which(f"python3.{minor}"))]
    versions: dict[str, str] = {}
    for path in [sys.executable, *sorted(found)]:
        shown = subprocess.run(
            [path, "-c", "import sys; print('3.%d' % sys.version_info[1])"], capture_output=True, text=True
        )
        if shown.returncode == 0 and int(shown.stdout.strip()[2:]) >= 8:
            versions.setdefault(shown.stdout.strip(), path)
    return versions


PYTHONS = pythons()
VERSIONS = sorted(PYTHONS, key=lambda version: int(version[2:]))


@pytest.fixture(params=VERSIONS)
def python(request: pytest.FixtureRequest) -> str:
    return PYTHONS[request.param]


@dataclasses.dataclass
class Ran:
    result: Result | None
    log: list[str]
    code: int

    @property
    def value(self) -> Any:
        assert self.result is not None, self.log
        assert self.result.error is None, vars(self.result.error)
        return self.result.value

    @property
    def error(self) -> Failure:
        assert self.result is not None, self.log
        assert self.result.error is not None
        return self.result.error


def start(python: str, function: Callable[..., Any], *args: Any, **options: Any) -> subprocess.Popen[bytes]:
    env = options.pop("env", {})
    kwargs = options.pop("kwargs", {})
    popen = options.pop("popen", {})
    settings = {"linger": 0.0, **options}
    return subprocess.Popen(
        command(python),
        env={**env, **travel_env(build_call(function, args, kwargs), TOKEN, **settings)},
        stdout=popen.pop("stdout", subprocess.PIPE),
        stderr=subprocess.STDOUT if "stderr" not in popen else popen.pop("stderr"),
        **popen,
    )


def finish(process: subprocess.Popen[bytes]) -> Ran:
    log: list[str] = []
    reader = FrameReader(TOKEN, log.append)
    output, _ = process.communicate(timeout=60)
    reader.feed(output or b"")
    reader.close()
    return Ran(reader.result, log, process.returncode)


def run(python: str, function: Callable[..., Any], *args: Any, **options: Any) -> Ran:
    return finish(start(python, function, *args, **options))


def test_a_value_comes_back_with_the_version_and_the_time_it_took(python: str) -> None:
    def add(first: Any, second: Any = 2, *rest: Any, sign: Any = 1, **more: Any) -> Any:
        """Docstring, with a
        line at column 4."""
        import time

        time.sleep(0.05)
        return {"sum": sign * (first + second + sum(rest)), "more": more}

    ran = run(python, add, 1, 2, 3, kwargs={"sign": -1, "extra": (1, 2)})
    assert (ran.value, ran.log, ran.code) == ({"sum": -6, "more": {"extra": (1, 2)}}, [], 0)
    assert ran.result is not None
    version = subprocess.run([python, "-c", "import platform; print(platform.python_version())"], capture_output=True)
    assert ran.result.python == version.stdout.decode().strip()
    assert 0.05 <= ran.result.seconds < 5


def test_tagged_values_are_the_same_types_on_every_python(python: str) -> None:
    def types(*values: Any) -> Any:
        return [type(value).__name__ for value in values], values[:4]

    utc = dt.datetime(2024, 7, 1, 12, tzinfo=dt.UTC)
    values = [utc, dt.date(2024, 7, 1), Decimal("1.5"), dt.timedelta(1), b"x", dt.time(1), {1}, float("nan"), 2**70]
    names, back = run(python, types, *values).value
    assert names == ["datetime", "date", "Decimal", "timedelta", "bytes", "time", "set", "float", "int"]
    assert back == tuple(values[:4])


def test_lines_appear_as_they_are_printed_and_in_order(python: str) -> None:
    def speak() -> Any:
        import os
        import sys
        import time

        print("out é \udc80")
        print("err", file=sys.stderr)
        os.system("echo child")
        os.write(1, b"raw\n")
        print("unfinished", end="")
        time.sleep(30)

    process = start(python, speak)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(4)]
    process.kill()
    process.communicate()
    assert lines == ["out é \\udc80\n".encode(), b"err\n", b"child\n", b"raw\n"]


def test_the_function_sees_neither_the_call_nor_the_token(python: str) -> None:
    def look() -> Any:
        import os
        import sys

        return sorted(os.environ), [name for name in globals() if not name.startswith("__")], sys.path[0] == ""

    ran = run(python, look, env={"MINE": "1", "PODENV_CATALOGUE": "kept"})
    names, module, working_directory = ran.value
    assert [name for name in names if "PODENV" in name or name == "MINE"] == ["MINE", "PODENV_CATALOGUE"]
    assert (module, working_directory) == (["look"], False)


SIGNED = """\
class Nowhere(dict):
    pass

def unwrapped(function):
    return function

@unwrapped
def f(
    rows: "list[int]",
    here: Nowhere or None = None,
    *rest: dict[
        str, "é"],
    **more: Nowhere) -> Nowhere["é"
                               or int]:
    return f.__annotations__
"""


def test_the_signatures_annotations_are_texts_and_no_decorator_is_applied(python: str, tmp_path: Path) -> None:
    assert run(python, from_file(tmp_path / "dag.py", SIGNED), []).value == {
        "rows": "list[int]",
        "here": "Nowhere or None",
        "rest": '(dict[\n        str, "é"])',
        "more": "Nowhere",
        "return": '(Nowhere["é"\n                               or int])',
    }


PLAIN = """\
Nowhere = int

def f(x: Nowhere) -> Nowhere:
    from dataclasses import dataclass, fields
    from typing import ClassVar

    @dataclass
    class Row:
        names: ClassVar[list] = []
        size: int = 1

    def inner(a: int) -> Row:
        return a
    size, back = Row.__annotations__["size"], inner.__annotations__["return"]
    return [field.type.__name__ for field in fields(Row)], size is int, back is Row
"""


def test_annotations_inside_the_function_are_what_they_are_in_plain_python(python: str, tmp_path: Path) -> None:
    assert run(python, from_file(tmp_path / "dag.py", PLAIN), 1).value == (["int"], True, True)


def test_annotations_are_texts_everywhere_where_the_file_says_so(python: str, tmp_path: Path) -> None:
    text = "def f():\n    class Row:\n        x: Nowhere\n    return Row.__annotations__\n"
    function = from_file(tmp_path / "dag.py", f"from __future__ import annotations\n{text}")
    assert run(python, function).value == {"x": "Nowhere"}


def test_what_is_logged_from_info_on_is_in_the_log_with_level_and_name(python: str) -> None:
    def speak() -> Any:
        import logging
        import sys

        log = logging.getLogger("my.part")
        log.debug("not this")
        log.info("rows: %d", 3)
        loud = logging.getLogger("loud")
        loud.warning("root")
        loud.setLevel(logging.DEBUG)
        loud.debug("asked for")
        try:
            1 / 0  # noqa: B018
        except ZeroDivisionError:
            log.exception("failed")
        ours = [finder for finder in sys.meta_path if "_podenv" in type(finder).__module__]
        return logging.getLogger().handlers, type(logging.__spec__.loader).__name__, ours

    ran = run(python, speak)
    assert ran.value == ([], "SourceFileLoader", [])
    shown = [line for line in ran.log if not re.fullmatch(r"[\s~^]+", line)]
    assert shown[:4] == [
        "INFO:my.part:rows: 3",
        "WARNING:loud:root",
        "DEBUG:loud:asked for",
        "ERROR:my.part:failed",
    ]
    assert shown[-1] == "ZeroDivisionError: division by zero"


def test_the_functions_own_set_up_of_logging_goes_before_podenvs(python: str) -> None:
    def speak(how: Any) -> Any:
        import logging.config

        if how == "basic":
            logging.basicConfig(format="mine %(message)s", level="ERROR")
        else:
            logging.config.dictConfig(
                {
                    "version": 1,
                    "formatters": {"own": {"format": "dict %(message)s"}},
                    "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "own"}},
                    "root": {"level": "DEBUG", "handlers": ["out"]},
                }
            )
        logging.debug("debug")
        logging.error("error")

    assert run(python, speak, "basic").log == ["mine error"]
    assert run(python, speak, "dict").log == ["dict debug", "dict error"]


def test_logging_is_loaded_only_where_it_is_used(python: str) -> None:
    def look() -> Any:
        import sys

        return "logging" in sys.modules

    assert run(python, look).value is False


async def double(x: Any) -> Any:
    import asyncio

    await asyncio.sleep(0)
    return 2 * x


def test_an_async_function_is_awaited(python: str) -> None:
    assert run(python, double, 21).value == 42


def test_an_exception_whose_class_exists_only_there_keeps_its_type_message_and_lines(python: str) -> None:
    def fail() -> Any:
        class GoneError(Exception):
            pass

        try:
            1 / 0  # noqa: B018
        except ZeroDivisionError as error:
            raise GoneError("no rows") from error

    ran = run(python, fail)
    assert (ran.error.kind, ran.error.type, ran.error.message, ran.code) == ("raised", "GoneError", "no rows", 1)
    first = fail.__code__.co_firstlineno
    trace = [line for line in ran.error.traceback.splitlines() if not re.fullmatch(r"[\s~^]+", line)]
    assert trace == [
        "Traceback (most recent call last):",
        f'  File "{__file__}", line {first + 5}, in fail',
        "    1 / 0  # noqa: B018",
        "ZeroDivisionError: division by zero",
        "",
        "The above exception was the direct cause of the following exception:",
        "",
        "Traceback (most recent call last):",
        f'  File "{__file__}", line {first + 7}, in fail',
        '    raise GoneError("no rows") from error',
        trace[-1],
    ]
    assert trace[-1].endswith("GoneError: no rows")
    assert ran.log == []


def test_a_traceback_shows_source_lines_where_the_file_does_not_exist(python: str, tmp_path: Path) -> None:
    ran = run(python, from_file(tmp_path / "gone.py", "\n\n    # é\ndef f():\n    import traceback\n    1 / 0\n"))
    assert 'gone.py", line 6, in f\n    1 / 0\n' in ran.error.traceback


def test_a_traceback_shows_the_lines_that_ran_not_what_stands_there_now(python: str, tmp_path: Path) -> None:
    function = from_file(tmp_path / "dag.py", "def f():\n    text = '\u2028'\n\f\n    1 / 0\n")
    (tmp_path / "dag.py").write_text("\n\n\nanother()\n")
    assert 'dag.py", line 4, in f\n    1 / 0\n' in run(python, function).error.traceback


def from_file(path: Path, text: str, name: str = "f") -> Callable[..., Any]:
    """The function of a file that is gone again by the time it runs, as in a pod."""
    import linecache

    namespace: dict[str, Any] = {"__name__": path.stem}
    linecache.cache[str(path)] = (len(text), None, re.findall(r".*\n", text), str(path))
    exec(compile(text, str(path), "exec", dont_inherit=True), namespace)
    return namespace[name]  # type: ignore[no-any-return]


def test_the_frames_of_asyncio_above_the_function_are_left_out(python: str) -> None:
    async def fail() -> Any:
        raise ValueError("x")

    trace = run(python, fail).error.traceback
    assert (trace.count("  File "), "podenv" in trace.replace(__file__, "")) == (1, False)


def test_an_exception_that_cannot_be_shown_is_still_reported(python: str) -> None:
    def fail() -> Any:
        class Broken(Exception):
            def __str__(self) -> Any:
                raise SystemExit(3)

        raise Broken

    error = run(python, fail).error
    assert (error.type, error.message) == ("Broken", "(its message cannot be read: __str__ raised SystemExit)")


def test_a_huge_message_is_bounded(python: str) -> None:
    def fail() -> Any:
        raise ValueError("a" * 5_000_000 + "\udc80z")

    error = run(python, fail).error
    assert len(error.message) < 4_100
    assert error.message.startswith("aaa")
    assert "\n… 4996002 characters left out …\n" in error.message
    assert error.message.endswith("a\\udc80z")
    assert len(error.traceback) < 65_000


def test_endless_recursion_is_an_error_like_any_other(python: str) -> None:
    def fail(n: Any = 0) -> Any:
        return fail(n + 1)

    error = run(python, fail).error
    assert error.type == "RecursionError"
    assert len(error.traceback) < 65_000


@pytest.mark.parametrize(
    ("argument", "shown", "code"), [(0, "0", "0"), ("bad", "'bad'", "1"), (None, "", "0"), (-1, "-1", "255")]
)
def test_sys_exit_is_a_failure_even_with_zero(python: str, argument: Any, shown: str, code: str) -> None:
    def leave(code: Any) -> Any:
        import sys

        sys.exit(code)

    ran = run(python, leave, argument)
    assert (ran.error.kind, ran.error.type, ran.error.code, ran.code) == ("exited", "SystemExit", code, 1)
    assert ran.error.message == (
        f"the function called sys.exit({shown}) instead of returning a value or raising an error"
    )


def test_keyboard_interrupt_is_reported(python: str) -> None:
    def interrupt() -> Any:
        raise KeyboardInterrupt

    assert run(python, interrupt).error.type == "KeyboardInterrupt"


def test_os_exit_brings_no_result_and_its_exit_code(python: str) -> None:
    def leave() -> Any:
        import os

        print("bye")
        os._exit(7)

    ran = run(python, leave)
    assert (ran.result, ran.log, ran.code) == (None, ["bye"], 7)


def test_a_segfault_brings_no_result_but_a_traceback_in_the_log(python: str) -> None:
    def crash() -> Any:
        import ctypes
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        ctypes.string_at(0)

    ran = run(python, crash)
    assert (ran.result, ran.code) == (None, -signal.SIGSEGV)
    assert ran.log[0] == "Fatal Python error: Segmentation fault"
    assert any("in crash" in line for line in ran.log)


def test_stdin_is_empty(python: str) -> None:
    def read() -> Any:
        import sys

        text = sys.stdin.read()
        return text, input()

    read_end, write_end = os.pipe()
    ran = run(python, read, popen={"stdin": read_end})
    os.close(read_end)
    os.close(write_end)
    assert (ran.error.type, ran.error.message) == ("EOFError", "EOF when reading a line")


def close_descriptor() -> Any:
    import os

    os.close(1)
    return "ok"


def close_object() -> Any:
    import sys

    sys.stdout.close()
    sys.stderr.close()
    return "ok"


def replace_with_a_file() -> Any:
    import os
    import sys

    fd = os.open(os.devnull, os.O_WRONLY)
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    sys.stdout = None
    return "ok"


def close_all() -> Any:
    import os

    os.closerange(3, 256)
    for _ in range(6):
        os.open(os.devnull, os.O_WRONLY)  # under the numbers that were ours
    return "ok"


@pytest.mark.parametrize("function", [close_descriptor, close_object, replace_with_a_file, close_all])
def test_a_function_that_closes_stdout_still_brings_its_value(python: str, function: Callable[[], str]) -> None:
    ran = run(python, function)
    assert (ran.value, ran.log, ran.code) == ("ok", [], 0)


def test_threads_and_exit_handlers_end_before_the_frame_and_nothing_prints_after_it(python: str) -> None:
    def work() -> Any:
        import atexit
        import threading
        import time

        def slow() -> Any:
            time.sleep(0.1)
            print("thread", end="")

        def chatter() -> Any:
            while True:
                time.sleep(0.0001)
                print("daemon")

        threading.Thread(target=slow).start()
        atexit.register(print, "\nexit")
        threading.Thread(target=chatter, daemon=True).start()
        return "ok"

    process = start(python, work, linger=0.05)
    assert process.stdout is not None
    output = process.stdout.read()
    process.stdout.close()
    assert process.wait() == 0
    log: list[str] = []
    reader = FrameReader(TOKEN, log.append)
    reader.feed(output)
    reader.close()
    assert reader.result is not None
    assert reader.result.value == "ok"
    said = [line for line in log if line and line != "daemon"]
    assert [word.replace("daemon", "") for word in said] == ["thread", "exit"]


def test_an_exit_handler_that_fails_does_not_hurt_the_value(python: str) -> None:
    def work() -> Any:
        import atexit

        atexit.register(lambda: 1 / 0)
        return "ok"

    ran = run(python, work)
    assert (ran.value, ran.log[-1]) == ("ok", "ZeroDivisionError: division by zero")


def test_a_forked_child_that_returns_too_brings_no_second_result(python: str) -> None:
    def fork() -> Any:
        import os
        import time

        child = os.fork()
        if child:
            _, status = os.waitpid(child, 0)
            return "parent", status
        time.sleep(0.05)
        return "child"

    ran = run(python, fork)
    assert (ran.value, ran.code) == (("parent", 0), 0)


def test_multiprocessing_children_end_quietly_when_they_are_terminated(python: str) -> None:
    def pool() -> Any:
        import multiprocessing
        import time

        context = multiprocessing.get_context("fork")
        child = context.Process(target=time.sleep, args=(30,))
        child.start()
        time.sleep(0.2)
        child.terminate()
        child.join()
        return child.exitcode

    ran = run(python, pool)
    assert (ran.value, ran.log) == (-signal.SIGTERM, [])


def test_a_child_that_stays_does_not_hold_the_result_back(python: str) -> None:
    def leave_one() -> Any:
        import subprocess
        import sys

        return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"]).pid

    process = start(python, leave_one)
    assert process.wait(20) == 0
    assert process.stdout is not None
    log: list[str] = []
    reader = FrameReader(TOKEN, log.append)
    while reader.result is None:
        reader.feed(os.read(process.stdout.fileno(), 65536))
    process.stdout.close()
    os.kill(reader.result.value, signal.SIGKILL)
    assert log == []


def wait_for_the_end(swallow: Any) -> Any:
    import time

    try:
        print("ready")
        for _ in range(300):  # a signal that comes just before a sleep begins is heard at its end
            time.sleep(0.1)
    except BaseException:
        if not swallow:
            raise
    finally:
        print("cleaned up")
    return "never a success"


@pytest.mark.parametrize("swallow", [False, True])
def test_sigterm_runs_finally_blocks_and_is_never_a_success(python: str, swallow: bool) -> None:
    process = start(python, wait_for_the_end, swallow)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    started = time.monotonic()
    process.terminate()
    ran = finish(process)
    assert (ran.result, ran.log, ran.code) == (None, ["cleaned up"], 143)
    assert time.monotonic() - started < 20


def test_a_second_sigterm_ends_a_clean_up_that_hangs(python: str) -> None:
    def hang() -> Any:
        import time

        try:
            print("ready")
            time.sleep(30)
        finally:
            print("hanging")
            time.sleep(30)

    process = start(python, hang)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.terminate()
    assert process.stdout.readline() == b"hanging\n"
    process.terminate()
    assert finish(process).code == 143


@pytest.mark.skipif(os.geteuid() != 0, reason="a process namespace of its own needs root")
def test_process_1_ends_on_sigterm(python: str) -> None:
    env = travel_env(build_call(wait_for_the_end, [False], {}), TOKEN, linger=0)
    argv = ["unshare", "--pid", "--fork", "--kill-child", *command(python)]
    process = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    line = process.stdout.readline()
    if line.startswith(b"unshare:"):
        process.communicate()
        pytest.skip(f"this machine makes no process namespace: {line.decode()}")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGTERM)
    ran = finish(process)
    assert (line, ran.log, ran.code) == (b"ready\n", ["cleaned up"], 143)


def test_a_value_that_xcom_does_not_keep_is_refused_there(python: str) -> None:
    def refused() -> Any:
        return {"rows": [{"raw": b"x"}]}

    ran = run(python, refused)
    assert (ran.error.kind, ran.code) == ("refused", 1)
    assert ran.error.message == (
        "the returned value['rows'][0]['raw']: XCom does not keep a bytes: "
        "return text, or write it to storage and return its path"
    )


def test_fifty_megabytes_are_refused_there_with_their_size(python: str) -> None:
    def large() -> Any:
        return "x" * 50_000_000

    error = run(python, large).error
    assert (error.kind, error.message) == (
        "too large",
        "the returned value is 47.7 MiB as JSON, a result holds at most 1.0 MiB: "
        "write it to storage and return its path",
    )


def test_a_value_that_raises_when_it_is_read_is_refused(python: str) -> None:
    def strange() -> Any:
        class Rows(dict):  # type: ignore[type-arg]
            def __iter__(self) -> Any:
                raise RuntimeError("no rows today")

        return Rows(a=1)

    error = run(python, strange).error
    assert (error.kind, error.message) == ("refused", "the returned value cannot be read: no rows today")


async def no_json() -> Any:
    print("at work")
    return b"x" * 2_000_000


async def fails() -> Any:
    raise ValueError("x")


def test_a_value_that_nobody_wants_may_be_anything(python: str) -> None:
    ran = run(python, no_json, discard=True)
    assert (ran.value, ran.log, ran.code) == (None, ["at work"], 0)
    assert run(python, no_json).error.kind == "refused"
    assert run(python, fails, discard=True).error.type == "ValueError"


def test_syntax_that_this_python_does_not_know_is_named(tmp_path: Path) -> None:
    if "3.8" not in PYTHONS:
        pytest.skip("this machine has no Python 3.8")
    function = from_file(tmp_path / "new.py", "def f(x):\n    match x:\n        case 1:\n            return 2\n")
    error = run(PYTHONS["3.8"], function, 1).error
    assert error.type == "SyntaxError"
    assert re.fullmatch(r"Python 3\.8\.\d+ cannot read the function: invalid syntax \(new\.py, line 2\)", error.message)


def test_a_python_that_is_too_old_says_so() -> None:
    root = Path(PYTHONS.get("3.8", "/nonexistent")).parents[2]
    old = [path for pattern in ("2.7*", "3.6*", "3.7*") for path in root.glob(f"{pattern}/bin/python")]
    if not old:
        pytest.skip("this machine has no Python older than 3.8")
    for path in old:
        ran = run(str(path), close_all)
        version = path.parents[1].name
        assert ran.result is None
        assert ran.log == [f"podenv: this environment has Python {version}; podenv needs 3.8 or newer"]


def test_a_damaged_call_is_reported(python: str) -> None:
    env = travel_env(build_call(close_all, [], {}), TOKEN, linger=0)
    env["PODENV_RUN_CALL_0"] = "AAAA" + env["PODENV_RUN_CALL_0"][4:]
    process = subprocess.Popen(command(python), env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    ran = finish(process)
    assert (ran.error.kind, ran.code) == ("call", 1)
    assert ran.error.message.startswith("the call arrived damaged (it does not decompress")


def test_a_short_result_is_the_termination_message_too(python: str, tmp_path: Path) -> None:
    def sized(size: Any) -> Any:
        import random

        return "".join(chr(random.randrange(33, 127)) for _ in range(size))

    for size, fits in ((10, True), (5_000, False)):
        path = tmp_path / f"termination-log-{size}"
        ran = run(python, sized, size, termination_log=str(path))
        assert len(ran.value) == size
        assert path.exists() is fits
        if fits:
            reader = FrameReader(TOKEN, lambda _: None)
            reader.feed(path.read_bytes())
            assert reader.result is not None
            assert reader.result.value == ran.value
            assert path.stat().st_size <= 4096


def test_without_a_stdout_the_termination_message_brings_the_result(python: str, tmp_path: Path) -> None:
    path = tmp_path / "termination-log"

    def speak() -> Any:
        print("nobody hears")
        return "ok"

    env = travel_env(build_call(speak, [], {}), TOKEN, linger=0, termination_log=str(path))
    argv = ["/bin/sh", "-c", 'exec "$@" >&- 2>&- <&-', "sh", *command(python)]
    assert subprocess.run(argv, env=env, timeout=30).returncode == 0
    reader = FrameReader(TOKEN, lambda _: None)
    reader.feed(path.read_bytes())
    assert reader.result is not None
    assert reader.result.value == "ok"


@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- 2>&-", "2>file"])
def test_whatever_descriptors_it_starts_with_the_frame_goes_to_stdout(python: str, closed: str, tmp_path: Path) -> None:
    def speak() -> Any:
        import subprocess
        import sys

        print("err", file=sys.stderr)
        return subprocess.run(["/bin/cat"], check=True).returncode

    env = travel_env(build_call(speak, [], {}), TOKEN, linger=0)
    argv = ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *command(python)]
    ran = finish(subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, cwd=tmp_path))
    assert (ran.value, ran.code) == (0, 0)
    assert ran.log == ["err"]


def test_nobody_reads_the_log_any_more_is_no_success(python: str) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    process = start(python, close_all, popen={"stdout": write_end})
    os.close(write_end)
    assert process.wait(20) == 1


def test_it_needs_no_home_no_tmp_and_no_writable_directory(python: str, tmp_path: Path) -> None:
    def where() -> Any:
        import os

        return os.getcwd(), "HOME" in os.environ  # noqa: PTH109

    here = tmp_path / "gone"
    here.mkdir()
    (here / "json.py").write_text("raise SystemExit('shadowed')")
    ran = run(python, where, popen={"cwd": here}, env={"TMPDIR": "/nonexistent"})
    assert ran.value == (str(here), False)


def test_the_locale_does_not_matter(python: str) -> None:
    def speak() -> Any:
        print("é✓")
        return "é✓"

    ran = run(
        python, speak, env={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", "PYTHONUNBUFFERED": "1"}
    )
    assert (ran.value, ran.log) == ("é✓", ["é✓"])


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_it_ends_with_its_parent_and_adopts_orphans(python: str) -> None:
    def adopt() -> Any:
        import os
        import subprocess
        import sys
        import time

        code = "import subprocess, sys; print(subprocess.Popen(['sleep', '30'], stdout=subprocess.DEVNULL).pid)"
        orphan = int(subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True).stdout)
        with open(f"/proc/{orphan}/stat") as file:  # noqa: PTH123
            parent = int(file.read().split()[3])
        os.kill(orphan, 9)
        print(parent == os.getpid(), flush=True)
        print(os.getpid(), flush=True)
        time.sleep(30)

    code = (
        "import subprocess, sys; from podenv.runtime import command, travel_env; "
        "from podenv.runtime.call import Call, Code; "
        "call = Call(Code('adopt', 'f.py', 9, [('f.py', 9, sys.stdin.read())])); "
        "child = subprocess.Popen(command(sys.argv[1]), env=travel_env(call, 'x' * 8, die_with_parent=True)); "
        "child.wait()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, python], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        parent.stdin.write(textwrap.dedent(inspect.getsource(adopt)))
        parent.stdin.close()
        said = [parent.stdout.readline(), parent.stdout.readline()]
        parent.kill()
        assert (said[0], parent.stdout.read()) == ("True\n", "")  # the pipe closes: the runtime is gone


def test_inspect_finds_the_source_of_the_function_there(python: str, tmp_path: Path) -> None:
    text = "\ndef f():\n    import inspect\n    return inspect.getsource(f)\n"
    assert run(python, from_file(tmp_path / "gone.py", text)).value == text[1:]


def test_indentation_comments_and_strings_stay_as_they_are(python: str, tmp_path: Path) -> None:
    text = (
        "if True:\n"
        "\tdef f():\n"
        "# a comment at column 0\n"
        '\t\ttext = """a\n'
        "# no comment\n"
        '\tb"""  # a comment\n'
        "\t\treturn text, \\\n"
        "1\n"
    )
    assert run(python, from_file(tmp_path / "tabs.py", text)).value == ("a\n# no comment\n\tb", 1)


@pytest.mark.parametrize("text", ["\f  def f():\n    return 1\n", "  \fdef f():\n\f  return 1\n"])
def test_form_feeds_begin_the_indentation_anew(text: str, tmp_path: Path) -> None:
    head = "" if text.startswith("  ") else "if True:\n"
    assert run(sys.executable, from_file(tmp_path / "old.py", head + text)).value == 1


def test_one_hundred_thousand_lines_pass(python: str) -> None:
    def chat() -> Any:
        for number in range(100_000):
            print("line", number)
        return "ok"

    ran = run(python, chat)
    assert (ran.value, len(ran.log), ran.log[-1]) == ("ok", 100_000, "line 99999")


def test_start_up_costs_little_more_than_pythons_own(python: str) -> None:
    def nothing() -> Any:
        return None

    env = travel_env(build_call(nothing, [], {}), TOKEN, linger=0)

    def fastest(argv: list[str]) -> float:
        times = []
        for _ in range(10):
            before = os.times()
            subprocess.run(argv, env=env, stdout=subprocess.DEVNULL, check=True)
            after = os.times()
            times.append(after.children_user + after.children_system - before.children_user - before.children_system)
        return min(times)

    assert fastest(command(python)) - fastest([python, "-c", "pass"]) < 0.06


def test_the_runtime_imports_none_of_podenvs_libraries() -> None:
    code = (
        "import sys, podenv.runtime; print(sorted({'pydantic', 'yaml', 'airflow', 'dataclasses'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"
