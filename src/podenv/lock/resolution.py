"""Write a lock: whole or not at all, one process at a time, and only where it is not fresh."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from packaging.utils import canonicalize_name

from podenv.catalogue.environment import Environment
from podenv.errors import LockError, LockMissing
from podenv.lock import compiling, lockfile, requirements, sources
from podenv.lock.refusal import check_body
from podenv.lock.requirements import Requested

_SCRATCH = ".podenv-lock-"


def resolve(environment: Environment, *, upgrade: bool = False, on_line: Callable[[str], None] | None = None) -> bool:
    """Write the lock; whether it changed.

    A lock that is fresh is left alone; else the versions in it are kept where its source allows, unless
    ``upgrade``. ``on_line`` gets what uv says. Raises `LockError` and what is below it, `ProgramNotFound`.
    """
    requested = sources.read(environment)
    with suppress(LockMissing):
        if not upgrade and not lockfile.stale(environment, requested, lockfile.read(environment)):
            return False
    try:
        with _scratch(environment.folder) as scratch:
            body = compiling.body(environment, requested, scratch, upgrade=upgrade, on_line=on_line)
            check_body(environment, requested, body)
            whole = (_options(requested, body) + body).encode()
            return lockfile.write(environment, requested, whole, beside=scratch / "lock")
    except OSError as error:
        raise LockError(
            f"{environment.lock_file} cannot be written: {error.strerror}; the old lock, if any, is unchanged."
        ) from None


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder inside ``folder`` for one process at a time; what a killed one left behind is removed."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems have no locks; the rename is safe without
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        for leftover in folder.glob(f"{_SCRATCH}*"):
            shutil.rmtree(leftover)
        with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=folder) as scratch:
            yield Path(scratch)
    finally:
        os.close(descriptor)


def _options(requested: Requested, body: str) -> str:
    """Whoever installs from the lock builds nothing from source, except what is asked for so, or is in a repository."""
    lines = [requirements.parse(line) for _, line in requirements.logical_lines(body)]
    in_git = {canonicalize_name(one.name) for one in lines if requirements.is_git(one.url or "")}
    from_source = "".join(f"--no-binary {name}\n" for name in sorted({*requested.no_binary, *in_git}))
    return f"--only-binary :all:\n{from_source}\n"
