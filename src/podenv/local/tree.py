"""The processes of one task, daemons included, and the memory that they hold together."""

from __future__ import annotations

import secrets
import signal
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path

import psutil

from podenv.local import cgroup, resident

MARK = "PODENV_TASK"
LOOK_SECONDS = 0.05  # between two looks at the memory
_WORK_PER_SEARCH = 10  # after a search for new members, this many times its duration passes until the next one
_END_SECONDS = 5.0  # to wait for killed processes to be gone


class Tree(ABC):
    """A task's processes; ``env`` goes into the environment of the first."""

    def __init__(self) -> None:
        self.env = {MARK: secrets.token_hex(8)}

    @abstractmethod
    def add(self, pid: int) -> None:
        """Take in the first process, just started."""

    @abstractmethod
    def set_limit(self, limit: int | None) -> None:
        """Let it hold ``limit`` bytes from now on. Raises OSError where that cannot be."""

    @abstractmethod
    def out_of_memory(self, *, last: bool = False, killed: bool = False) -> bool:
        """True if its processes were beyond the limit at any time up to now.

        ``last``: look once more, also right after another look. ``killed``: the first process died by SIGKILL.
        """

    @property
    def peak(self) -> float | None:
        """The most that its processes held, in bytes; None where that is not known."""
        return None

    @abstractmethod
    def look(self) -> None:
        """Take note of who belongs to it now."""

    @abstractmethod
    def end(self) -> None:
        """Kill all that is left of it. May be called again, and from another thread."""

    @abstractmethod
    def close(self) -> None:
        """End it and give back what watching took."""


def watch(limit: int | None, *, sampled: bool = False) -> Tree:
    """A tree that may hold ``limit`` bytes (None: all).

    The kernel watches it in a control group; if that cannot be made, or if ``sampled``, we look now and then.
    """
    group = None if sampled else cgroup.make(limit)
    return SampledTree(limit) if group is None else CgroupTree(group)


class CgroupTree(Tree):
    """The kernel keeps the list of members and the limit."""

    def __init__(self, group: cgroup.Cgroup) -> None:
        super().__init__()
        self._group = group

    def add(self, pid: int) -> None:
        self._group.add(pid)

    def set_limit(self, limit: int | None) -> None:
        self._group.set_limit(limit)

    def out_of_memory(self, *, last: bool = False, killed: bool = False) -> bool:
        return bool(self._group.oom_kills())

    @property
    def peak(self) -> float | None:
        return self._group.peak

    def look(self) -> None:
        pass  # the kernel does it all the time

    def end(self) -> None:
        self._group.end()

    def close(self) -> None:
        self.end()
        self._group.remove()


class SampledTree(Tree):
    """Members are found by parent and by a mark in their environment; their memory is added up now and then.

    What happens between two looks is not seen. The kernel keeps a peak of each process, but with pages of files in it.
    """

    def __init__(self, limit: int | None) -> None:
        super().__init__()
        self._limit = limit
        self._members: dict[int, psutil.Process] = {}
        self._strangers: set[int] = set()
        self._exceeded = False
        self._next_search = 0.0
        self._kernel_kills = _oom_kills()

    def add(self, pid: int) -> None:
        with suppress(psutil.NoSuchProcess):
            self._members[pid] = psutil.Process(pid)

    def set_limit(self, limit: int | None) -> None:
        self._limit = limit

    def out_of_memory(self, *, last: bool = False, killed: bool = False) -> bool:
        if self._limit is not None and not self._exceeded:
            began = time.monotonic()
            if last or began >= self._next_search:
                self._look()
                now = time.monotonic()
                self._next_search = now + max(LOOK_SECONDS, _WORK_PER_SEARCH * (now - began))
            # The members that are known are looked at each time: that is fast.
            self._exceeded = resident.total(list(self._members.values()), self._limit) > self._limit
        return self._exceeded or (killed and _oom_kills() > self._kernel_kills)

    def look(self) -> None:
        self._look()

    def end(self) -> None:
        deadline = time.monotonic() + _END_SECONDS
        while (members := self._look()) and time.monotonic() < deadline:
            for member in members:
                with suppress(psutil.Error):
                    member.send_signal(signal.SIGKILL)
            time.sleep(0.005)

    def close(self) -> None:
        self.end()

    def _look(self) -> list[psutil.Process]:
        """The members that live now."""
        present = set(psutil.pids())
        self._strangers &= present
        for pid in present - self._strangers - self._members.keys():
            if (process := self._marked(pid)) is None:
                self._strangers.add(pid)
            else:
                self._members[pid] = process
        for member in list(self._members.values()):
            with suppress(psutil.Error):
                self._members.update((child.pid, child) for child in member.children(recursive=True))
        self._members = {pid: member for pid, member in self._members.items() if _lives(member)}
        return list(self._members.values())

    def _marked(self, pid: int) -> psutil.Process | None:
        with suppress(psutil.Error, OSError):
            process = psutil.Process(pid)
            if process.environ().get(MARK) == self.env[MARK]:
                return process
        return None


def lives(pid: int) -> bool:
    """True if there is such a process, and it has not ended."""
    with suppress(psutil.Error):
        return _lives(psutil.Process(pid))
    return False


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _oom_kills() -> int:
    """How many processes the kernel has killed because memory ran out; 0 if it does not say.

    Those in this process's own group, in which a sampled task stays; the machine's, pods included, where there is none.
    """
    own = cgroup.own_group()
    if own is not None and (kills := cgroup.Cgroup(own[1], own[0]).oom_kills()) is not None:
        return kills
    with suppress(OSError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
