"""What goes wrong between a client and the simulated API server, told before it happens."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.pods.statuses import Refusal


@dataclass(frozen=True)
class Trouble:
    """What happens to a request: first ``before``, then ``delay`` seconds, a refusal or a broken connection.

    ``error``: a watch is answered, and its one event is this refusal. ``after``: once the answer was sent, or the first
    chunk of a stream. ``say`` stands in place of what a stream would hold.
    ``drop``: the connection ends before the request takes effect. ``lose_answer``: it takes effect, and the connection
    ends without an answer. ``cut``, ``finish``, ``silence``: bytes of a stream after which its connection breaks, it
    ends as if all had been said, or nothing more comes. ``trickle``: bytes at a time and the seconds between them.
    """

    before: Callable[[], None] | None = None
    after: Callable[[], None] | None = None
    delay: float = 0.0
    refuse: Refusal | None = None
    error: Refusal | None = None
    drop: bool = False
    lose_answer: bool = False
    say: bytes | None = None
    cut: int | None = None
    finish: int | None = None
    silence: int | None = None
    trickle: tuple[int, float] | None = None


@dataclass
class _Planned:
    when: re.Pattern[str]
    skip: int
    times: int
    trouble: Trouble


class Troubles:
    """The troubles that are still to come."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: list[_Planned] = []

    def add(self, when: str, trouble: Trouble, *, times: int = 1, skip: int = 0) -> None:
        """``trouble`` for the next ``times`` requests that match ``when``, after ``skip`` that pass.

        ``when`` is searched in method, path and query, as in ``POST /api/v1/namespaces/s/pods`` or ``GET .*watch=``.
        """
        with self._lock:
            self._planned.append(_Planned(re.compile(when), skip, times, trouble))

    def clear(self) -> None:
        """From now on all is well."""
        with self._lock:
            self._planned.clear()

    def take(self, request: str) -> Trouble:
        """The trouble of this request."""
        with self._lock:
            for planned in self._planned:
                if planned.times > 0 and planned.when.search(request):
                    if planned.skip > 0:
                        planned.skip -= 1
                        continue
                    planned.times -= 1
                    return planned.trouble
        return Trouble()


class ConnectionLost(Exception):
    """The connection breaks here."""


class StreamFinished(Exception):
    """The stream ends here as if all had been said."""


class Stream:
    """Writes the chunks of an endless answer, with its trouble."""

    def __init__(self, write: Callable[[bytes], object], trouble: Trouble, closing: threading.Event) -> None:
        self._write = write
        self._trouble = trouble
        self._closing = closing
        self._sent = 0

    def send(self, data: bytes) -> None:
        """Raises `ConnectionLost`, `StreamFinished`."""
        self._check()
        size, pause = self._trouble.trickle or (len(data), 0.0)
        while data:
            piece = data[: self._room(min(size, len(data)))]
            if piece:
                self._write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self._sent += len(piece)
                data = data[len(piece) :]
                time.sleep(pause)
            self._check()

    def _room(self, size: int) -> int:
        trouble = self._trouble
        limits = [end for end in (trouble.cut, trouble.finish, trouble.silence) if end is not None]
        return min([size, *(end - self._sent for end in limits)])

    def _check(self) -> None:
        trouble = self._trouble
        if trouble.cut is not None and self._sent >= trouble.cut:
            raise ConnectionLost
        if trouble.finish is not None and self._sent >= trouble.finish:
            raise StreamFinished
        if trouble.silence is not None and self._sent >= trouble.silence:
            self._closing.wait()
            raise ConnectionLost
