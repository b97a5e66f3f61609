"""Results of the type checker that need not be found again: by the view, the lock, the platform, ty and the rules."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path

from podenv.check.engine import RULES, Raw
from podenv.lock import cache as lockcache

_FORMAT = 1  # another one when what is kept, or what a view is, changes its meaning
_KEPT = 30 * 86_400.0  # seconds that a result stays without being used
_SWEEP = 86_400.0  # seconds between two looks for old ones


def folder() -> Path:
    """Where results are kept."""
    return lockcache.folder() / "check"


def key(text: str, *, lock: str, platform: str, version: str, beside: Sequence[tuple[str, str]]) -> str:
    """Another text for everything that can change a result."""
    parts = [_FORMAT, text, lock, platform, version, sorted(RULES.items()), list(beside)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def read(key: str) -> list[Raw] | None:
    """The result that is kept; None where there is none."""
    with suppress(OSError, ValueError, TypeError):
        return [Raw(*one) for one in json.loads(_file(key).read_bytes())]
    return None


def write(key: str, found: Sequence[Raw]) -> None:
    """Keep a result; a cache that cannot be written costs time, nothing else."""
    file = _file(key)
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        beside = file.with_name(f".{file.name}.{time.monotonic_ns()}")
        beside.write_text(json.dumps([astuple(one) for one in found]))
        beside.replace(file)


def sweep() -> bool:
    """Remove results that are older than 30 days, at most once a day; True if it was done now."""
    stamp = folder() / "swept"
    now = time.time()
    try:
        if stamp.exists() and now - stamp.stat().st_mtime < _SWEEP:
            return False
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.touch()
        for file in folder().glob("*/*.json"):
            if now - file.stat().st_mtime > _KEPT:
                file.unlink()
    except OSError:
        return False
    return True


def _file(key: str) -> Path:
    return folder() / key[:2] / f"{key[2:]}.json"
