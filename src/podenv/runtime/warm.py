"""A process that waits for its task: the runtime is loaded, and the task's Call comes on standard input, once.

It is the only one of an idle pod, or an interpreter on this machine. A message is the line ``podenv1 <8 hex digits>``,
the length of what follows, and a JSON object of environment variables, compressed. The answer, the line `frame.taken`,
says that the whole message is here.
"""

from __future__ import annotations

import binascii
import os
import select
import signal
import sys
import time
import zlib

from . import frame, main
from . import text as json_text
from .call import MAX_JSON, PREFIX

TYPE_CHECKING = False  # typing costs every task milliseconds
if TYPE_CHECKING:
    from typing import NoReturn

IMPORTS = "PODENV_WARM_IMPORTS"
"""The variable with the names of the modules that are loaded before a task comes, as JSON."""
CANNOT_WAIT = 213
"""The exit code of a pod that can take no task: a module of `IMPORTS` fails."""
BAD_MESSAGE = 65
"""The exit code where a message came in part only: its sender has ended."""
HEAD = b"podenv1 "

_HEAD_BYTES = len(HEAD) + 9
_MOST = 4 * 1024 * 1024
_REST_SECONDS = 30.0  # for the rest of a message whose first byte has come
_TERMINATION_LOG_CHARACTERS = 1_000


def wait(termination_log: str = "/dev/termination-log") -> NoReturn:
    """Load what the environment asks for, wait for a message, and make the Call that it holds.

    ``termination_log`` gets the reason where it cannot wait; only the log does where there is no such file.
    """
    # Process 1 ignores SIGTERM unless it has a handler.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    _load(os.environ.pop(IMPORTS, ""), termination_log)
    variables = _receive(0)
    os.environ.update(variables)
    os.write(1, frame.taken(variables.get(PREFIX + "TOKEN", "")))
    code = os.environ.pop(PREFIX + "CODE", "")
    if code:  # of a podenv that is not the one that deployed this environment
        exec(zlib.decompress(binascii.a2b_base64(code)), {"__name__": "__main__", "sys": sys})  # noqa: S102
    main.main()


def _load(names: str, termination_log: str) -> None:
    for name in json_text.loads(names, dict) if names else ():
        try:
            __import__(name)
        except BaseException as error:  # noqa: BLE001 - whatever a module raises
            reason = f"{name} of warm.imports cannot be imported: {type(error).__name__}: {error}"
            _fail(reason[:_TERMINATION_LOG_CHARACTERS], termination_log)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def _fail(reason: str, termination_log: str) -> NoReturn:
    os.write(2, (reason + "\n").encode("utf-8", "backslashreplace"))
    try:
        # The kubelet made it; nobody else is to.
        log = os.open(termination_log, os.O_WRONLY | os.O_TRUNC)
        os.write(log, reason.encode("utf-8", "backslashreplace"))
    except OSError:
        pass  # the log has it
    os._exit(CANNOT_WAIT)


def _receive(fd: int) -> dict[str, str]:
    """The variables that a message on ``fd`` brings; ends the process where it brings less than a message."""
    data, until = os.read(fd, _HEAD_BYTES), time.monotonic() + _REST_SECONDS
    head = _rest(fd, data, _HEAD_BYTES, until)
    try:
        if not head.startswith(HEAD) or not head.endswith(b"\n"):
            raise ValueError
        length = int(head[len(HEAD) : -1], 16)
        if length > _MOST:
            raise ValueError
        inflater = zlib.decompressobj()
        text = inflater.decompress(_rest(fd, b"", length, until), 2 * MAX_JSON)
        if not inflater.eof:
            raise ValueError
        return dict(json_text.loads(text.decode("utf-8", "surrogatepass"), dict))
    except (ValueError, zlib.error):
        os._exit(BAD_MESSAGE)


def _rest(fd: int, data: bytes, length: int, until: float) -> bytes:
    """``data`` and what is missing of ``length`` bytes."""
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    parts = [data]
    missing = length - len(data)
    while missing > 0:
        left = until - time.monotonic()
        if left <= 0 or not poller.poll(left * 1000):
            os._exit(BAD_MESSAGE)
        part = os.read(fd, min(missing, 65_536))
        if not part:  # nobody is there any more
            os._exit(BAD_MESSAGE)
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)
