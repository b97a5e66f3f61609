"""What accompanies podenv's own lines in the task's log as fields, beside their text: which environment, pod, try.

Airflow writes the context variables of structlog with each line, and drops `extra` (seen with 3.1.8 and 3.3.2).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from structlog.contextvars import bound_contextvars

_fields: ContextVar[dict[str, Any] | None] = ContextVar("podenv_fields", default=None)


class FieldsLog(logging.LoggerAdapter[logging.Logger]):
    """A log whose lines are accompanied by what is known of the execution."""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log one line."""
        with bound_contextvars(**(_fields.get() or {})):
            super().log(level, msg, *args, **{"stacklevel": 2, **kwargs})


@contextmanager
def of_try(environment: str, try_number: int) -> Iterator[None]:
    """The execution of a task, as long as this lasts."""
    token = _fields.set({"environment": environment, "try_number": try_number})
    try:
        yield
    finally:
        _fields.reset(token)


def add(**found: str | None) -> None:
    """The execution's lines have ``found`` too from now on, without what is not known."""
    if (known := _fields.get()) is not None:
        _fields.set({**known, **{name: value for name, value in found.items() if value}})
