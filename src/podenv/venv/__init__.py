"""Virtual environments of this machine: one for each lock and Python, in the user's cache, shared by projects.

    <cache>/venvs/<key>/             the virtual environment, with podenv.json in it when it is complete
    <cache>/venvs/<key>.lock         held (flock) exclusively to make or remove it, shared while a task runs in it
    <cache>/venvs/<key>.catalogues   the catalogues that have used it, one path a line

A virtual environment is made where it stays: its scripts and bytecode hold that path (uv's ``--relocatable`` would put
a shell before each script). What makes it usable is podenv.json, written last; a folder without it is made anew.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from podenv import lock
from podenv.catalogue.environment import Environment
from podenv.catalogue.names import lock_key
from podenv.errors import LocalEnvironmentError, LockStale, ProgramFailed
from podenv.lock import cache
from podenv.venv import explain, install, python

MARKER = "podenv.json"


@dataclass(frozen=True)
class Synced:
    """The virtual environment of one environment; ``created`` says whether it had to be made; ``seconds`` it took."""

    environment: str
    path: Path
    key: str
    created: bool
    seconds: float


def venvs_folder() -> Path:
    """The folder of all virtual environments."""
    return cache.folder() / "venvs"


def sync(environment: Environment, *, log: Callable[[str], None] = lambda _: None) -> Synced:
    """Have the virtual environment of ``environment``'s lock; one that is there is found without starting a program.

    A second process that asks for the same waits for the first. Raises `LockError`, `PythonNotFound`,
    `LocalEnvironmentError`, `ProgramNotFound`.
    """
    began = time.monotonic()
    lock.check(environment)
    content_hash = lock.content_hash(environment)
    key = lock_key(environment.python, content_hash)
    folder = venvs_folder() / key
    created = False
    if not _is_ready(folder, content_hash):
        with _storage(folder), locked(folder, log=log) as descriptor:
            if not _is_ready(folder, content_hash):
                _make(folder, environment, content_hash, log=log, descriptor=descriptor)
                created = True
    with _storage(folder):
        _register(folder, environment.folder.parent)
    return Synced(environment.name, folder, key, created, time.monotonic() - began)


@contextmanager
def held(environment: Environment, *, log: Callable[[str], None] = lambda _: None) -> Iterator[Path]:
    """The folder of `sync`'s virtual environment, which nothing removes inside the ``with`` block."""
    while True:
        folder = sync(environment, log=log).path
        with ExitStack() as stack:
            with _storage(folder):
                stack.enter_context(locked(folder, shared=True, log=log))
            if is_complete(folder):  # else a prune was between the two lines above
                yield folder
                return


@contextmanager
def locked(
    folder: Path, *, shared: bool = False, wait: bool = True, log: Callable[[str], None] = lambda _: None
) -> Iterator[int | None]:
    """Hold the lock of a virtual environment; yields its descriptor, None when it is held and not to ``wait`` for."""
    file = lock_file(folder)
    file.parent.mkdir(parents=True, exist_ok=True)
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    while True:
        # Reading is enough for a lock, so a task can run from a cache that it cannot write.
        descriptor = os.open(file, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                if not wait:
                    yield None
                    return
                log(f"Another process makes or removes {folder}; waiting for it.")
                fcntl.flock(descriptor, kind)
            if _is_same_file(descriptor, file):
                yield descriptor
                return
        finally:
            os.close(descriptor)


def lock_file(folder: Path) -> Path:
    """The lock beside a virtual environment."""
    return folder.with_name(f"{folder.name}.lock")


def catalogues_file(folder: Path) -> Path:
    """The list of catalogues beside a virtual environment."""
    return folder.with_name(f"{folder.name}.catalogues")


def catalogues(folder: Path) -> list[Path]:
    """The catalogues that have used a virtual environment."""
    try:
        return [Path(line) for line in catalogues_file(folder).read_text().splitlines()]
    except FileNotFoundError:
        return []


def is_complete(folder: Path) -> bool:
    """True if the virtual environment was made to its end and its interpreter is still on the machine."""
    return _marker(folder) is not None and interpreter(folder).exists()


def interpreter(folder: Path) -> Path:
    """The Python of a virtual environment."""
    return folder / "bin" / "python"


def remove(folder: Path) -> None:
    """Remove a virtual environment, its lock held; one removed halfway is not complete."""
    (folder / MARKER).unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)


def _marker(folder: Path) -> dict[str, Any] | None:
    try:
        content = json.loads((folder / MARKER).read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _is_ready(folder: Path, content_hash: str) -> bool:
    marker = _marker(folder)
    return marker is not None and marker.get("content") == content_hash and interpreter(folder).exists()


def _is_same_file(descriptor: int, file: Path) -> bool:
    """True if ``file`` is still the file that was locked: a prune removes the lock's file with the rest."""
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False


def _make(
    folder: Path, environment: Environment, content_hash: str, *, log: Callable[[str], None], descriptor: int | None
) -> None:
    began = time.monotonic()
    install.check_system(environment)
    base = python.find(environment.python, wanted_by=environment.name, uv=lock.uv(), log=log)
    log(f"Making the virtual environment of {environment.name!r} with {base} in {folder}.")
    remove(folder)
    # uv holds the lock too: if podenv is killed and uv goes on, no other process makes the same folder.
    inherited = () if descriptor is None else (descriptor,)
    try:
        install.install(environment, folder, base, log=log, pass_fds=inherited)
        if lock.content_hash(environment) != content_hash:
            raise LockStale(
                f"{environment.lock_file}, or a package of the project, was changed while it was installed; run it again."
            )
        _write_marker(folder, environment, content_hash)
    except ProgramFailed as error:
        raise explain.failure(error, environment, folder) from None
    finally:
        if _marker(folder) is None:
            shutil.rmtree(folder, ignore_errors=True)
    log(f"Made the virtual environment of {environment.name!r} in {time.monotonic() - began:.1f} s.")


def _write_marker(folder: Path, environment: Environment, content_hash: str) -> None:
    content = {"key": folder.name, "content": content_hash, "python": environment.python, "podenv": version("podenv")}
    unfinished = folder / f"{MARKER}.new"
    unfinished.write_text(json.dumps(content, indent=2) + "\n")
    unfinished.replace(folder / MARKER)


def _register(folder: Path, catalogue: Path) -> None:
    """Note that ``catalogue`` uses this virtual environment, for `podenv prune`."""
    if catalogue in catalogues(folder):
        return
    try:
        with catalogues_file(folder).open("a") as opened:  # one short write that appends: two processes do not mix
            opened.write(f"{catalogue}\n")
    except OSError as error:
        if error.errno not in explain.UNWRITABLE:  # a ready one in a cache that others fill is used as it is
            raise


@contextmanager
def _storage(folder: Path) -> Iterator[None]:
    """Turn what the file system refuses into a `LocalEnvironmentError`."""
    try:
        yield
    except OSError as error:
        raise LocalEnvironmentError(explain.storage(folder, error.errno, error.strerror or str(error))) from None
