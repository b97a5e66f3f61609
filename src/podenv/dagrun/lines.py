"""What the tasks of this process print and log, line by line, without Airflow's own narration.

Airflow logs through structlog and through the standard library, partly with loggers that keep the configuration of
their first use. So both are rerouted once in a process, to the `Lines` that listen at the time.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import sysconfig
import traceback
import warnings
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, ClassVar

import structlog

OnLine = Callable[[str, str], None]
# A person who sets it wants to hear Airflow too.
LEVEL_VARIABLE = "AIRFLOW__LOGGING__LOGGING_LEVEL"
# Airflow's own, and what it works with in the same process.
_NARRATORS = ("airflow", "task", "alembic", "asyncio", "httpcore", "httpx", "sqlalchemy")
_TASKS = "airflow.task"  # operators and hooks log below it
_OURS = "airflow.task.podenv"
_RETURNED = "Done. Returned value was: "  # of each plain task; the result is shown anyway


class Lines:
    """Gives ``on_line`` each line, and before it the id of the task that runs now, which is in `task`."""

    listening: ClassVar[Lines | None] = None

    def __init__(self, on_line: OnLine) -> None:
        self._on_line = on_line
        self.task = ""
        self.failure: str | None = None
        """The last error that Airflow itself logged, in one line."""
        self._stdout, self._stderr = _Bytes(self), _Bytes(self)

    def say(self, text: str) -> None:
        """Hand on the lines of ``text``."""
        for line in text.rstrip("\n").split("\n"):
            self._on_line(self.task, line)

    def keep_failure(self, error: BaseException | None) -> None:
        """Note an error that Airflow itself logged."""
        if error is not None:
            self.failure = f"{type(error).__name__}: {error}"

    def end_line(self) -> None:
        """Hand on what was printed last and had no newline yet."""
        self._stdout.end_line()
        self._stderr.end_line()

    @contextmanager
    def heard(self) -> Iterator[None]:
        """While this lasts, what is printed and logged comes here, and nothing reaches stdout."""
        _reroute_structlog()
        root = logging.getLogger()
        handlers, before, show_warning = root.handlers, Lines.listening, warnings.showwarning
        root.handlers = [_Handler()]
        warnings.showwarning = self._show_warning  # each Airflow shows them in a way of its own
        Lines.listening = self
        try:
            stdout, stderr = redirect_stdout(_text(self._stdout)), redirect_stderr(_text(self._stderr))
            with _stdout_of_programs_to_stderr(), stdout, stderr:
                yield
                self.end_line()
        finally:
            Lines.listening = before
            root.handlers = handlers
            warnings.showwarning = show_warning

    def _show_warning(self, message: Any, category: type[Warning], filename: str, *_: Any, **__: Any) -> None:
        if LEVEL_VARIABLE in os.environ or not filename.startswith(sysconfig.get_path("purelib")):
            self.say(f"{category.__name__}: {message}")


class _Bytes(io.BufferedIOBase):
    """What stdout or stderr writes into, without a buffer."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._open = b""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 2  # for programs that a task starts with its own stdout

    @property
    def name(self) -> str:
        return "<lines>"

    def write(self, data: Any) -> int:
        *whole, self._open = (self._open + bytes(data)).split(b"\n")
        for line in whole:
            self._lines.say(line.decode("utf-8", "replace"))
        return len(data)

    def end_line(self) -> None:
        if self._open:
            self.write(b"\n")


def _text(into: _Bytes) -> io.TextIOWrapper:
    return io.TextIOWrapper(into, encoding="utf-8", errors="backslashreplace", write_through=True)


@contextmanager
def _stdout_of_programs_to_stderr() -> Iterator[None]:
    """What programs write that a plain task starts must not mix with the result that podenv prints."""
    sys.stdout.flush()
    stdout = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)


def _reroute_structlog() -> None:
    processors = structlog.get_config()["processors"]
    if _drop_narration in processors:
        return
    *chain, render = processors

    def render_or_say(logger: Any, method: str, event: MutableMapping[str, Any]) -> Any:
        if (lines := Lines.listening) is None:
            return render(logger, method, event)
        name, text = event.get("logger") or "", str(event.get("event", ""))
        error = event.get("exc_info") or event.get("exception")
        if error is True:
            error = sys.exc_info()[1]
        if isinstance(error, BaseException):
            text += "\n" + "".join(traceback.format_exception(error))
        elif isinstance(error, tuple):
            text += "\n" + "".join(traceback.format_exception(*error))
        elif isinstance(error, str):
            text += "\n" + error
        extra = " ".join(f"{key}={value!r}" for key, value in event.items() if key not in _KNOWN)
        lines.say(_worded(name, method, f"{text} {extra}".rstrip()))
        raise structlog.DropEvent

    structlog.configure(processors=[_drop_narration, *chain, render_or_say])


# What is in each event beside what the caller gave.
_KNOWN = {"event", "exc_info", "exception", "filename", "func_name", "level", "lineno", "loc", "logger", "timestamp"}


def _drop_narration(logger: Any, method: str, event: Any) -> Any:
    lines = Lines.listening
    if lines is None or LEVEL_VARIABLE in os.environ:
        return event
    name = event.get("logger_name") or getattr(logger, "name", None) or ""
    if _is_narration(name, str(event.get("event", ""))):
        if method in ("error", "exception"):
            lines.keep_failure(sys.exc_info()[1])
        raise structlog.DropEvent
    return event


class _Handler(logging.Handler):
    """Takes the place of what Airflow gives the root logger."""

    def emit(self, record: logging.LogRecord) -> None:
        lines = Lines.listening
        if lines is None:
            return
        text = record.getMessage()
        if LEVEL_VARIABLE not in os.environ and _is_narration(record.name, text):
            if record.levelno >= logging.ERROR and record.exc_info:
                lines.keep_failure(record.exc_info[1])
            return
        if record.exc_info:
            text += "\n" + "".join(traceback.format_exception(*record.exc_info))
        lines.say(_worded(record.name, record.levelname, text))


def _is_narration(name: str, text: str) -> bool:
    if _is_below(_TASKS, name):
        return text.startswith(_RETURNED)
    return name.partition(".")[0] in _NARRATORS


def _is_below(parent: str, name: str) -> bool:
    return name == parent or name.startswith(f"{parent}.")


def _worded(name: str, level: str, text: str) -> str:
    """A line of the log as a person reads it: with level and logger, where they say something."""
    level = {"warn": "WARNING", "exception": "ERROR"}.get(level, level.upper())
    if _is_below(_OURS, name) or (_is_below(_TASKS, name) and level == "INFO"):
        return text
    if name.startswith("unusual_prefix_"):  # Airflow's name for a DAG file's module: unusual_prefix_<sha1>_<stem>
        name = name.split("_", 3)[-1]
    return f"{level} {text}" if name in ("", "root", _TASKS) else f"{level} {name}: {text}"
