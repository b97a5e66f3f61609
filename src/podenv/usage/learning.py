"""What a task's memory begins with, learned from its last runs. Pure: what is kept of a run, and what follows from it.

A history is a list of mappings, as it is kept where Airflow keeps XComs: ``lock`` (of the environment), and in bytes
``used`` (what the run held at most), or where that was not measured ``enough`` (the limit that it had grown to when it
got through), or ``killed_at`` (a limit at which it was out of memory).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from podenv.catalogue import quantity
from podenv.catalogue.automemory import AutoMemory
from podenv.usage import sizing
from podenv.usage.runs import same_lock
from podenv.usage.text import size_text

KEPT_RUNS = 20
_FIGURES = ("used", "enough", "killed_at")
History = list[dict[str, Any]]


@dataclass(frozen=True)
class Figure:
    """Bytes that the memory begins with, and why, as the end of a sentence."""

    memory: int
    why: str


def history(kept: object) -> History:
    """What is kept, as far as it can be read: nobody keeps others from writing it."""
    entries = kept if isinstance(kept, list) else []
    return [
        entry
        for entry in entries
        if isinstance(entry, dict)
        and isinstance(entry.get("lock"), str)
        and any(_bytes(entry, name) for name in _FIGURES)
    ][-KEPT_RUNS:]


def remember(before: Sequence[Mapping[str, Any]], lock: str, **seen: int) -> History:
    """The history with one more run, of which one figure is ``seen``; the oldest is left out."""
    assert seen.keys() <= set(_FIGURES), seen
    return [dict(one) for one in [*before, {"lock": lock[:16], **seen}][-KEPT_RUNS:]]


def begin(auto: AutoMemory, kept: Sequence[Mapping[str, Any]], lock: str, *, imports: int = 0) -> Figure:
    """With how much a run on ``lock`` begins; ``imports`` is what its imports alone take, 0 where not known."""
    here = [one for one in kept if same_lock(one.get("lock"), lock)]
    used, enough, killed = (sorted(size for one in here if (size := _bytes(one, name))) for name in _FIGURES)
    killed_at = killed[-1] if killed else None
    learned = sizing.start(used, killed_at)
    if enough and enough[-1] > (learned or 0):
        figure = Figure(enough[-1], f"a run on this lock got through with {quantity.of_bytes(enough[-1])}")
    elif learned is None:
        others = f" ({len(kept)} on other locks)" if kept else ""
        figure = Figure(auto.first, f"no run of it on this lock is known{others}, so this is what the environment says")
    elif killed_at is not None and learned > (sizing.start(used) or 0):
        figure = Figure(learned, f"a run on this lock was out of memory at {quantity.of_bytes(killed_at)}")
    else:
        runs = f"the last {len(used)} runs" if len(used) > 1 else "the last run"
        share = "95 % of " if len(used) > 1 else ""
        held = size_text(sizing.percentile(used, 0.95))
        figure = Figure(learned, f"{share}{runs} on this lock held {held} at most, and a quarter is added")
    if imports and figure.memory < (least := sizing.rounded(imports * sizing.MARGIN)):
        figure = Figure(least, f"its imports alone take {size_text(imports)}")
    if auto.cap is not None and figure.memory > auto.cap:
        bound = "its namespace allows no more" if auto.is_bounded else "its cap allows no more"
        figure = Figure(auto.cap, f"{figure.why}, but {bound}")
    return figure


def _bytes(entry: Mapping[str, Any], name: str) -> int | None:
    size = entry.get(name)
    return size if isinstance(size, int) and not isinstance(size, bool) and 0 < size < 2**50 else None
