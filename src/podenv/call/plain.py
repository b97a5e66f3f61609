"""Values that travel as they are: of standard types all through, none of a subclass."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PosixPath
from typing import Any
from uuid import UUID

_ATOMS = (type(None), bool, int, float, str, bytes, date, datetime, time, timedelta, Decimal, PosixPath, UUID)
_CONTAINERS = (list, tuple, set, frozenset)
MAX_DEPTH = 20


def is_plain(value: Any, depth: int = 0) -> bool:
    """True if ``value`` comes back from an environment as what it is."""
    kind = type(value)
    if kind in _ATOMS:
        return True
    if depth > MAX_DEPTH:
        return False
    if kind is dict:
        return all(is_plain(key, depth + 1) and is_plain(item, depth + 1) for key, item in value.items())
    return kind in _CONTAINERS and all(is_plain(item, depth + 1) for item in value)
