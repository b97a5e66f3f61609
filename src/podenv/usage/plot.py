"""What tasks used against their limits, drawn: a row for each task, memory and CPU beside each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from podenv.errors import SettingError
from podenv.usage.runs import Spread, TaskSizes
from podenv.usage.text import cores_text, size_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".svg", ".png")
MOST_TASKS = 80  # on one page; those that waste most
_ROW_INCHES, _HEAD_INCHES, _WIDTH_INCHES = 0.5, 1.7, 11.0
_DPI = 200
_INK, _FAINT, _TRACK = "#1f2933", "#667380", "#e4e9ee"
_MEMORY, _CPU, _OVER = ("#9cc4e4", "#2f6ea3"), ("#a9d6b8", "#2c7a4b"), "#c2410c"  # to the 95th percentile, the middle
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans", "font.size": 10, "svg.fonttype": "path", "svg.hashsalt": "podenv",
}  # fmt: skip
_MOST_SHARE = 1.25  # of a limit that a row shows


def check(file: Path) -> None:
    """Raise `SettingError` where ``file`` cannot be drawn: an unknown suffix, or no matplotlib."""
    if file.suffix.lower() not in SUFFIXES:
        raise SettingError(f"{file} is not a picture that podenv draws; let its name end with {' or '.join(SUFFIXES)}.")
    if find_spec("matplotlib") is None:
        raise SettingError(
            "--plot needs matplotlib, which is not installed; install it with `pip install 'podenv[plot]'`."
        )


def draw(tasks: Sequence[TaskSizes], file: Path, *, title: str) -> None:
    """Draw the ``tasks`` that were measured into ``file``, as SVG or PNG by its suffix. Raises `SettingError`."""
    check(file)
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    measured = [one for one in tasks if one.memory or one.cpu]
    shown = sorted(sorted(measured, key=lambda one: -one.wasted_gib_hours)[:MOST_TASKS], key=lambda o: (o.dag, o.task))
    if len(shown) < len(measured):
        title += f" · the {len(shown)} of {len(measured)} tasks that waste most"
    with rc_context(_STYLE):
        rows = max(len(shown), 1)
        height = _HEAD_INCHES + rows * _ROW_INCHES
        figure = Figure((_WIDTH_INCHES, height))
        (FigureCanvasSVG if file.suffix.lower() == ".svg" else FigureCanvasAgg)(figure)
        memory, cpu = figure.subplots(1, 2, sharey=True)
        figure.subplots_adjust(left=0.21, right=0.985, wspace=0.06, top=1 - 0.95 / height, bottom=0.72 / height)
        _panel(memory, "Memory", [_memory(one) for one in shown], _MEMORY)
        _panel(cpu, "CPU", [_cpu(one) for one in shown], _CPU)
        memory.set_yticks(range(len(shown)), ["" for _ in shown])
        for row, one in enumerate(shown):
            across = memory.get_yaxis_transform()
            name = _short(one.task)
            memory.text(-0.03, row - 0.13, name, transform=across, ha="right", va="center", color=_INK, weight="bold")
            below = f"{_short(one.dag)} · {one.runs} run{'s' * (one.runs != 1)}"
            memory.text(-0.03, row + 0.2, below, transform=across, ha="right", va="center", color=_FAINT, size=8)
        figure.text(0.012, 1 - 0.3 / height, title, size=13, weight="bold", color=_INK, va="center")
        _legend(figure, height)
        metadata: dict[str, Any] = {"Date": None} if file.suffix.lower() == ".svg" else {}
        try:
            figure.savefig(file, dpi=_DPI, facecolor="white", metadata=metadata)
        except OSError as error:
            raise SettingError(f"{file} cannot be written: {error.strerror}; name another file.") from None


@dataclass(frozen=True)
class _Row:
    """One bar: a spread against a limit, with the words beside it."""

    spread: Spread | None
    limit: float | None
    proposed: float | None
    proposed_text: str
    words: str


def _memory(one: TaskSizes) -> _Row:
    words = _words(one.memory, one.memory_limit, size_text)
    return _Row(one.memory, one.memory_limit, one.proposed_memory_bytes, one.proposed_memory or "", words)


def _cpu(one: TaskSizes) -> _Row:
    words = _words(one.cpu, one.cpu_limit, cores_text)
    return _Row(one.cpu, one.cpu_limit, one.proposed_cpu_cores, one.proposed_cpu or "", words)


def _words(spread: Spread | None, limit: float | None, text: Callable[[float], str]) -> str:
    if spread is None:
        return "not measured"
    return f"{text(spread.p95)} of {text(limit)}" if limit else f"{text(spread.p95)}, no limit"


def _panel(axes: Axes, name: str, rows: Sequence[_Row], colours: tuple[str, str]) -> None:
    pale, strong = colours
    for number, row in enumerate(rows):
        whole = row.limit or (row.spread.max if row.spread else 1.0) or 1.0
        if row.limit:
            axes.barh(number, 1.0, height=0.44, color=_TRACK, edgecolor="#9aa5b1", linewidth=0.7, zorder=1)
        if (spread := row.spread) is not None:
            middle, high, most = (min(value / whole, _MOST_SHARE) for value in (spread.p50, spread.p95, spread.max))
            axes.barh(number, high, height=0.44, color=pale, zorder=2)
            axes.barh(number, middle, height=0.44, color=strong, zorder=3)
            colour = _OVER if row.limit and spread.max >= row.limit * 0.999 else _INK
            axes.plot([most, most], [number - 0.27, number + 0.27], color=colour, linewidth=1.8, zorder=5)
        if row.proposed is not None:
            at = min(row.proposed / whole, _MOST_SHARE)
            axes.plot(at, number - 0.33, marker="v", markersize=6.5, color=_INK, zorder=6, clip_on=False, linestyle="")
        axes.text(1.3, number - 0.13, row.words, va="center", size=8.5, color=_INK)
        if row.proposed_text:
            axes.text(1.3, number + 0.2, f"proposed {row.proposed_text}", va="center", size=8, color=_FAINT)
    axes.set_xlim(0, 2.0)
    axes.set_ylim(len(rows) - 0.35, -0.65)
    ticks = (0, 0.25, 0.5, 0.75, 1.0)
    axes.set_xticks(ticks, [f"{share:.0%}" for share in ticks], size=8.5, color=_FAINT)
    axes.vlines(ticks, -0.65, len(rows) - 0.35, color="#d5dbe1", linewidth=0.6, zorder=0)
    axes.set_title(f"{name}, as a share of the limit", size=10.5, color=_INK, loc="left", pad=8)
    axes.tick_params(length=0)
    for side in ("top", "right", "bottom", "left"):
        axes.spines[side].set_visible(False)


def _legend(figure: Any, height: float) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    marks = [
        Patch(facecolor=_MEMORY[1], label="half of the runs"),
        Patch(facecolor=_MEMORY[0], label="95 % of the runs (in words)"),
        Line2D([], [], color=_INK, marker="|", markersize=11, markeredgewidth=1.8, linestyle="", label="highest"),
        Line2D(
            [],
            [],
            color=_OVER,
            marker="|",
            markersize=11,
            markeredgewidth=1.8,
            linestyle="",
            label="highest, at limit",
        ),
        Patch(facecolor=_TRACK, edgecolor="#9aa5b1", label="limit"),
        Line2D([], [], color=_INK, marker="v", markersize=6.5, linestyle="", label="proposed limit"),
    ]
    figure.legend(
        handles=marks, loc="lower left", bbox_to_anchor=(0.005, 0.06 / height), ncols=len(marks), frameon=False,
        fontsize=8.5, labelcolor=_INK, handlelength=1.4, columnspacing=1.8,
    )  # fmt: skip


def _short(name: str) -> str:
    return name if len(name) <= 22 else f"{name[:10]}…{name[-11:]}"
