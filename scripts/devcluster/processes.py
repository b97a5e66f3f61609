"""Processes that outlive this command: recorded by pid and start time, since a pid alone may come to mean another."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from devcluster.places import write_private

PROC = Path("/proc")
LISTENING = "0A"


@dataclass(frozen=True)
class Identity:
    """One process for good: its pid and when it started, in clock ticks since boot."""

    pid: int
    started: int


@dataclass(frozen=True)
class Holder:
    """Who listens on a port."""

    pid: int
    program: str


def identify(pid: int, proc: Path = PROC) -> Identity | None:
    """The process that has this pid now; None when there is none or it is dead and merely not yet reaped."""
    try:
        stat = (proc / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The program's name stands in brackets and may itself hold brackets and blanks.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else Identity(pid, int(fields[19]))


def is_alive(identity: Identity | None) -> bool:
    """True if this very process still runs."""
    return identity is not None and identify(identity.pid) == identity


def start(argv: Sequence[str | Path], *, log: Path, env: Mapping[str, str]) -> Identity | None:
    """Start a program in a session of its own, its words appended to `log`; None when it ended at once."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        child = subprocess.Popen(
            [str(part) for part in argv],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=dict(env),
            start_new_session=True,
        )
    identity = identify(child.pid)
    # It is meant to outlive this command, which does not wait for it.
    child.returncode = 0
    return identity


def stop(identity: Identity, *, patience: float) -> None:
    """End the process: SIGTERM, and SIGKILL after `patience` seconds; returns when it is gone."""
    for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 10.0)):
        if not is_alive(identity):
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(identity.pid, number)
        deadline = time.monotonic() + seconds
        while is_alive(identity) and time.monotonic() < deadline:
            time.sleep(0.02)


def save(folder: Path, name: str, identity: Identity) -> None:
    """Record the process as `name`."""
    write_private(folder / f"{name}.json", json.dumps(asdict(identity)))


def recorded(folder: Path, name: str) -> Identity | None:
    """The process recorded as `name`, alive or not; None when there is no readable record."""
    try:
        return Identity(**json.loads((folder / f"{name}.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def belonging_to(programs: Path, state: Path, proc: Path = PROC) -> Iterator[Identity]:
    """Processes whose program lies below `programs` and whose words name a path below `state`.

    That is how those are found that no record names: containerd's shims, or all of them when the state folder was
    removed by hand.
    """
    for folder in proc.glob("[0-9]*"):
        try:
            program = str((folder / "exe").readlink())
            words = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if program.startswith(f"{programs}/") and f"{state}/" in words:
            identity = identify(int(folder.name), proc)
            if identity:
                yield identity


def port_holder(port: int, proc: Path = PROC) -> Holder | None:
    """The process that listens on TCP `port`, on any address; None if there is none."""
    inodes = {
        fields[9]
        for table in ("tcp", "tcp6")
        for fields in _rows(proc / "net" / table)
        if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port
    }
    if not inodes:
        return None
    sockets = {f"socket:[{inode}]" for inode in inodes}
    for folder in proc.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(_target(file) in sockets for file in (folder / "fd").iterdir()):
                return Holder(int(folder.name), (folder / "comm").read_text().strip())
    return Holder(0, "a program of another user or container")


def _rows(table: Path) -> list[list[str]]:
    try:
        return [line.split() for line in table.read_text().splitlines()[1:]]
    except OSError:
        return []


def _target(link: Path) -> str:
    with contextlib.suppress(OSError):
        return str(link.readlink())
    return ""
