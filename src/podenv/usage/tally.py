"""What it took to run a task: a backend counts it where it happens."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

OUT_OF_MEMORY = "OutOfMemory"
"""The reason of a launch with more memory."""


@dataclass
class Tally:
    """The counts of one execution. Times in seconds, sizes in bytes.

    ``launches`` counts pods and processes: ``new`` ones, and ``idle`` ones that had waited for a task. ``relaunches``
    counts the launches that followed in the same execution, by reason. ``adoptions`` are pods that an earlier worker
    left. ``starts`` holds the time of each start: from a node taking the pod to its container running, or from looking
    for an idle pod to its having the call. ``requests`` are those to the API server; ``call_bytes`` is the size of the
    call as it travels.
    """

    launches: Counter[str] = field(default_factory=Counter)
    relaunches: Counter[str] = field(default_factory=Counter)
    adoptions: int = 0
    waited_seconds: float = 0.0
    starts: list[float] = field(default_factory=list)
    requests: int = 0
    call_bytes: int | None = None

    @property
    def growths(self) -> int:
        """How often it was launched again with more memory."""
        return self.relaunches[OUT_OF_MEMORY]

    @property
    def lost(self) -> int:
        """How often it was launched again for another reason."""
        return self.relaunches.total() - self.growths
