"""What the kernel knows at the end of a call: memory, CPU, what was written. Nothing is sampled.

What a kernel does not tell is missing. Kernel documentation: admin-guide/cgroup-v1, admin-guide/cgroup-v2.rst,
filesystems/proc.rst.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # typing costs every task milliseconds
if TYPE_CHECKING:
    from collections.abc import Iterator


PROGRAM_FILES = 64 * 1024 * 1024
"""Bytes that programs and libraries take as files, which a group may hold besides what its processes do."""


class Meter:
    """What this process and its children use from now on.

    A control group counts where this process is the first in it: as in a container, or where podenv made it.
    """

    def __init__(self, proc: str = "/proc", parent: int | None = None) -> None:
        self._proc = proc + "/self"
        above = os.getppid() if parent is None else parent
        around = f"{proc}/{above}" if above else ""
        self._memory, self._usage, self._cpu = (
            Group(*_own(controller, self._proc, around)) for controller in ("memory", "cpuacct", "cpu")
        )
        self._before = self._spent()

    def read(self) -> dict[str, float]:
        """Sizes in bytes, times in seconds; what is not known is left out. The peak is that since the start."""
        found = {name: value - self._before.get(name, 0) for name, value in self._spent().items()}
        found["peak_memory_bytes"] = self._held()
        kills = _kills(self._memory)
        return found if kills is None else {**found, "out_of_memory_kills": kills}

    def _spent(self) -> dict[str, float]:
        spent = {
            "cpu_seconds": _used(self._usage),
            "throttled_seconds": _throttled(self._cpu),
            "written_bytes": _number(_lines(self._proc + "/io"), "write_bytes:"),
        }
        return {name: value for name, value in spent.items() if value is not None}

    def _held(self) -> float:
        most, largest = most_of(self._memory), _largest_process(self._proc)
        if most is None:
            return largest
        # Both are too low where files came after several processes had held much at once, and nothing tells of that.
        held = max(most - _files_of(self._memory), largest)
        return most if _children() and most - held > PROGRAM_FILES else held


def peak() -> float:
    """The most bytes that this process and its children held until now."""
    return Meter().read()["peak_memory_bytes"]


def most_of(group: Group) -> float | None:
    """The most bytes that a group held, what the kernel keeps of files included; None where it does not say it."""
    return group.number("memory.max_usage_in_bytes", "memory.peak")


def _files_of(group: Group) -> float:
    """Bytes that the kernel keeps of files now, and gives back when it has to."""
    stat = group.lines("memory.stat", "memory.stat")
    prefix = "total_" if group.version == 1 else ""
    return sum(_number(stat, prefix + kind) or 0 for kind in ("active_file", "inactive_file"))


def _largest_process(proc: str) -> float:
    """Resident bytes of the largest of this process and its children that have ended."""
    import resource

    # Linux hands a process's own peak on through exec, /proc does not; that of children counts from their fork on.
    own = _number(_lines(proc + "/status"), "VmHWM:")
    unit = 1 if sys.platform == "darwin" else 1024
    if own is None:
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1024
    return max(own * 1024, _children() * unit)


def _children() -> float:
    """The peak of the largest child that has ended, in the unit of this system."""
    import resource

    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss


def _used(group: Group) -> float | None:
    nanoseconds = group.number("cpuacct.usage", "")
    if nanoseconds is not None:
        return nanoseconds / 1e9
    microseconds = _number(group.lines("", "cpu.stat"), "usage_usec")
    if microseconds is not None:
        return microseconds / 1e6
    return sum(os.times()[:4])  # of children that have ended, too


def _throttled(group: Group) -> float | None:
    stat = group.lines("cpu.stat", "cpu.stat")
    nanoseconds, microseconds = _number(stat, "throttled_time"), _number(stat, "throttled_usec")
    if nanoseconds is not None:
        return nanoseconds / 1e9
    return None if microseconds is None else microseconds / 1e6


def _kills(group: Group) -> float | None:
    return _number(group.lines("memory.oom_control", "memory.events"), "oom_kill")


class Group:
    """A control group; ``version`` 0 is none."""

    def __init__(self, version: int, folder: str) -> None:
        self.version = version
        self.folder = folder

    def lines(self, first: str, second: str) -> list[str]:
        """Of the file ``first`` in version 1, ``second`` in version 2; empty where it cannot be read."""
        name = ("", first, second)[self.version]
        return _lines(self.folder + "/" + name) if name else []

    def number(self, first: str, second: str) -> float | None:
        lines = self.lines(first, second)
        return float(lines[0]) if lines and lines[0].strip().isdigit() else None


def _own(controller: str, proc: str, parent: str) -> tuple[int, str]:
    """The group of a process whose parent is not in it; version 0 where there is none."""
    # Read once: podenv may be moving this process at this moment.
    own, above = _memberships(proc), _memberships(parent) if parent else {}
    name = controller if controller in own else ""
    if parent and above.get(name) == own.get(name):
        return 0, ""
    return _found(controller, own, proc) or (0, "")


def _memberships(proc: str) -> dict[str, str]:
    """Path of the group for each controller; ``""`` is version 2."""
    found = {}
    for line in _lines(proc + "/cgroup"):
        _, controllers, path = line.strip().split(":", 2)
        found.update(dict.fromkeys(controllers.split(","), path))
    return found


def find(controller: str, proc: str = "/proc/self") -> tuple[int, str] | None:
    """Version and folder of the control group with ``controller`` that a process is in; None where there is none."""
    return _found(controller, _memberships(proc), proc)


def _found(controller: str, paths: dict[str, str], proc: str) -> tuple[int, str] | None:
    mounts = list(_mounts(proc))
    if controller in paths:
        return _folder(1, paths[controller], [m for m in mounts if m[2] == "cgroup" and controller in m[3]])
    return _folder(2, paths[""], [m for m in mounts if m[2] == "cgroup2"]) if "" in paths else None


def _mounts(proc: str) -> Iterator[tuple[str, str, str, list[str]]]:
    """Root within its file system, mount point, kind and options of each mount."""
    for line in _lines(proc + "/mountinfo"):
        before, _, after = line.partition(" - ")
        fields, (kind, _, options) = before.split(), after.split(" ", 2)
        yield fields[3], fields[4], kind, options.strip().split(",")


def _folder(version: int, path: str, mounts: list[tuple[str, str, str, list[str]]]) -> tuple[int, str] | None:
    for root, point, _, _ in mounts:
        # In a container without a cgroup namespace only a part of the hierarchy is mounted.
        if path == root or path.startswith(root.rstrip("/") + "/"):
            return version, (point.rstrip("/") + "/" + path[len(root.rstrip("/")) :].lstrip("/")).rstrip("/")
    return None


def _lines(file: str) -> list[str]:
    try:
        with open(file) as opened:  # noqa: PTH123 - pathlib costs every task milliseconds
            return opened.readlines()
    except OSError:
        return []


def _number(lines: list[str], name: str) -> float | None:
    for line in lines:
        words = line.split()
        if len(words) > 1 and words[0] == name and words[1].isdigit():
            return float(words[1])
    return None
