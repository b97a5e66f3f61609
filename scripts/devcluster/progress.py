"""One line a step with the time it took, and a sign of life while something takes longer."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


def spell(seconds: float) -> str:
    """A duration for people: `0.3 s`, `42 s`, `11 min 3 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


class Progress:
    """Steps may run side by side; on a terminal the running ones are shown on a line that is rewritten every second."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._live = out.isatty()
        self._lock = threading.Lock()
        self._running: dict[str, float] = {}
        self._ticker: threading.Thread | None = None

    def say(self, line: str) -> None:
        """Print a line of its own."""
        with self._lock:
            self._print(line)

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Print `what` and its time when the block ends; a block that raises is marked as failed."""
        begin = time.monotonic()
        with self._lock:
            self._running[what] = begin
            if self._ticker is None:
                self._ticker = threading.Thread(target=self._tick, daemon=True)
                self._ticker.start()
        mark = "failed"
        try:
            yield
            mark = "ok"
        finally:
            with self._lock:
                del self._running[what]
                self._print(f"  {mark:<6} {what} ({spell(time.monotonic() - begin)})")

    def _print(self, line: str) -> None:
        self._out.write(("\r\x1b[K" if self._live else "") + line + "\n")
        self._out.flush()

    def _tick(self) -> None:
        passed = 0
        while True:
            time.sleep(1)
            passed += 1
            with self._lock:
                now = time.monotonic()
                # What follows the first bracket is for the final line only.
                times = {what.partition(" (")[0]: now - begin for what, begin in self._running.items()}
                if self._live and times:
                    shown = ", ".join(f"{what} {spell(elapsed)}" for what, elapsed in times.items())
                    self._out.write(f"\r\x1b[K  …      {shown}"[:160])
                elif not self._live:
                    # A file gets a line when a step turns out to be slow, and two a minute after that.
                    slow = [what for what, elapsed in times.items() if 1 <= elapsed < 2 or passed % 30 == 0]
                    self._out.writelines(f"  …      {what} {spell(times[what])}\n" for what in slow)
                self._out.flush()
