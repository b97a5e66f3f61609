"""The lock on disk: its header says what it was made from, so that a stale one is noticed without network or program.

    # This file is written by `podenv lock <name>`; edit requirements.in instead.
    # podenv-lock 2: python 3.11, platforms linux/amd64 macos/arm64, indexes none, inputs sha256:…, body sha256:…

``platforms`` are those that each package has a wheel for, ``indexes`` is a hash over the values' indexes, ``inputs``
one over requirements.in with all it includes, ``body`` one over what follows. Below stands a line for each package of
the project's own, with a hash over what decides its dependencies:

    # podenv-package acme==1.0 ../../libs/acme sha256:…
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from podenv.catalogue.environment import Environment
from podenv.errors import LockError, LockMissing, LockStale
from podenv.lock import indexes, packages, platforms, sources
from podenv.lock.packages import OwnPackage
from podenv.lock.requirements import Requested

FORMAT = 2
_OWN = re.compile(r"^# podenv-package (\S+)==(\S+) (\S+) sha256:([0-9a-f]{64})$", re.MULTILINE)
_HEADER = re.compile(
    r"# This file is written by `podenv lock [^\n]*\n"
    r"# podenv-lock (?P<format>\d+): python (?P<python>\S+), "
    r"(?:platforms (?P<platforms>[^,\n]+), indexes (?P<indexes>\S+), )?"
    r"inputs sha256:(?P<inputs>[0-9a-f]{64}), body sha256:(?P<body>[0-9a-f]{64})\n"
)


def lock_hash(environment: Environment) -> str:
    """SHA-256 of the lock's bytes, in hex; raises `LockMissing`."""
    return hashlib.sha256(read(environment)).hexdigest()


def content_hash(environment: Environment) -> str:
    """SHA-256 over all that is installed: the lock, and the sources of the project's own packages; in hex.

    The lock's own hash where there is no such package. Raises `LockMissing`, `PackageUnusable`.
    """
    own = packages.content_hash(environment)
    locked = lock_hash(environment)
    return hashlib.sha256(f"{locked} {own}".encode()).hexdigest() if own else locked


def check(environment: Environment) -> None:
    """Return when the lock is what requirements.in and the values ask for.

    Starts no program and uses no network. Raises `RequirementsMissing`, `RequirementsInvalid`, `LockMissing`,
    `LockStale`.
    """
    requested = sources.read(environment)
    why = stale(environment, requested, read(environment))
    if why:
        raise LockStale(f"{environment.lock_file} {why}; run `podenv lock {environment.name}`.")


def read(environment: Environment) -> bytes:
    """The lock's bytes; raises `LockMissing`, `LockError`."""
    try:
        return environment.lock_file.read_bytes()
    except FileNotFoundError:
        raise LockMissing(f"{environment.lock_file} is missing; run `podenv lock {environment.name}`.") from None
    except OSError as error:
        raise LockError(f"{environment.lock_file} cannot be read: {error.strerror}.") from None


def stale(environment: Environment, requested: Requested, lock: bytes) -> str:
    """Why the lock is not what is asked for; an empty text when it is."""
    header = _header(lock)
    if header is None:
        return "was not written by podenv"
    if header.format != FORMAT:
        return f"is in format {header.format}, this podenv reads and writes {FORMAT}"
    if header.python != environment.python:
        return f"is for Python {header.python}, the values ask for {environment.python}"
    if header.platforms != (asked := " ".join(platforms.of(environment))):
        return f"holds for {header.platforms}, the values ask for {asked}"
    if header.indexes != indexes.fingerprint(environment):
        return "was made with other indexes than the values name"
    if why := _other_packages(environment, lock):
        return why
    if header.inputs != _inputs(requested):
        return f"is older than {environment.source.name} or a file that it includes"
    if not header.intact:
        return "was changed by hand"
    return ""


def own_packages(lock: bytes) -> list[tuple[str, str, str, str]]:
    """The project's own packages in a lock: name, version, path, and the hash over what decides its dependencies."""
    return [(one[1], one[2], one[3], one[4]) for one in _OWN.finditer(lock.decode(errors="replace"))]


def own_line(package: OwnPackage, version: str) -> str:
    """What a lock says of one of the project's own packages."""
    return f"# podenv-package {package.name}=={version} {package.path} sha256:{package.decisive}\n"


def _other_packages(environment: Environment, lock: bytes) -> str:
    locked = {path: decisive for _, _, path, decisive in own_packages(lock)}
    now = {package.path: package.decisive for package in packages.of(environment)}
    for path in now:
        if path not in locked:
            return f"lacks the package {path} of the values"
        if now[path] != locked[path]:
            return f"is older than the metadata of the package {path}"
    gone = [path for path in locked if path not in now]
    return f"has the package {gone[0]}, which the values name no more" if gone else ""


def write(environment: Environment, requested: Requested, body: bytes, *, beside: Path) -> bool:
    """Put a lock with this body in place, whole or not at all; whether it changed."""
    header = (
        f"# This file is written by `podenv lock {environment.name}`; edit {_edited(environment)} instead.\n"
        f"# podenv-lock {FORMAT}: python {environment.python}, platforms {' '.join(platforms.of(environment))}, "
        f"indexes {indexes.fingerprint(environment)}, inputs sha256:{_inputs(requested)}, "
        f"body sha256:{hashlib.sha256(body).hexdigest()}\n"
    ).encode()
    with suppress(LockMissing):
        if read(environment) == header + body:
            return False
    put(environment.lock_file, header + body, beside=beside)
    return True


def put(file: Path, content: bytes, *, beside: Path) -> None:
    """Write ``file`` whole or not at all, by way of ``beside``, which is on the same disk."""
    with beside.open("wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())
    beside.replace(file)


def _edited(environment: Environment) -> str:
    return environment.spec.source.file if environment.spec.source else environment.requirements_in.name


def has_its_hashes(environment: Environment, lock: bytes) -> bool:
    """True if podenv wrote these bytes, from the indexes that the values name now, and nothing changed them since."""
    header = _header(lock)
    return header is not None and header.intact and header.indexes == indexes.fingerprint(environment)


@dataclass(frozen=True)
class _Header:
    format: int
    python: str
    platforms: str
    indexes: str
    inputs: str
    body: str
    intact: bool  # whether the body is the one that was written


def _header(lock: bytes) -> _Header | None:
    match = _HEADER.match(lock.decode(errors="replace"))
    if match is None:
        return None
    rest = lock.split(b"\n", 2)[2]
    intact = hashlib.sha256(rest).hexdigest() == match["body"]
    chosen = (match["platforms"] or "", match["indexes"] or "")
    return _Header(int(match["format"]), match["python"], *chosen, match["inputs"], match["body"], intact)


def _inputs(requested: Requested) -> str:
    return hashlib.sha256(json.dumps([FORMAT, requested.lines]).encode()).hexdigest()
