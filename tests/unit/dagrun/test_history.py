"""What tasks used is kept for each project on this machine, bounded, and read by `podenv sizes`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from podenv.dagrun import history

NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=365)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODENV_CACHE", str(tmp_path / "cache"))


def record(peak: int, started: datetime = NOW) -> dict[str, Any]:
    return {"environment": "etl", "seconds": 1.0, "peak_memory_bytes": peak, "started": started.isoformat()}


def peaks(catalogue: Path, dag: str | None = None, begin: datetime = LONG_AGO) -> list[float | None]:
    return [run.peak for run in history.runs(catalogue, dag, begin)]


def test_runs_are_kept_by_project_and_found_by_dag_and_time(tmp_path: Path) -> None:
    one, other = tmp_path / "one" / "envs", tmp_path / "other" / "envs"
    history.add(one, "daily", "load", record(100, NOW - timedelta(days=3)))
    history.add(one, "weekly", "load", record(200))
    history.add(other, "daily", "load", record(300))
    assert peaks(one) == [100, 200]
    assert peaks(one, "daily") == [100]
    assert peaks(one, begin=NOW - timedelta(days=1)) == [200]
    assert peaks(other) == [300]
    assert peaks(tmp_path / "never") == []


def test_lines_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    history.add(tmp_path, "daily", "load", record(100))
    (file,) = (tmp_path / "cache" / "usage").iterdir()
    with file.open("ab") as kept:
        kept.write(b'{"dag": "daily", "ta\n[]\n{}\n\xff\n{"dag": "d", "task": "t", "usage": {"environment": 3}}\n')
    history.add(tmp_path, "daily", "load", record(200))
    assert peaks(tmp_path) == [100, 200]


def test_the_older_half_goes_where_a_history_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MAX_BYTES", 2_000)
    for peak in range(1, 101):
        history.add(tmp_path, "daily", "load", record(peak))
    kept = peaks(tmp_path)
    assert kept == list(range(101 - len(kept), 101))
    assert 5 < len(kept) < 20


def test_a_cache_that_cannot_be_written_costs_nothing_but_knowledge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PODENV_CACHE", str(tmp_path / "file"))
    history.add(tmp_path, "daily", "load", record(100))
    assert peaks(tmp_path) == []
