"""What uv answered today, kept for the next plan: by Python, platforms, indexes, and by uv itself."""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from podenv import lock
from podenv.lock import cache
from podenv.plan.demand import Basis, Demand

Verdict = Literal["fits", "clashes", "unknown"]
FORMAT = 2
_KEPT_SECONDS = 7 * 86_400.0  # that the answers of a basis stay on disk
_NOT_DECISIVE = ("UV_CACHE_DIR", "UV_OFFLINE", "UV_HTTP_TIMEOUT", "UV_HTTP_RETRIES", "UV_CONCURRENT_DOWNLOADS")


@dataclass(frozen=True)
class Answer:
    """Whether one lock can satisfy a demand.

    ``pins`` are its entries, like ``numpy==1.26.4``, where it fits; ``words`` are uv's where it does not; where it is
    unknown they say why. ``is_online``: the index was asked, not uv's cache of it alone.
    """

    verdict: Verdict
    pins: tuple[str, ...] = ()
    words: str = ""
    is_online: bool = False


@dataclass
class Memory:
    """The answers for one basis. More than a demand that clashes clashes too, less than one that fits fits too."""

    file: Path | None = None
    answers: dict[Demand, Answer] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)  # pins, one a line -> bytes of their wheels

    def find(self, demand: Demand) -> Answer | None:
        """What is known of ``demand``, by itself or through others; without pins where it follows from others."""
        if demand in self.answers:
            return self.answers[demand]
        for other, answer in self.answers.items():
            if other.from_source != demand.from_source:
                continue
            if answer.verdict == "clashes" and other.whole <= demand.whole:
                return answer
            if answer.verdict == "fits" and demand.whole <= other.whole:
                return replace(answer, pins=())
        return None

    def keep(self, demand: Demand, answer: Answer) -> None:
        """Remember an answer; one that contradicts what followed from an older one takes its place, no answer never."""
        if answer.verdict == "unknown" and demand in self.answers:
            return
        if answer.is_online:
            self.answers = {
                one: known for one, known in self.answers.items() if not _contradicts(demand, answer, one, known)
            }
        self.answers[demand] = answer

    def save(self) -> None:
        """Write it down for the next plan of today, where that can be written."""
        if self.file is None:
            return
        kept = [
            {"lines": sorted(demand.lines), "limits": sorted(demand.limits), "source": sorted(demand.from_source),
             **asdict(answer)}
            for demand, answer in self.answers.items() if answer.verdict != "unknown"
        ]  # fmt: skip
        with suppress(OSError):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            beside = self.file.with_name(f".{self.file.name}.{os.getpid()}")
            beside.write_text(json.dumps({"format": FORMAT, "day": _today(), "answers": kept, "sizes": self.sizes}))
            beside.replace(self.file)
            for other in self.file.parent.iterdir():
                if time.time() - other.stat().st_mtime > _KEPT_SECONDS:
                    other.unlink()


def load(basis: Basis) -> Memory:
    """What uv has answered today for this basis, with the settings of uv that are in force."""
    decisive = {key: one for key, one in os.environ.items() if key.startswith("UV_") and key not in _NOT_DECISIVE}
    key = json.dumps([FORMAT, _uv(), basis, sorted(decisive.items())])
    file = cache.folder() / "plan" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
    memory = Memory(file)
    with suppress(OSError, ValueError, KeyError, TypeError):
        stored = json.loads(file.read_text())
        if stored["format"] == FORMAT and stored["day"] == _today():
            memory.sizes.update(stored["sizes"])
            for one in stored["answers"]:
                demand = Demand(frozenset(one["lines"]), frozenset(one["limits"]), frozenset(one["source"]))
                memory.answers[demand] = Answer(one["verdict"], tuple(one["pins"]), one["words"], one["is_online"])
    return memory


def _contradicts(demand: Demand, answer: Answer, other: Demand, known: Answer) -> bool:
    if other.from_source != demand.from_source or {answer.verdict, known.verdict} != {"fits", "clashes"}:
        return False
    return other.whole <= demand.whole if answer.verdict == "fits" else demand.whole <= other.whole


def _uv() -> str:
    """Which uv answers: another one may answer otherwise."""
    program = lock.uv()
    try:
        return f"{program} {program.stat().st_mtime_ns}"
    except OSError:
        return str(program)


def _today() -> str:
    return datetime.now(UTC).date().isoformat()
