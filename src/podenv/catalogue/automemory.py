"""``memory="auto"``: what a task's memory begins with and grows to is learned. Here is what holds before that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from podenv.catalogue import quantity

AUTO = "auto"
FIRST = "512Mi"  # of a task without history, where its environment names no figure
NEEDS_CAP = (
    "memory is auto and has no cap, so nothing would stop a run that goes wrong; set max_memory of the task, or "
    "resources.maxMemory in the environment's values."
)
# What of a namespace's quota holds for the memory of one container too.
QUOTA_NAMES = ("limits.memory", "requests.memory", "memory")


@dataclass(frozen=True)
class Defaults:
    """What a task of an environment has unless it says otherwise, as Kubernetes quantities by resource.

    ``first``: with what the memory begins where the environment's own memory is auto; None where it is given. Its limit
    is then ``cap``, the most that memory which is auto grows to. ``bounds``: what the namespace allows a container.
    """

    requests: Mapping[str, str]
    limits: Mapping[str, str]
    first: str | None = None
    cap: str | None = None
    bounds: tuple[str, ...] = ()


@dataclass(frozen=True)
class AutoMemory:
    """Bytes that a task's memory begins with where it has no history, and that it grows to at most (None: not known).

    ``is_bounded``: its namespace allows less than its cap says.
    """

    first: int
    cap: int | None
    is_bounded: bool = False


def settled(base: Defaults, max_memory: str | None) -> AutoMemory:
    """What holds for a task with ``max_memory`` that lays nothing of its own upon ``base``."""
    cap = max_memory or base.cap
    first = quantity.to_bytes(base.first or base.limits.get("memory") or FIRST)
    most = [quantity.to_bytes(one) for one in (cap, *base.bounds) if one is not None]
    if cap is None or not most:
        return AutoMemory(first, None)
    return AutoMemory(min(first, *most), min(most), min(most) < quantity.to_bytes(cap))
