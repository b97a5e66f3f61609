"""The key of a value: DAG, run, task, map index, try, and a token of the launch; pure.

So a bucket's lifecycle rule can pick a DAG's, and no two launches write to one key.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote

_LONGEST = 200  # characters of a part: the names of a file system end at 255 bytes
_PARTS = 7
PART = ".part"
"""What the name of a file ends with that a killed task has left half written."""


@dataclass(frozen=True)
class Place:
    """Whose value it is. ``map_index`` is -1 for a task that is not mapped; ``try_number`` begins with 1."""

    dag: str
    run: str
    task: str
    map_index: int = -1
    try_number: int = 1

    def launch(self) -> str:
        """What the keys of one launch begin with: another text each time."""
        own = (self.dag, self.run, self.task, str(self.map_index), str(self.try_number), secrets.token_hex(8))
        return "/".join(map(_escaped, own))


def folder_of(dag: str) -> str:
    """The first part of the keys of a DAG's values; another DAG may share it where the name is long."""
    return _escaped(dag)


def of_call(function: Any) -> Place:
    """The place of a call by `run_in_env` that no task makes: its day stands for the run."""
    return Place("run_in_env", datetime.now(UTC).date().isoformat(), str(getattr(function, "__name__", "function")))


def place_of(key: str) -> Place | None:
    """Whose value is at ``key``; None where it is none of podenv's. A long name comes back shortened."""
    parts = key.split("/")
    if len(parts) != _PARTS or not parts[-1].isdecimal() or not all(parts):
        return None
    dag, run, task, index, number = map(_unescaped, parts[:5])
    if not number.isdecimal() or not (index == "-1" or index.isdecimal()) or len(parts[5]) != 16:
        return None
    return Place(dag, run, task, int(index), int(number))


def _escaped(part: str) -> str:
    """``part`` as one part of a path, from which `place_of` has it back.

    In characters that no store escapes: what obstore signs for Azure is not what it sends where a key has a ``%``.
    """
    quoted = quote(part, safe="").replace("~", "%7E")
    if not part.strip("."):  # what a path would resolve
        quoted = quoted.replace(".", "%2E") or "%00"
    text = quoted.replace("%", "~")
    if len(text) <= _LONGEST:
        return text
    return f"{text[: _LONGEST - 20]}~~{hashlib.sha256(part.encode()).hexdigest()[:16]}"


def _unescaped(part: str) -> str:
    return unquote(part.replace("~", "%"))
