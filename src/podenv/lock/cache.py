"""Where podenv keeps what it can make again."""

from __future__ import annotations

import os
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path

_KEPT = 60 * 86_400.0  # seconds that a wheel or an archive stays without being used


def folder() -> Path:
    """``PODENV_CACHE``, else ``podenv`` in the user's cache folder."""
    if chosen := os.environ.get("PODENV_CACHE"):
        return Path(chosen).expanduser().absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "podenv"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "podenv"


def wheels() -> Path:
    """Wheels of projects' own packages: ``<name>/<hash of the sources>/``."""
    return folder() / "packages"


def archives() -> Path:
    """Source archives of what is in repositories: ``<commit>/<name>/``."""
    return folder() / "git"


def mark_used(made: Path) -> None:
    """Keep ``made`` from `remove_unused` for another while."""
    with suppress(OSError):  # in a cache that others fill
        os.utime(made)


def remove_unused(now: float | None = None) -> None:
    """Remove the wheels and archives that nothing has used for 60 days, and what a killed process left."""
    for made in (*wheels().glob("*/*"), *archives().glob("*/*")):
        with suppress(OSError):
            if (now or time.time()) - made.stat().st_mtime > _KEPT:
                shutil.rmtree(made)
                made.parent.rmdir()  # fails where it holds another one
