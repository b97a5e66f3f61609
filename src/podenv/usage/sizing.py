"""How much to give a task, from what its runs used. Pure; the one owner of the margin and of the rounding."""

from __future__ import annotations

import math
from collections.abc import Sequence

MARGIN = 1.25  # of what was used
LEAST_MEMORY_BYTES = 64 * 2**20
LEAST_CORES = 0.1
THROTTLED_SHARE = 0.05  # of its time: a run that waited longer for a core wanted more than it got
RULE = (
    "Proposed memory: a quarter more than 95 % of the runs used, never less than the most that one used, and a quarter "
    "more than a limit at which one was out of memory; at least 64Mi. Proposed CPU: a quarter more than 95 % of the "
    "runs used on average, and not below the limit of a run that was throttled for a twentieth of its time; at least "
    "100m. Both are rounded up."
)
_LEAST_STEP_BYTES = 16 * 2**20
_STEPS = 8  # between a power of two and the next


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest of the sorted values that at least ``share`` (0 to 1) of them do not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def memory(peaks: Sequence[float], killed_at: float | None = None) -> int | None:
    """Bytes for a task whose runs held ``peaks`` (sorted) at most; ``killed_at``: a limit that was too low.

    None where nothing is known.
    """
    wanted = [killed_at * MARGIN] if killed_at else []
    if peaks:
        wanted += [percentile(peaks, 0.95) * MARGIN, peaks[-1]]
    return rounded(max(wanted)) if wanted else None


def start(peaks: Sequence[float], killed_at: float | None = None) -> int | None:
    """As `memory`, for a task that gets more at once where that is too little: a single high peak does not count."""
    wanted = [killed_at * MARGIN] if killed_at else []
    if peaks:
        wanted.append(percentile(peaks, 0.95) * MARGIN)
    return rounded(max(wanted)) if wanted else None


def cpu(cores: Sequence[float], throttled_at: float | None = None) -> float | None:
    """Cores for a task whose runs used ``cores`` (sorted) on average; ``throttled_at``: a limit that held one back."""
    if not cores:
        return None
    wanted = max(percentile(cores, 0.95) * MARGIN, throttled_at or 0, LEAST_CORES)
    step = 0.1 if wanted <= 2 else 0.5
    return round(math.ceil(round(wanted / step, 6)) * step, 1)


def rounded(size: float) -> int:
    """Bytes rounded up to what a person would write: 1/8 to 1/16 of the amount, in whole 16Mi."""
    size = max(size, LEAST_MEMORY_BYTES)
    step = max(_LEAST_STEP_BYTES, (1 << int(math.log2(size))) // _STEPS)
    return math.ceil(size / step) * step


def cpu_text(cores: float) -> str:
    """Cores as a Kubernetes quantity: ``500m``, ``2``."""
    return f"{cores:g}" if float(cores).is_integer() else f"{round(cores * 1000)}m"
