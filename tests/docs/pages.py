"""The pages that people read, and the pieces of code in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).resolve().parents[2]
WRITTEN = ROOT / "docs" / "reference"  # by scripts/reference
PAGES = sorted(file for file in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")] if WRITTEN not in file.parents)
_FENCE = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Snippet:
    """A piece of code; ``kind`` is the word after its language (``dag``, ``values``, ``defaults``), or empty."""

    page: str
    line: int
    language: str
    kind: str
    text: str
    before: str  # the line of prose above it

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Command:
    """What a page has people type, without its comment, and what the page says it shows."""

    page: str
    text: str
    shown: list[str]


def snippets(language: str, kind: str | None = None) -> list[Snippet]:
    """The pieces of code of all pages in ``language``."""
    return [
        one for page in PAGES for one in on(page) if one.language == language and (kind is None or one.kind == kind)
    ]


def on(page: Path, text: str | None = None) -> Iterator[Snippet]:
    """The pieces of code of ``page``, or of that part of its text."""
    text = page.read_text(encoding="utf-8") if text is None else text
    for found in _FENCE.finditer(text):
        language, _, kind = found[2].partition(" ")
        line = text.count("\n", 0, found.start()) + 2
        prose = text[: found.start()].rstrip().rpartition("\n")[2]
        yield Snippet(str(page.relative_to(ROOT)), line, language, kind, dedent(found[3]), prose)


def commands(snippet: Snippet) -> Iterator[Command]:
    """The lines of ``snippet`` that begin with a prompt, whatever its language."""
    for block in re.split(r"^\$ ", snippet.text.replace("\\\n", " "), flags=re.MULTILINE)[1:]:
        line, *shown = block.splitlines()
        yield Command(snippet.page, " ".join(re.split(r" {2,}# ", line)[0].split()), shown)


def asked() -> list[Command]:
    """The commands of all pages."""
    return [one for page in PAGES for snippet in on(page) for one in commands(snippet)]


def without_code(page: Path) -> str:
    """The prose of ``page``."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))
