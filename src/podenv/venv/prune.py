"""Remove the virtual environments that no environment uses any more."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from podenv import lock, venv
from podenv.catalogue.environment import Catalogue
from podenv.lock import cache
from podenv.errors import LocalEnvironmentError, LockMissing, PodenvError
from podenv.catalogue.names import lock_key

_KEY = re.compile(r"py3\.[0-9]+-[0-9a-f]{16}")


@dataclass(frozen=True)
class Removed:
    """A virtual environment that is gone, and the bytes of disk that it alone had."""

    key: str
    path: Path
    freed_bytes: int


@dataclass(frozen=True)
class Pruned:
    """What a prune did: ``in_use`` were unused by any environment, but a process makes them or a task runs in them."""

    removed: tuple[Removed, ...]
    kept: tuple[str, ...]
    in_use: tuple[str, ...]

    @property
    def freed_bytes(self) -> int:
        """Bytes of disk given back; files that uv's cache shares with a virtual environment stay there."""
        return sum(one.freed_bytes for one in self.removed)


def prune() -> Pruned:
    """Remove each virtual environment that no known catalogue names any more, and each that is broken.

    A catalogue is known once it has synced; one with an environment that cannot be read keeps all it has used. Wheels
    of projects' own packages go too, 60 days after their last use.
    Raises `LocalEnvironmentError` when one cannot be removed.
    """
    removed, kept, in_use = [], [], []
    keys_of = functools.cache(_keys)  # each catalogue is read once
    for folder in _folders():
        if _is_used(folder, keys_of):
            kept.append(folder.name)
            continue
        try:
            with venv.locked(folder, wait=False) as descriptor:
                if descriptor is None:
                    in_use.append(folder.name)
                elif _is_used(folder, keys_of):  # it was made or registered in the meantime
                    kept.append(folder.name)
                elif (one := _remove(folder)) is not None:
                    removed.append(one)
        except OSError as error:
            raise LocalEnvironmentError(f"{folder} cannot be removed: {error.strerror or error}.") from None
    cache.remove_unused()
    return Pruned(tuple(removed), tuple(kept), tuple(in_use))


def _folders() -> list[Path]:
    """The folder of each virtual environment, also where only its lock or its list of catalogues is left."""
    root = venv.venvs_folder()
    try:
        names = {match[0] for entry in root.iterdir() if (match := _KEY.match(entry.name))}
    except OSError:
        return []
    return [root / name for name in sorted(names)]


def _is_used(folder: Path, keys_of: Callable[[Path], frozenset[str] | None]) -> bool:
    if not venv.is_complete(folder):
        return False
    for catalogue in venv.catalogues(folder):
        keys = keys_of(catalogue)
        if keys is None or folder.name in keys:
            return True
    return False


def _keys(root: Path) -> frozenset[str] | None:
    """The keys of all locks of a catalogue; none where it is gone, None where it cannot be told."""
    catalogue = Catalogue(root)
    keys = set()
    for name in catalogue.names():
        try:
            environment = catalogue[name]
            keys.add(lock_key(environment.python, lock.content_hash(environment)))
        except LockMissing:  # it has no lock, so it uses nothing
            continue
        except (PodenvError, OSError):
            return None
    return frozenset(keys)


def _remove(folder: Path) -> Removed | None:
    size = _own_bytes(folder)
    existed = folder.is_dir()
    venv.remove(folder)
    venv.catalogues_file(folder).unlink(missing_ok=True)
    venv.lock_file(folder).unlink(missing_ok=True)  # last: a process that waits for it sees that it is another file now
    return Removed(folder.name, folder, size) if existed else None


def _own_bytes(folder: Path) -> int:
    """Bytes of disk below ``folder`` that nothing else holds: uv links files from its cache instead of copying."""
    total = 0
    for status in _statuses(folder):
        if status.st_nlink == 1:
            total += status.st_blocks * 512
    return total


def _statuses(folder: Path) -> Iterator[os.stat_result]:
    for parent, _, files in os.walk(folder):
        for name in files:
            yield Path(parent, name).lstat()
