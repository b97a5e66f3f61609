"""The only place that starts a program: a list, never a shell."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from podenv.errors import ProgramFailed, ProgramNotFound, ProgramTimedOut

T = TypeVar("T")
R = TypeVar("R")
STDERR_TAIL_CHARACTERS = 8_000  # of stderr that an error keeps
TERMINATION_GRACE_SECONDS = 2.0  # between SIGTERM and SIGKILL
_REAP_SECONDS = 1.0
# Linux ends a process with its parent when it asks for that, and it keeps so through exec.
_LAUNCH = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
if os.getppid() != int(sys.argv[1]):
    os._exit(143)
try:
    os.execv(sys.argv[2], sys.argv[2:])
except OSError as error:
    sys.exit("%s cannot be started: %s" % (sys.argv[2], error.strerror))
"""
_running: set[subprocess.Popen[bytes]] = set()
interrupted = threading.Event()  # set by `end_all`: a thread that waits for something else stops too


@dataclass(frozen=True)
class Completed:
    """What a program that ended well wrote."""

    stdout: str
    stderr: str


def find_program(name: str, remedy: str, *, env_var: str | None = None) -> Path:
    """The program ``name``: what the variable ``env_var`` names, else from PATH.

    Raises `ProgramNotFound`, whose message ends with ``remedy``.
    """
    if env_var and (chosen := os.environ.get(env_var)):
        found = shutil.which(chosen)
        if found is None:
            raise ProgramNotFound(f"{env_var} names {chosen!r}, which is not a program that can be started. {remedy}")
        return Path(found)
    found = shutil.which(name)
    if found is None:
        raise ProgramNotFound(f"{name} is not on PATH. {remedy}")
    return Path(found)


def ended_with_parent(python: Path, argv: Sequence[str]) -> list[str]:
    """An argv that runs ``argv`` so that it does not outlive this process, where the system can do that."""
    if not sys.platform.startswith("linux"):
        return list(argv)
    return [str(python), "-I", "-S", "-c", _LAUNCH, str(os.getpid()), *argv]


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    input: bytes = b"",
    secrets: Collection[str] = (),
    on_line: Callable[[str], None] | None = None,
    on_output: Callable[[str], None] | None = None,
    pass_fds: Collection[int] = (),
) -> Completed:
    """Run ``argv`` to its end; ``on_line`` gets each line of stderr as it is written, ``on_output`` of stdout.

    ``timeout`` is in seconds. ``secrets`` are replaced by ``***`` in all that is returned or raised. Raises
    `ProgramNotFound`, `ProgramFailed`, `ProgramTimedOut`. On any interruption the program's whole group is ended first.
    """
    program = Path(argv[0]).name
    try:
        process = subprocess.Popen(
            [str(part) for part in argv],
            cwd=cwd,
            env=None if env is None else dict(env),
            stdin=subprocess.PIPE if input else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            pass_fds=tuple(pass_fds),
        )
    except OSError as error:
        raise ProgramNotFound(f"{argv[0]} cannot be started: {error.strerror}.") from None

    def redact(text: str) -> str:
        for secret in secrets:
            if secret:
                text = text.replace(secret, "***")
        return text

    def telling(listener: Callable[[str], None] | None) -> Callable[[str], None]:
        return lambda line: None if listener is None else listener(redact(line))

    output = {"stdout": "", "stderr": ""}
    readers = [
        threading.Thread(target=_collect, args=(process.stdout, "stdout", output, telling(on_output)), daemon=True),
        threading.Thread(target=_collect, args=(process.stderr, "stderr", output, telling(on_line)), daemon=True),
    ]
    for reader in readers:
        reader.start()
    _running.add(process)
    try:
        if process.stdin is not None:
            with suppress(BrokenPipeError), process.stdin:
                process.stdin.write(input)
        returncode = process.wait(timeout)
    except subprocess.TimeoutExpired:
        raise ProgramTimedOut(f"{program} did not end within {timeout:g} s and was ended.") from None
    finally:
        _end_group(process)
        _running.discard(process)
        for reader in readers:
            reader.join()
    stderr = redact(output["stderr"])
    if returncode:
        raise ProgramFailed(program, returncode, stderr[-STDERR_TAIL_CHARACTERS:])
    return Completed(redact(output["stdout"]), stderr)


def side_by_side(work: Callable[[T], R], items: Iterable[T], *, at_once: int) -> list[R]:
    """The results of ``work`` in the order of ``items``; an interruption ends the programs that others wait for."""
    with ThreadPoolExecutor(at_once, thread_name_prefix="podenv") as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            return [future.result() for future in futures]
        except BaseException:
            abandon(futures)
            raise


def abandon(futures: Sequence[Future[R]]) -> None:
    """End what other threads do: what waits is cancelled, running programs are ended, again until none is started."""
    for future in futures:
        future.cancel()
    while not all(future.done() for future in futures):
        end_all()
        time.sleep(0.05)


def end_all() -> None:
    """End the programs that other threads wait for: an interruption reaches the main thread alone."""
    interrupted.set()
    for process in tuple(_running):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)


def _collect(stream: IO[bytes] | None, name: str, into: dict[str, str], on_line: Callable[[str], None]) -> None:
    assert stream is not None
    lines = []
    with stream:
        for raw in stream:
            line = raw.decode(errors="replace")
            lines.append(line)
            on_line(line.rstrip("\n"))
    into[name] = "".join(lines)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End what is left of the program and of its children."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(TERMINATION_GRACE_SECONDS)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    reap(process)


def reap(process: subprocess.Popen[bytes]) -> None:
    """Wait for a program that was killed.

    What a signal handler raised inside Popen.poll, KeyboardInterrupt for one, can leave its lock taken, and Popen.wait
    would then hang without a timeout.
    """
    try:
        process.wait(_REAP_SECONDS)
    except subprocess.TimeoutExpired:
        with suppress(ChildProcessError):
            process.returncode = os.waitstatus_to_exitcode(os.waitpid(process.pid, 0)[1])
