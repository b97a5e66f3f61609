"""A function in a local virtual environment: what comes back, what the log gets, and how each bad function ends."""

from __future__ import annotations

import os
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from podenv import local, lock, process, venv
from podenv.call import source
from podenv.catalogue.environment import Catalogue
from podenv.errors import (
    CallError,
    Exited,
    FunctionRaised,
    LocalEnvironmentError,
    LockStale,
    OutOfMemory,
    ProgramNotFound,
    ResultRefused,
    UnknownEnvironment,
)
from podenv.local import Limits

from .conftest import Runner, alive

ENVS = Path(__file__).parents[2] / "envs"


def which_six() -> tuple[str, list[int]]:
    import sys

    import six  # type: ignore[import-untyped]

    return six.__version__, list(sys.version_info[:2])


def test_the_value_comes_back_from_the_environments_own_python_and_libraries(runner: Runner) -> None:
    assert runner(which_six) == ("1.16.0", [3, 11])


def test_the_oldest_python_runs_it_too(catalogue: Catalogue) -> None:
    def where() -> str:
        import sys

        import iniconfig

        return f"{sys.version_info[0]}.{sys.version_info[1]} {iniconfig.IniConfig.__name__}"

    assert Runner(catalogue["old"])(where) == "3.8 IniConfig"


def test_a_virtual_environment_that_is_not_there_is_made_and_the_log_says_so(runner: Runner, own_cache: Path) -> None:
    assert runner(lambda_free) == 1
    assert runner.lines[0].startswith("Making the virtual environment of 'small' with ")
    assert runner.lines[1].startswith("Made the virtual environment of 'small' in ")
    assert runner.lines[2:] == ["one"]


def lambda_free() -> int:
    print("one")
    return 1


def test_a_stale_lock_is_refused_before_anything_starts(own_catalogue: Catalogue) -> None:
    own_catalogue["small"].requirements_in.write_text("six==1.17.0\n")
    with pytest.raises(LockStale):
        Runner(own_catalogue["small"])(lambda_free)


def test_each_line_is_in_the_log_while_the_function_still_runs(runner: Runner) -> None:
    def slow() -> None:
        import os
        import sys
        import time

        print("to stdout")
        print("to stderr", file=sys.stderr)
        os.system("echo from a child")
        time.sleep(1.5)
        print("no newline", end="")

    heard: list[tuple[float, str]] = []
    began = time.monotonic()
    runner(slow, emit=lambda line: heard.append((time.monotonic() - began, line)))
    ended = time.monotonic() - began
    assert [line for _, line in heard] == ["to stdout", "to stderr", "from a child", "no newline"]
    assert all(ended - at > 0.5 for at, _ in heard[:3])


def test_100_mb_of_output_stream_through_in_bounded_memory(runner: Runner) -> None:
    def loud() -> int:
        line = "x" * 999 + "\n"
        for _ in range(100_000):
            print(line, end="")
        return 7

    peak, size, first = 0, 0, _resident()

    def count(line: str) -> None:
        nonlocal size, peak
        size += len(line) + 1
        if size % 1_000_000 == 0:
            peak = max(peak, _resident())

    assert runner(loud, emit=count) == 7
    assert size == 100_000_000
    assert peak - first < 20_000_000


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_result_of_50_mb_is_refused_with_both_sizes_and_the_way_out(runner: Runner) -> None:
    def large() -> str:
        return "x" * 50_000_000

    with pytest.raises(ResultRefused, match=r"^Environment 'small': the returned value is 47.7 MiB .*1.0 MiB.*storage"):
        runner(large)


def return_set() -> Any:
    return {1}


def return_nan() -> Any:
    return {"loss": [0.5, float("nan")]}


def return_bytes() -> Any:
    return b"\x00"


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (return_nan, r"the returned value\['loss'\]\[1\]: .*[nN]a[nN]"),
        (return_bytes, r"the returned value: .*bytes"),
    ],
)
def test_a_value_that_xcom_cannot_keep_is_refused_by_path(runner: Runner, function: Any, said: str) -> None:
    with pytest.raises(ResultRefused, match=said) as raised:
        runner(function)
    assert not raised.value.retry


def test_a_value_that_nobody_wants_may_be_anything(runner: Runner) -> None:
    assert runner.run().call(source.build_call(return_bytes, (), {}, None), discard=True) is None


def test_a_set_and_a_datetime_with_a_zone_come_back_as_they_were(runner: Runner) -> None:
    def zoned() -> Any:
        from datetime import datetime
        from zoneinfo import ZoneInfo

        return datetime(2024, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin"))

    assert runner(return_set) == {1}
    back = runner(zoned)
    assert back.isoformat() == "2024-07-01T12:00:00+02:00"
    assert str(back.tzinfo) == "Europe/Berlin"


def test_a_dataframe_is_refused_with_what_to_return_instead() -> None:
    def frame() -> Any:
        import pandas as pd

        return pd.DataFrame({"a": [1, 2]})

    with pytest.raises(ResultRefused, match=r"Environment 'data-cleaning': .*DataFrame.*to_dict"):
        Runner(Catalogue(ENVS)["data-cleaning"])(frame)


def test_an_exception_whose_class_exists_only_there_comes_back_by_name_message_and_traceback(runner: Runner) -> None:
    def fail(count: int) -> None:
        import six

        class Unheard(six.moves.queue.Empty):  # type: ignore[misc]
            pass

        raise Unheard(f"{count} rows are missing")

    with pytest.raises(FunctionRaised) as raised:
        runner(fail, 3)
    assert raised.value.type == "Unheard"
    assert raised.value.remote_message == "3 rows are missing"
    assert str(raised.value) == "The function raised Unheard in environment 'small': 3 rows are missing"
    trace = raised.value.remote_traceback.splitlines()
    assert trace[0] == "Traceback (most recent call last):"
    assert Path(__file__).name in trace[1]
    assert trace[2].strip() == 'raise Unheard(f"{count} rows are missing")'


def test_an_argument_that_cannot_travel_is_refused(runner: Runner) -> None:
    with pytest.raises(CallError):
        runner(return_twice, object())


def return_twice(value: Any) -> Any:
    return [value, value]


def sys_exit() -> None:
    import sys

    sys.exit(3)


def os_exit() -> None:
    import os

    print("before", flush=True)
    os._exit(4)


def segfault() -> None:
    import ctypes

    ctypes.string_at(0)


def killed_by_itself() -> None:
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("function", "code", "message"),
    [
        (
            sys_exit,
            3,
            "In environment 'small' the function called sys.exit(3) instead of returning a value or raising an error.",
        ),
        (
            os_exit,
            4,
            "In environment 'small' the process ended with exit code 4. It ended before the function had returned.",
        ),
        (
            segfault,
            -11,
            "In environment 'small' the process crashed with SIGSEGV. It ended before the function had returned.",
        ),
        (
            killed_by_itself,
            -9,
            "In environment 'small' the process was ended by SIGKILL. It ended before the function had returned.",
        ),
    ],
)
@pytest.mark.parametrize("sampled", [False, True], ids=["cgroup", "sampled"])
def test_a_process_that_ends_before_its_function_returns_says_how(
    runner: Runner, function: Any, code: int, message: str, sampled: bool
) -> None:
    with pytest.raises(Exited) as raised:
        runner(function, sampled=sampled)
    assert (raised.value.code, str(raised.value)) == (code, message)
    assert raised.value.retry


def test_a_segfault_leaves_the_python_traceback_in_the_log(runner: Runner) -> None:
    with pytest.raises(Exited):
        runner(segfault)
    assert "Fatal Python error: Segmentation fault" in runner.lines
    assert any(" in segfault" in line for line in runner.lines)


def leave_children() -> list[int]:
    import os
    import subprocess
    import time

    plain = subprocess.Popen(["sleep", "300"])  # holds our output open
    session = subprocess.Popen(["sleep", "300"], start_new_session=True)
    reader, writer = os.pipe()
    if os.fork() == 0:  # a daemon as the books have it: two forks, a session of its own, no environment
        os.setsid()
        if os.fork() == 0:
            os.write(writer, str(os.getpid()).encode())
            os.execve("/bin/sleep", ["sleep", "300"], {})
        os._exit(0)
    daemon = int(os.read(reader, 20))
    time.sleep(0.05)
    return [plain.pid, session.pid, daemon]


@pytest.mark.parametrize("sampled", [False, True], ids=["cgroup", "sampled"])
def test_children_that_stay_hold_nothing_up_and_are_ended(runner: Runner, sampled: bool) -> None:
    began = time.monotonic()
    pids = runner(leave_children, sampled=sampled)
    assert time.monotonic() - began < 60
    assert len(set(pids)) == 3
    assert [pid for pid in pids if alive(pid)] == []


def test_a_child_that_prints_for_ever_does_not_hold_up_a_process_that_has_ended(runner: Runner) -> None:
    def leave_a_noisy_one() -> None:
        import os
        import subprocess

        subprocess.Popen(["yes"], start_new_session=True)
        os._exit(5)

    with pytest.raises(Exited, match="exit code 5"):
        runner(leave_a_noisy_one, emit=lambda line: None)


def test_a_function_that_closes_its_output_still_returns(runner: Runner) -> None:
    def close_all() -> int:
        import os
        import sys

        print("before")
        sys.stdout.close()
        os.close(1)
        os.close(2)
        return 5

    assert runner(close_all) == 5
    assert runner.lines == ["before"]


def test_a_function_that_closes_every_descriptor_and_goes_on_is_waited_for(runner: Runner) -> None:
    def close_everything() -> None:
        import os
        import time

        os.closerange(0, 100)
        time.sleep(0.5)

    began = time.monotonic()
    with pytest.raises(Exited, match=r"exit code 1\. It ended before"):
        runner(close_everything)
    assert time.monotonic() - began > 0.5


def test_stdin_is_empty(runner: Runner) -> None:
    def read() -> str:
        import sys

        return sys.stdin.read()

    assert runner(read) == ""


def environment_of() -> dict[str, str]:
    import os

    return dict(os.environ)


def test_the_task_sees_its_own_variables_and_none_of_airflows(
    runner: Runner, monkeypatch: pytest.MonkeyPatch, own_catalogue: Catalogue
) -> None:
    for name in ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW_CONN_DB", "AWS_SECRET_ACCESS_KEY", "PYTHONPATH"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("LC_TIME", "C")
    monkeypatch.setenv("TZ", "Europe/Berlin")
    monkeypatch.setenv("PATH", f"{Path(sys.prefix) / 'bin'}:/usr/bin:/bin")
    values = own_catalogue["small"].folder / "values.yaml"
    values.write_text('python: "3.11"\nenv:\n  MODE: batch\n  LEVEL: low\n')
    own = Runner(Catalogue(own_catalogue.root)["small"])
    seen = own(environment_of, env={"LEVEL": "high"})
    folder = venv.sync(own.environment).path
    assert seen.pop("PODENV_TASK")
    monkeypatch.delenv("PODENV_PASS_ENV", raising=False)
    proxies = {name for name in seen if name.lower() in ("http_proxy", "https_proxy", "no_proxy")}
    kept = ("HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TMPDIR", "LC_ALL", "LC_CTYPE")
    certificates = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    seen = {name: value for name, value in seen.items() if name not in {*kept, *certificates, *proxies}}
    assert seen == {
        "TZ": "Europe/Berlin",
        "LC_TIME": "C",
        "MODE": "batch",
        "LEVEL": "high",
        "PATH": f"{folder}/bin:/usr/bin:/bin",
        "VIRTUAL_ENV": str(folder),
        "PYTHONUNBUFFERED": "1",
    }


@pytest.mark.parametrize(("cpu", "threads"), [("100m", "1"), ("1", "1"), ("1500m", "2"), ("4", "4")])
def test_the_cpu_limit_bounds_the_threads_of_numerical_libraries(runner: Runner, cpu: str, threads: str) -> None:
    seen = runner(environment_of, limits=Limits(cpu=cpu), env={"MKL_NUM_THREADS": "9"})
    assert (seen["OMP_NUM_THREADS"], seen["OPENBLAS_NUM_THREADS"]) == (threads, threads)
    assert seen["MKL_NUM_THREADS"] == "9"


def traceparent() -> str | None:
    import os

    return os.environ.get("TRACEPARENT")


def test_the_function_and_a_command_get_the_trace_unless_the_task_has_its_own(runner: Runner) -> None:
    trace = {"TRACEPARENT": "00-a-b-01"}
    assert runner(traceparent, trace=trace) == "00-a-b-01"
    assert runner(traceparent, trace=trace, env={"TRACEPARENT": "mine"}) == "mine"
    runner.run(trace=trace).command(["sh", "-c", "echo trace $TRACEPARENT"])
    assert "trace 00-a-b-01" in runner.lines


def test_a_process_is_a_launch_and_the_size_of_its_call_and_result_are_known(runner: Runner) -> None:
    one = runner.run()
    one.call(source.build_call(traceparent, [], {}, None))
    assert (dict(one.tally.launches), one.tally.requests) == ({"new": 1}, 0)
    assert one.tally.call_bytes is not None
    assert 0 < one.tally.call_bytes < 1_000
    assert one.result is not None
    assert 0 < one.result.size < 500


def test_a_command_runs_with_the_environments_programs_first(runner: Runner) -> None:
    runner.run(env={"WHO": "you"}).command(
        ["python", "-c", "import os, six; print(six.__version__, os.environ['WHO'])"]
    )
    runner.run().command(["sh", "-c", "echo out; echo err >&2"])
    assert runner.lines[-3:] == ["1.16.0 you", "out", "err"]


def test_a_command_writes_its_value_where_it_does_in_a_pod(runner: Runner) -> None:
    write = "echo '{\"rows\": [1, 2]}' > /airflow/xcom/return.json"
    assert runner.run().command(["sh", "-c", write], discard=False) == {"rows": [1, 2]}
    assert runner.run().command(["sh", "-c", write]) is None
    assert runner.run().command(["sh", "-c", "true"], discard=False) is None
    assert runner.run().command(["sh", "-c", ": > /airflow/xcom/return.json"], discard=False) is None
    by_variable = "import json, os; json.dump(7, open(os.environ['PODENV_XCOM_FILE'], 'w'))"
    assert runner.run().command(["python", "-c", by_variable], discard=False) == 7


def test_two_commands_at_once_do_not_share_the_file(runner: Runner) -> None:
    words = ["sh", "-c", "echo $$ > /airflow/xcom/return.json; sleep 0.3; cat /airflow/xcom/return.json"]
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: runner.run().command(words, discard=False), range(2))
    assert first != second


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", r"/airflow/xcom/return\.json holds no JSON: Expecting property name"),
        ("NaN", "the returned value: nan is "),
    ],
)
def test_a_value_of_a_command_that_xcom_cannot_keep_is_refused(runner: Runner, text: str, why: str) -> None:
    with pytest.raises(ResultRefused, match=rf"^Environment 'small': {why}"):
        runner.run().command(["sh", "-c", f"echo '{text}' > /airflow/xcom/return.json"], discard=False)


def test_the_log_line_of_the_start_names_environment_python_lock_and_limits(runner: Runner) -> None:
    digits = lock.lock_hash(runner.environment)[:16]
    start = f"Environment 'small' (Python 3.11, lock {digits}), local virtual environment; "
    assert runner.run().facts == f"{start}no limits."
    limits = Limits(cpu="1", memory="512Mi", max_memory="2Gi")
    assert runner.run(limits).facts == f"{start}limits cpu 1, memory 512Mi (up to 2Gi)."


def test_a_variable_from_a_secret_has_the_value_that_the_shell_gives_it(
    own_catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = own_catalogue["small"].folder / "values.yaml"
    values.write_text(
        'python: "3.11"\nsecretEnv:\n  DB_PASSWORD: {name: db, key: password}\n  DB_USER: {name: db, key: user}\n'
    )
    monkeypatch.setenv("DB_PASSWORD", "local")
    monkeypatch.delenv("DB_USER", raising=False)
    own = Runner(Catalogue(own_catalogue.root)["small"])
    assert own.run().missing == (
        "Only the cluster knows the variables DB_USER (secretEnv): to give them values here, set them in your shell."
    )
    assert own(environment_of)["DB_PASSWORD"] == "local"
    assert own.run(env={"DB_USER": "me"}).missing is None


def test_a_command_that_fails_says_its_exit_code(runner: Runner) -> None:
    with pytest.raises(Exited) as raised:
        runner.run().command(["sh", "-c", "exit 99"])
    assert raised.value.code == 99
    assert str(raised.value) == (
        "In environment 'small' the process ended with exit code 99. It was 'sh'; the log holds what it said."
    )


def test_a_command_that_is_nowhere_says_so(runner: Runner) -> None:
    with pytest.raises(ProgramNotFound, match=r"^dbt is neither in environment 'small' nor on PATH; add the package"):
        runner.run().command(["dbt", "run"])


def test_variables_that_the_system_cannot_take_are_refused(runner: Runner) -> None:
    with pytest.raises(LocalEnvironmentError, match=r"cannot be started: Argument list too long\.$"):
        runner(lambda_free, env={"HUGE": "x" * 200_000})


def test_run_in_env_prints_and_returns(catalogue: Catalogue, tmp_path: Path) -> None:
    script = catalogue.root.parent / "script.py"
    script.write_text(
        "from podenv import run_in_env\n"
        "def add(a, b=2):\n    print('adding')\n    return a + b\n"
        "print(run_in_env('small', add, 1, b=4))\n"
    )
    # Far from the project: the catalogue is found from the function's file.
    done = process.run([sys.executable, script], cwd=tmp_path)
    assert done.stdout.endswith("adding\n5\n")


def test_run_in_env_brings_what_stands_beside_the_script_compiled_once(catalogue: Catalogue, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    (tmp_path / "beside.py").write_text("def twice(x):\n    print(__file__)\n    return 2 * x\n")
    script.write_text(
        "from podenv import run_in_env\nfrom beside import twice\nSTART = 20\n"
        "def add(a):\n    return twice(a) + START\n"
        "print(run_in_env('small', add, 1), run_in_env('small', twice, 3))\n"
    )
    done = process.run([sys.executable, script], env={**os.environ, "PODENV_CATALOGUE": str(catalogue.root)})
    assert done.stdout.splitlines() == [
        f"With add travel 2 statements of {tmp_path.name}/script.py and 1 file ({tmp_path.name}/beside.py): 0.1 KiB.",
        str(tmp_path / "beside.py"),
        str(tmp_path / "beside.py"),
        "22 6",
    ]
    kept = venv.sync(catalogue["small"]).path / "podenv-bytecode"
    assert len(list(kept.iterdir())) == 1


def test_run_in_env_names_what_is_wrong(catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODENV_CATALOGUE", str(catalogue.root))
    with pytest.raises(UnknownEnvironment, match="Did you mean 'small'"):
        local.run_in_env("smal", lambda_free)


def test_run_in_env_says_when_a_task_is_out_of_its_environments_memory(
    own_catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = own_catalogue["small"].folder / "values.yaml"
    values.write_text('python: "3.11"\nresources:\n  limits:\n    memory: 100Mi\n')
    monkeypatch.setenv("PODENV_CATALOGUE", str(own_catalogue.root))
    with pytest.raises(OutOfMemory, match=r"limit of 100Mi\. Raise the task's memory"):
        local.run_in_env("small", hold, 300)


def hold(mebibytes: int) -> int:
    import time

    block = b"x" * (mebibytes << 20)
    time.sleep(0.2)
    return len(block)


def test_a_traceback_of_a_function_that_failed_is_shown_with_the_error_and_only_with_it(
    catalogue: Catalogue, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PODENV_CATALOGUE", str(catalogue.root))
    with pytest.raises(FunctionRaised) as raised:
        local.run_in_env("small", divide, 0)
    shown = "".join(traceback.format_exception(raised.value))
    assert f"    return 1 / by\n{' ' * 11}~~^~~~\nZeroDivisionError: division by zero\n\nThe above exception" in shown
    assert "ZeroDivisionError" not in capsys.readouterr().out


def divide(by: int) -> float:
    return 1 / by
