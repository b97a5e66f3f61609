"""What imports take is remembered by lock, and nothing else is believed."""

from __future__ import annotations

from pathlib import Path

import pytest

from podenv.local import imports

LOCK = "a" * 64


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PODENV_CACHE", str(tmp_path))


def test_what_was_measured_is_known_for_its_lock_alone() -> None:
    imports.remember(LOCK, {("d", "one"): 100})
    imports.remember(LOCK, {("d", "two"): 200})
    assert [imports.taken(LOCK, "d", task) for task in ("one", "two", "three")] == [100, 200, 0]
    assert imports.taken("b" * 64, "d", "one") == 0


@pytest.mark.parametrize("content", ["", "[]", "{", '{"d/one": "much"}'])
def test_a_file_that_holds_something_else_tells_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "imports").mkdir()
    (tmp_path / "imports" / f"{LOCK[:32]}.json").write_text(content)
    assert imports.taken(LOCK, "d", "one") == 0
    imports.remember(LOCK, {("d", "one"): 5})
    assert imports.taken(LOCK, "d", "one") == 5


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "imports").write_text("a file")
    imports.remember(LOCK, {("d", "one"): 100})
    assert imports.taken(LOCK, "d", "one") == 0
