"""Memory control groups of Linux, version 1 and 2, below the group that this process itself is in.

Nothing here raises if rights or a kernel feature are missing: `make` returns None, and the caller samples instead.
Kernel documentation: admin-guide/cgroup-v1/memory.rst and admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

import os
import secrets
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from podenv.runtime import usage

PREFIX = "podenv-"
END_SECONDS = 5.0  # to wait for killed processes to be gone; one that hangs in the kernel stays


@dataclass(frozen=True)
class Cgroup:
    """One control group with a memory controller, made by podenv."""

    folder: Path
    version: int

    def add(self, pid: int) -> None:
        """Move a process that has just started here, and what it has started in the meantime."""
        with suppress(OSError):  # it has ended already
            (self.folder / "cgroup.procs").write_text(str(pid))
            for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                self.add(int(child))

    def set_limit(self, limit: int | None) -> None:
        """Let its members hold at most ``limit`` bytes together (None: no limit). Raises OSError if it cannot be."""
        if self.version == 1:
            if limit is not None:
                (self.folder / "memory.limit_in_bytes").write_text(str(limit))
                with suppress(FileNotFoundError):  # absent without swap accounting
                    (self.folder / "memory.memsw.limit_in_bytes").write_text(str(limit))
            return
        # "max" is written too: it fails where the group has no memory controller and could not tell of a kill.
        _write(self.folder / "memory.max", "max" if limit is None else str(limit))
        with suppress(FileNotFoundError):
            _write(self.folder / "memory.swap.max", "max" if limit is None else "0")

    def members(self) -> list[int]:
        """The processes in this group and in groups below it; those of another pid namespace have no number here."""
        found: list[int] = []
        for folder, _, _ in os.walk(self.folder):
            with suppress(OSError):
                found += [int(pid) for pid in Path(folder, "cgroup.procs").read_text().split() if pid != "0"]
        return found

    def oom_kills(self) -> int | None:
        """How many of its processes the kernel has killed because memory ran out; None where it does not say it."""
        file = "memory.oom_control" if self.version == 1 else "memory.events"
        with suppress(OSError):
            for line in (self.folder / file).read_text().splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
        return None

    @property
    def peak(self) -> float | None:
        """The most that its processes held, in bytes; None where the kernel does not say it."""
        return usage.most_of(usage.Group(self.version, str(self.folder)))

    def end(self) -> None:
        """Kill every member, whatever session or parent it has given itself."""
        deadline = time.monotonic() + END_SECONDS
        while (members := self.members()) and time.monotonic() < deadline:
            for pid in members:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.002)

    def remove(self) -> None:
        """Remove the group; one with members that cannot be ended stays for a later run to clean."""
        folders = [Path(folder) for folder, _, _ in os.walk(self.folder, topdown=False)]
        for folder in folders:
            with suppress(OSError):
                folder.rmdir()


def make(limit: int | None) -> Cgroup | None:
    """A new group whose members hold at most ``limit`` bytes together (None: no limit), swap not counted as room.

    None where this process may not make one, or the kernel has no memory controller there.
    """
    own = own_group()
    if own is None:
        return None
    version, folder = own
    _sweep(folder, version)
    group = Cgroup(folder / f"{PREFIX}{os.getpid()}-{_started(os.getpid())}-{secrets.token_hex(4)}", version)
    try:
        group.folder.mkdir()
    except OSError:
        return None
    try:
        group.set_limit(limit)
    except OSError:  # on version 2, a group below one that has processes gets no memory controller
        group.remove()
        return None
    return group


def own_group(proc: Path = Path("/proc/self")) -> tuple[int, Path] | None:
    """Version and folder of the group with a memory controller that this process is in; None where there is none."""
    found = usage.find("memory", str(proc))
    return None if found is None else (found[0], Path(found[1]))


def _write(file: Path, text: str) -> None:
    with file.open("r+") as opened:  # never create: an absent controller file must be an error
        opened.write(text)


def _sweep(folder: Path, version: int) -> None:
    """End and remove groups that a podenv left which was itself killed."""
    for leftover in folder.glob(f"{PREFIX}*-*-*"):
        pid, started = leftover.name.removeprefix(PREFIX).split("-")[:2]
        if pid.isdecimal() and _started(int(pid)) != started:
            group = Cgroup(leftover, version)
            group.end()
            group.remove()


def _started(pid: int) -> str:
    """When a process started, in clock ticks since boot: with its number, that names it for good."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""
