"""The memory that processes hold, counted as a control group limits it: without pages that only mirror a file.

The kernel takes pages of mapped files back when it needs room, so they put no task beyond its limit. Anonymous memory
and shared memory (/dev/shm) count. On a system that does not tell them apart (macOS, Linux before 4.5) all resident
memory counts. Kernel documentation: filesystems/proc.rst, /proc/PID/status and /proc/PID/smaps_rollup.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

_OWN = ("RssAnon", "RssShmem")
_SHARED_OUT = ("Pss_Anon", "Pss_Shmem")  # of pages that several processes share, each one's part; Linux 5.9 or newer


def total(processes: Sequence[psutil.Process], enough: int) -> int:
    """What ``processes`` hold together, in bytes.

    Pages that several share count once, which is slow to find out, and is done only above ``enough``.
    """
    resident = sum(map(_resident, processes))
    return resident if resident <= enough else sum(map(_part, processes))


def _resident(process: psutil.Process) -> int:
    found = _kilobytes(Path(f"/proc/{process.pid}/status"), _OWN)
    if found is not None:
        return found * 1024
    with suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0  # it has ended


def _part(process: psutil.Process) -> int:
    found = _kilobytes(Path(f"/proc/{process.pid}/smaps_rollup"), _SHARED_OUT)
    if found is not None:
        return found * 1024
    with suppress(psutil.Error):
        full = process.memory_full_info()
        return min(_resident(process), int(getattr(full, "pss", full.uss)))
    return 0


def _kilobytes(file: Path, names: Sequence[str]) -> int | None:
    """The sum of the lines ``names`` in a file of /proc; None where it has not all of them."""
    try:
        lines = [line.partition(":") for line in file.read_text().splitlines()]
    except OSError:
        return None
    found = [int(value.split()[0]) for name, _, value in lines if name in names]
    return sum(found) if len(found) == len(names) else None
