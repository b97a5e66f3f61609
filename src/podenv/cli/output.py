"""What a person or a program sees: tables, JSON, errors, progress."""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from podenv import process
from podenv.errors import NotAgreed, PodenvError

T = TypeVar("T")
Say = Callable[[str], None]
LEAST_TABLE_COLUMNS = 100  # in fewer than a table needs it is not squeezed: the terminal breaks its lines
UNBOUND_COLUMNS = 100_000  # where there is no terminal: nothing is cut or wrapped for a program that reads
PARALLEL_ENVIRONMENTS = 4  # uv itself uses all cores and many connections
STYLES = {
    "fresh": "green", "success": "green", "ready": "green", "created": "green", "locked": "green",
    "stale": "yellow", "missing": "yellow", "skipped": "yellow", "unused": "yellow",
    "installed": "green", "upgraded": "green", "repaired": "green", "deployed": "green", "ok": "green",
    "not deployed": "yellow", "warning": "yellow", "invalid": "red", "failed": "red",
}  # fmt: skip


def open_streams() -> None:
    """Have a stdout and stderr that take every text: a shell may have closed them, a locale may know few letters."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123 - open as long as the process lives
        getattr(sys, name).reconfigure(errors="backslashreplace")


def console(*, stderr: bool = False) -> Console:
    """A console that takes texts as they are: no markup, no guessed colours."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else UNBOUND_COLUMNS
    # The stream itself: while a DAG runs, sys.stderr is where its tasks write.
    return Console(file=stream, width=width, markup=False, highlight=False, emoji=False)


def say(text: str, *, stderr: bool = False) -> None:
    """Print a line."""
    console(stderr=stderr).print(text, soft_wrap=True)


def agree(question: str) -> None:
    """Ask, and end the command unless the answer is yes. Without a terminal to ask on, ``--yes`` is needed."""
    if not sys.stdin.isatty():
        raise NotAgreed(f"{question} There is no terminal to ask on; --yes says so beforehand.")
    typer.confirm(question, abort=True, err=True)


def error(message: str) -> None:
    """Print an error the one way errors look."""
    console(stderr=True).print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)


def text(content: str) -> None:
    """Print ``content`` for a program, as it is."""
    sys.stdout.write(content if content.endswith("\n") or not content else f"{content}\n")


def diff(content: str) -> None:
    """Print a unified diff; on a terminal, what comes is green and what goes is red."""
    if not sys.stdout.isatty():
        text(content)
        return
    styles = {"+++": "bold", "---": "bold", "@@ ": "cyan"}
    for line in content.splitlines():
        style = styles.get(line[:3]) or {"+": "green", "-": "red"}.get(line[:1], "")
        console().print(Text(line, style=style), soft_wrap=True)


def as_json(value: object) -> None:
    """Print ``value`` for a program."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; on a terminal it fits the width where that cuts no word, and words for a state are coloured."""
    rows = [[_one_line(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
        for row in (columns, *rows):
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            sys.stdout.write("   ".join(cells).rstrip() + "\n")
        return
    made = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    needed = 0
    for number, column in enumerate(zip(columns, *rows, strict=True)):
        made.add_column(column[0], overflow="fold", no_wrap=number == 0)
        words = column if number == 0 else " ".join(column).split()
        needed += 3 + max(map(len, words))
    for row in rows:
        made.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    target = console()
    target.width = max(target.width, min(needed, LEAST_TABLE_COLUMNS))
    target.print(made, crop=False)


def _one_line(text: str) -> str:
    """``text`` as a cell, in which there is nothing that a terminal would obey."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in " ".join(text.split()))


def seconds(value: float) -> str:
    """A duration for people."""
    minutes, rest = divmod(value, 60)
    return f"{minutes:.0f} min {rest:.0f} s" if minutes else f"{rest:.1f} s"


def duration(value: float) -> str:
    """The end of a line about something that took a while: `` (2.1 s)``; an empty text below a second."""
    return f" ({seconds(value)})" if value >= 1 else ""


def size(value: float) -> str:
    """An amount of bytes for people."""
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


@contextmanager
def failures() -> Iterator[None]:
    """The one place where what went wrong becomes a line and an exit code."""
    try:
        yield
        sys.stdout.flush()
    except PodenvError as failure:
        error(str(failure))
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        say("Interrupted.", stderr=True)
        raise typer.Exit(130) from None
    except BrokenPipeError:
        # The reader has enough; what is still buffered must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(141) from None
    except OSError as failure:
        if failure.errno not in (errno.ENOSPC, errno.EDQUOT) or failure.filename is not None:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        error(f"The output cannot be written: {failure.strerror}; free some space there.")
        raise typer.Exit(1) from None


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What became of one environment: its ``value``, or the ``error``."""

    name: str
    value: T | None
    error: PodenvError | None
    seconds: float


def side_by_side(
    names: Sequence[str],
    work: Callable[[str, Say], T],
    show: Callable[[Outcome[T]], None],
    *,
    at_once: int = PARALLEL_ENVIRONMENTS,
) -> list[Outcome[T]]:
    """Do ``work`` for all names, several at once, with progress; one that fails stops no other.

    ``work`` gets a name and a function that tells what it does. ``show`` gets each outcome: on a terminal in the order
    of the names when all are done, else as soon as there is one. Returns the outcomes in the order of the names.
    """
    outcomes: dict[str, Outcome[T]] = {}
    with _progress(names) as tell, _threads(at_once) as pool:
        futures = [pool.submit(_attempt, name, work, tell) for name in names]
        try:
            for future in as_completed(futures):
                outcome = future.result()
                outcomes[outcome.name] = outcome
                tell(outcome.name, None)
                if not sys.stderr.isatty():
                    show(outcome)
        except BaseException:
            process.abandon(futures)
            raise
    ordered = [outcomes[name] for name in names]
    if sys.stderr.isatty():
        for outcome in ordered:
            show(outcome)
    return ordered


def _threads(at_once: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(at_once, thread_name_prefix="podenv")


def _attempt(name: str, work: Callable[[str, Say], T], tell: Callable[[str, str | None], None]) -> Outcome[T]:
    began = time.monotonic()
    tell(name, "")
    value, failure = None, None
    try:
        value = work(name, lambda text: tell(name, text))
    except PodenvError as caught:
        failure = caught
    return Outcome(name, value, failure, time.monotonic() - began)


@contextmanager
def _progress(names: Sequence[str]) -> Iterator[Callable[[str, str | None], None]]:
    """A line for each name being worked on, with its time; nothing where there is no terminal.

    The function it yields gets a name and what is being done, or None when that is done.
    """
    if not sys.stderr.isatty():
        yield lambda name, text: None
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[text]}"),
    )
    with Progress(
        *columns, console=console(stderr=True), transient=True, redirect_stdout=False, redirect_stderr=False
    ) as progress:
        bars = {name: progress.add_task(name, start=False, visible=False, total=None, text="") for name in names}

        def tell(name: str, text: str | None) -> None:
            if text == "":
                progress.start_task(bars[name])
            progress.update(bars[name], visible=text is not None, text=text or "", refresh=text == "")

        yield tell


@contextmanager
def waiting(text: str) -> Iterator[tuple[Callable[[str, str], None], Say]]:
    """Something that takes seconds and talks; on a terminal with what is being done and how long all of it has taken.

    Yields a function that prints a line of a task (to stderr), and one that shows what is being done now.
    """
    target = console(stderr=True)

    def print_line(who: str, line: str) -> None:
        target.print(Text.assemble((f"{who} | ", "cyan"), line), soft_wrap=True)

    if not sys.stderr.isatty():
        yield print_line, lambda doing: None
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=target, transient=True, redirect_stdout=False, redirect_stderr=False) as progress:
        bar = progress.add_task(text, total=None)
        yield print_line, lambda doing: progress.update(bar, description=doing)
