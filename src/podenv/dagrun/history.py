"""What tasks used in the runs of `podenv run` on this machine, which `podenv sizes` reads."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from podenv.lock import cache
from podenv.usage.runs import Run

MAX_BYTES = 8 * 2**20  # of a project's history: some 15,000 runs of tasks; the older half is left out beyond it


def add(catalogue: Path, dag: str, task: str, record: Mapping[str, Any]) -> None:
    """Keep the record of a run (see `podenv.usage.record`) of a task of the project with this catalogue.

    A cache that cannot be written costs knowledge, nothing else.
    """
    line = json.dumps({"dag": dag, "task": task, "usage": record}, separators=(",", ":")) + "\n"
    file = _file(catalogue)
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as history:
            history.write(line)
        if file.stat().st_size > MAX_BYTES:
            _halve(file)


def runs(catalogue: Path, dag: str | None, begin: datetime) -> Iterator[Run]:
    """The runs of tasks since ``begin``, of one DAG or of all, the oldest first; what cannot be read is left out."""
    with suppress(OSError), _file(catalogue).open("rb") as history:
        for line in history:
            try:
                kept = json.loads(line)
                run = Run.of(kept["dag"], kept["task"], kept["usage"])
            except (ValueError, TypeError, KeyError, AttributeError):  # cut by an end of the machine
                continue
            if run is not None and dag in (None, run.dag) and run.started is not None and run.started >= begin:
                yield run


def _halve(file: Path) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    beside.write_bytes(b"".join(lines[len(lines) // 2 :]))
    beside.replace(file)


def _file(catalogue: Path) -> Path:
    return cache.folder() / "usage" / f"{sha256(str(catalogue.resolve()).encode()).hexdigest()[:32]}.jsonl"
