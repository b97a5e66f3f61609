"""Why a virtual environment cannot be made, each cause in one line with its remedy."""

from __future__ import annotations

import errno
from pathlib import Path

from podenv import causes, lock
from podenv.catalogue.environment import Environment
from podenv.errors import LocalEnvironmentError, ProgramFailed
from podenv.lock import platforms, requirements

FULL = (errno.ENOSPC, errno.EDQUOT)
UNWRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)


def add_platform(environment: Environment) -> str:
    """The remedy where the lock does not hold for this machine."""
    return f"add {platforms.here()} to `platforms` in the values and run `podenv lock {environment.name}`"


def storage(folder: Path, number: int | None, why: str) -> str:
    """What to say where the file system refuses something in ``folder``; ``number`` is its errno."""
    if number in FULL:
        return (
            f"The disk of {folder.parent} is full ({why}); free some space (`podenv prune` removes what nothing uses) "
            "or set PODENV_CACHE to a folder on another disk."
        )
    if number in UNWRITABLE:
        return f"{folder.parent} cannot be written ({why}); set PODENV_CACHE to a folder that can."
    return f"{folder} cannot be made: {why}; set PODENV_CACHE to another folder."


def failure(error: ProgramFailed, environment: Environment, folder: Path) -> LocalEnvironmentError:
    """What uv's message means, in one line."""
    said = error.stderr
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "it said nothing")
    for word in ("cause: ", "error: ", "hint: "):
        last = last.removeprefix(word)
    cause = causes.find(causes.UV, said)
    if cause.kind == "disk":
        message = storage(folder, errno.ENOSPC, last)
    elif cause.kind == "unwritable":
        message = storage(folder, errno.EROFS, last)
    elif cause.kind == "hash":
        message = (
            f"{environment.lock_file}: what the package index has for {cause.subject(said)} is not what the lock's "
            f"hashes say, so it is not installed; if the lock was edited, run `podenv lock {environment.name}`, else "
            "do not trust the index."
        )
    elif cause.kind == "wheel" and platforms.here() not in platforms.of(environment):
        message = f"{cause.subject(said)} has no wheel for {platforms.here()}; {add_platform(environment)}."
    elif cause.kind == "git":
        locked = {one.name: requirements.commit(one.url or "") for one in lock.in_git(environment)}
        name = cause.subject(said)
        message = (
            f"The repository of {name} cannot be read, or has no commit {locked.get(name, '')} any more; if the ref has "
            f"moved, run `podenv lock {environment.name} --upgrade`."
        )
    elif cause.kind in ("network", "offline"):
        message = (
            f"The virtual environment of {environment.name!r} needs packages from the network, and uv cannot reach "
            f"them ({last}); connect, or check the indexes in the values and UV_DEFAULT_INDEX, and run it again."
        )
    elif cause.kind == "credentials":
        message = (
            f"The virtual environment of {environment.name!r} needs packages from an index that wants other "
            f"credentials ({last}); check those in UV_DEFAULT_INDEX, UV_INDEX_<NAME>_USERNAME and "
            "UV_INDEX_<NAME>_PASSWORD, ~/.netrc or the keyring."
        )
    else:
        words = " ".join(said.split())
        message = f"uv could not install {environment.lock_file}: {words[-1500:] or 'it said nothing'}"
    return LocalEnvironmentError(message)
