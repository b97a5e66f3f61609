"""One started program with all that it starts: its output, its memory, its end."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType

from podenv.local import tree
from podenv.process import reap
from podenv.runtime.frame import FrameReader

_CHUNK = 1 << 16


class Child:
    """A program in a session of its own: without input, both outputs in one pipe, its process tree watched.

    With ``waits`` it has an input until `hand_over`, and ends when this process does.

    Raises OSError when it cannot start. As a context manager it leaves nothing of the tree behind.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        limit: int | None = None,
        sampled: bool = False,
        waits: bool = False,
    ) -> None:
        self.code: int | None = None
        """Its exit code, negative for a signal; None while it runs, or when it was ended after its result."""
        self.peak: float | None = None
        """The most that its tree held, in bytes, once it was followed; None where that is not known."""
        self._tree = tree.watch(limit, sampled=sampled)
        try:
            self._process = subprocess.Popen(
                argv,
                env={**env, **self._tree.env},
                stdin=subprocess.PIPE if waits else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except BaseException:
            self._tree.close()
            raise
        self._tree.add(self._process.pid)

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End what is left of it."""
        self._tree.close()
        self._process.kill()  # if the tree could not be found: the program itself at least
        reap(self._process)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def hand_over(self, message: bytes, limit: int | None) -> bool:
        """Give the program what it waits for; it may hold ``limit`` bytes from now on. False if it has ended."""
        assert self._process.stdin is not None
        try:
            self._tree.set_limit(limit)
            self._process.stdin.write(message)
            self._process.stdin.close()
        except OSError:
            return False
        return True

    def last_words(self) -> str:
        """The last line that the program printed, with its exit code, after it has ended."""
        assert self._process.stdout is not None
        self._process.kill()
        printed = self._process.stdout.read().decode("utf-8", "replace").split("\n")
        reap(self._process)
        return next(
            (line.strip() for line in reversed(printed) if line.strip()), f"exit code {self._process.returncode}"
        )

    def follow(self, reader: FrameReader) -> bool:
        """Feed ``reader`` until the result is there or the program has ended. True if it ran out of memory.

        Nothing of the tree lives afterwards: what a program leaves in the background ends with it.
        """
        assert self._process.stdout is not None
        output = self._process.stdout.fileno()
        out_of_memory = self._read(output, reader)
        self.code = self._process.poll()
        out_of_memory = out_of_memory or self._tree.out_of_memory(last=True, killed=self.code == -signal.SIGKILL)
        self.peak = self._tree.peak
        self._tree.end()
        self._process.kill()
        os.set_blocking(output, False)  # a writer that has left the tree does not hold us up
        with suppress(BlockingIOError):
            while data := os.read(output, _CHUNK):
                reader.feed(data)
        reader.close()
        return out_of_memory

    def end(self, grace: float) -> None:
        """SIGTERM to the program; at its end, or after ``grace`` seconds, SIGKILL to all that is left of the tree."""
        self._tree.look()  # while those who have left its session are still its descendants
        self._process.terminate()
        deadline = time.monotonic() + grace
        # Not Popen.poll: where this is a signal handler, it may have interrupted one that holds a lock.
        while tree.lives(self._process.pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        self._tree.end()

    def _read(self, output: int, reader: FrameReader) -> bool:
        """True if it went beyond its memory before its result or its end came."""
        poller = select.poll()
        poller.register(output, select.POLLIN)
        open_ = True
        next_look = 0.0
        while reader.result is None:
            if not open_:  # it has closed its output, which does not end it
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(tree.LOOK_SECONDS)
            elif poller.poll(tree.LOOK_SECONDS * 1000):
                data = os.read(output, _CHUNK)
                reader.feed(data)
                open_ = bool(data)
            # Checked now and then also while it prints without a pause.
            if time.monotonic() >= next_look or not open_:
                next_look = time.monotonic() + tree.LOOK_SECONDS
                if self._tree.out_of_memory():
                    return True
                if self._process.poll() is not None:
                    return False
        return False
