"""What a benchmark reports: measured seconds beside a peer's, the ratio, and the ratio that was promised."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parents[2] / "bench-results"


@dataclass(frozen=True)
class Comparison:
    """``ours`` and ``peer`` in ``unit``; ``promised`` is the largest ratio that the project claims."""

    what: str
    peer_name: str
    ours: float
    peer: float
    promised: float
    unit: str = "s"

    @property
    def ratio(self) -> float:
        """Ours divided by the peer's."""
        return self.ours / self.peer

    @property
    def holds(self) -> bool:
        """True if the promise was kept in this run."""
        return self.ratio <= self.promised


def alternate(
    ours: Callable[[], object],
    peer: Callable[[], object],
    *,
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
    of: Callable[[list[float]], float] = median,
) -> tuple[float, float]:
    """Seconds of both, measured in turn so that a busy moment hits both alike; each is warmed once."""
    ours()
    peer()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for function, into in ((ours, times[0]), (peer, times[1])):
            gc.collect()  # what one leaves behind is not collected in the other's time
            began = clock()
            function()
            into.append(clock() - began)
    return of(times[0]), of(times[1])


def show(name: str, comparisons: list[Comparison]) -> bool:
    """Print the table, write ``bench-results/<name>.json``, and say whether every promise was kept."""
    table = Table(title=f"scripts/bench {name}", title_justify="left")
    for column in ("what", "beside", "ours", "peer", "ratio", "at most"):
        table.add_column(column, justify="left" if column in ("what", "beside") else "right")
    for one in comparisons:
        mark = "" if one.holds else "  ✗"
        table.add_row(
            one.what, one.peer_name, f"{one.ours:.3g} {one.unit}", f"{one.peer:.3g} {one.unit}",
            f"{one.ratio:.2f}{mark}", f"{one.promised:.2f}",
        )  # fmt: skip
    Console().print(table)
    RESULTS.mkdir(exist_ok=True)
    rows = [{**asdict(one), "ratio": one.ratio, "holds": one.holds} for one in comparisons]
    file = RESULTS / f"{name}.json"
    file.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    print(f"Written: {file.relative_to(RESULTS.parent)}")
    return all(one.holds for one in comparisons)
