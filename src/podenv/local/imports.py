"""How much memory the imports of a task take, as `podenv check --probe` last measured it on this machine."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from podenv.lock import cache


def remember(lock: str, taken: Mapping[tuple[str, str], int]) -> None:
    """Keep the bytes that the imports of tasks, by their DAG and their name, take on ``lock``.

    A cache that cannot be written costs knowledge, nothing else.
    """
    file = _file(lock)
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        beside = file.with_name(f".{file.name}.{os.getpid()}")
        beside.write_text(json.dumps({**_read(lock), **{_key(*task): size for task, size in taken.items()}}))
        beside.replace(file)


def taken(lock: str, dag: str, task: str) -> int:
    """The bytes that the imports of a task take; 0 where that was not measured."""
    size = _read(lock).get(_key(dag, task))
    return size if isinstance(size, int) else 0


def _read(lock: str) -> dict[str, object]:
    with suppress(OSError, ValueError):
        found = json.loads(_file(lock).read_bytes())
        if isinstance(found, dict):
            return found
    return {}


def _file(lock: str) -> Path:
    return cache.folder() / "imports" / f"{lock[:32]}.json"


def _key(dag: str, task: str) -> str:
    return f"{dag}/{task}"
