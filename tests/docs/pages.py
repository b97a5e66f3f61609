"""The pages that people read, and the pieces of code in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WRITTEN = ROOT / "docs" / "reference"  # by scripts/reference
PAGES = sorted(file for file in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")] if WRITTEN not in file.parents)
_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Snippet:
    """A piece of code; ``kind`` is the word after its language (``dag``, ``values``, ``defaults``), or empty."""

    page: str
    line: int
    language: str
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def snippets(language: str, kind: str | None = None) -> list[Snippet]:
    """The pieces of code of all pages in ``language``."""
    return [
        one for page in PAGES for one in _of(page) if one.language == language and (kind is None or one.kind == kind)
    ]


def _of(page: Path) -> Iterator[Snippet]:
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        language, _, kind = found[1].partition(" ")
        line = text.count("\n", 0, found.start()) + 2
        yield Snippet(str(page.relative_to(ROOT)), line, language, kind, found[2])


def without_code(page: Path) -> str:
    """The prose of ``page``."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))
