"""SIGTERM in a process that waits for a function elsewhere: the function ends too."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def ended_by_sigterm(kill: Callable[[], None]) -> Iterator[None]:
    """Call ``kill``, then the handler that was there, on SIGTERM; in another thread than the main one do nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        kill()
        if callable(previous):
            previous(number, frame)

    previous = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
