"""A line when a step begins, and one with the time it took when it ends; the same on a terminal and in a file."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


def spell(seconds: float) -> str:
    """A duration for people: `0.3 s`, `42.1 s`, `11 min 3 s`."""
    minutes, rest = divmod(seconds, 60)
    return f"{minutes:.0f} min {int(rest)} s" if minutes else f"{rest:.1f} s"


class Progress:
    """Steps may run side by side."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()

    def say(self, line: str) -> None:
        """Print a line of its own."""
        with self._lock:
            self._out.write(f"{line}\n")
            self._out.flush()

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Say that `what` begins, and its time when the block ends; a block that raises is marked as failed."""
        self.say(f"  …      {what}")
        begin, mark = time.monotonic(), "failed"
        try:
            yield
            mark = "ok"
        finally:
            self.say(f"  {mark:<6} {what.partition(' (')[0]} ({spell(time.monotonic() - begin)})")
