"""What can go wrong with a store, in the words that a task's log gets."""

from __future__ import annotations

import contextlib

from .tagged import Refused

CHUNK = 1024 * 1024
"""Bytes that are in memory of a value on its way."""


def say(line: str) -> None:
    """Print ``line`` to the task's log, where the function has not closed it."""
    with contextlib.suppress(Exception):  # whatever the function has put in its place
        print(line)  # noqa: T201


class StorageFailed(Refused):
    """The store did not take or give a value; ``code`` is ``retry`` where a later try of the task may work."""

    kind = "storage"

    def __init__(self, why: str, code: str) -> None:
        super().__init__(why)
        self.code = code


class Again(Exception):
    """What another attempt may cure: the message says what it was."""


def gone(key: str, said: str = "") -> StorageFailed:
    """The value at ``key`` is not there; ``said`` are the store's words."""
    return StorageFailed(f"{key} is not in the storage any more{said}: run the task that made it again", "final")
