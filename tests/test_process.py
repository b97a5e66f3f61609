import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from podenv import process
from podenv.errors import ProgramFailed, ProgramNotFound, ProgramTimedOut


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def gone(pid: int) -> bool:
    """True if the program is over within 20 s: one that was sent SIGKILL still takes a moment."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


def test_both_streams_come_back() -> None:
    done = process.run(python("import sys; print('out'); print('err', file=sys.stderr)"))
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


def test_lines_of_stderr_are_handed_on_while_the_program_runs() -> None:
    seen: list[tuple[float, str]] = []
    began = time.monotonic()
    process.run(
        python("import sys, time; print('one', file=sys.stderr, flush=True); time.sleep(1.5)"),
        on_line=lambda line: seen.append((time.monotonic() - began, line)),
    )
    ended = time.monotonic() - began
    assert [line for _, line in seen] == ["one"]
    assert ended - seen[0][0] > 0.5


def test_input_reaches_the_program_and_is_else_empty() -> None:
    code = "import sys; print(len(sys.stdin.read()))"
    assert process.run(python(code), input=b"x" * 300_000).stdout == "300000\n"
    assert process.run(python(code)).stdout == "0\n"


def test_a_failure_names_the_program_its_code_and_what_it_said() -> None:
    with pytest.raises(ProgramFailed) as caught:
        process.run(python("import sys; sys.exit('no such luck')"))
    assert caught.value.returncode == 1
    assert str(caught.value) == f"{Path(sys.executable).name} ended with exit code 1: no such luck"


def test_a_secret_is_masked_in_output_lines_and_errors() -> None:
    lines: list[str] = []
    with pytest.raises(ProgramFailed) as caught:
        process.run(python("import sys; sys.exit('token s3cret refused')"), secrets=["s3cret"], on_line=lines.append)
    assert "s3cret" not in str(caught.value)
    assert lines == ["token *** refused"]


def test_a_program_that_is_not_there_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProgramNotFound, match=r"^no-such-program is not on PATH\. Install it\.$"):
        process.find_program("no-such-program", "Install it.")
    monkeypatch.setenv("PODENV_UV", "/nowhere/uv")
    with pytest.raises(ProgramNotFound, match=r"^PODENV_UV names '/nowhere/uv', which is not a program"):
        process.find_program("uv", "Install it.", env_var="PODENV_UV")
    with pytest.raises(ProgramNotFound, match=r"^/nowhere/uv cannot be started: No such file or directory\.$"):
        process.run(["/nowhere/uv"])


def test_a_program_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    code = (
        "import pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(child.pid))\n"
        "time.sleep(60)\n"
    )
    with pytest.raises(ProgramTimedOut, match=r"did not end within 4 s and was ended\.$"):
        process.run(python(code), timeout=4)
    child = int((tmp_path / "pid").read_text())
    assert gone(child)


def test_an_interruption_ends_the_program(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    code = f"import os, pathlib, time; pathlib.Path({str(mark)!r}).write_text(str(os.getpid())); time.sleep(60)"

    def interrupt() -> None:
        while not mark.exists() or not mark.read_text():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        process.run(python(code))
    assert gone(int(mark.read_text()))


def test_what_runs_side_by_side_ends_with_the_first_failure_and_gives_results_in_order(tmp_path: Path) -> None:
    def work(number: int) -> int:
        if number == 3:
            raise ValueError("the third")
        process.run([sys.executable, "-c", f"import time; time.sleep({0 if number < 3 else 60})"])
        return number

    assert process.side_by_side(work, [2, 1, 0], at_once=2) == [2, 1, 0]
    began = time.monotonic()
    with pytest.raises(ValueError, match="the third"):
        process.side_by_side(work, [3, 4, 5, 6], at_once=2)
    assert time.monotonic() - began < 30
    process.interrupted.clear()


def test_an_exception_of_a_signal_handler_inside_a_look_at_a_program_does_not_hang_its_end() -> None:
    """It may come after Popen.poll has taken its lock, and before the lines that give it back."""
    started = subprocess.Popen(python("import time; time.sleep(300)"))
    started._waitpid_lock.acquire()  # type: ignore[attr-defined]
    started.send_signal(signal.SIGKILL)
    process.reap(started)
    assert started.returncode == -signal.SIGKILL
