"""A container's log as a node holds it: entries with the time at which each was written."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo

LOG_ENTRY_BYTES = 16_384  # bytes after which the container runtime cuts a line


class ContainerLog:
    """Bytes with times; a line that was cut is several entries, of which only the last ends with a newline."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.stamps_each_entry = True  # as Kubernetes up to 1.20; newer ones stamp the beginning of a line only
        self.zone: tzinfo = UTC  # the node's
        self._entries: list[tuple[int, bytes]] = []  # nanoseconds since 1970, content
        self._rotated = 0  # entries that the node no longer holds
        self._ended = False

    def write(self, text: str | bytes, at: float | None = None) -> None:
        """Add whole lines, or the beginning of one; ``at``: seconds since 1970."""
        data = text.encode() if isinstance(text, str) else text
        with self.changed:
            moment = time.time_ns() if at is None else round(at * 1e9)
            for line in data.splitlines(keepends=True):
                pieces = [line[start : start + LOG_ENTRY_BYTES] for start in range(0, len(line), LOG_ENTRY_BYTES)]
                if len(pieces) > 1 and pieces[-1] == b"\n":
                    pieces[-2:] = [pieces[-2] + b"\n"]
                self._entries += [(moment, piece) for piece in pieces]
            self.changed.notify_all()

    def end(self) -> None:
        """Nothing more will be written."""
        with self.changed:
            self._ended = True
            self.changed.notify_all()

    def rotate(self, *, keep: int) -> None:
        """Hold no more than the last ``keep`` entries."""
        with self.changed:
            self._rotated = max(self._rotated, len(self._entries) - keep)

    def read(
        self, *, since: datetime | None = None, tail: int | None = None, stamps: bool = False, follow: bool = False
    ) -> Iterator[bytes]:
        """The entries as the kubelet sends them; while ``follow``, b"" comes now and then until more was written."""
        with self.changed:
            first = self._rotated
            if tail is not None:
                first = max(first, len(self._entries) - tail)
        at, start_ns = first, int(since.timestamp()) * 10**9 if since else 0
        within = False
        while True:
            with self.changed:
                if follow and at >= len(self._entries) and not self._ended:
                    self.changed.wait(0.1)
                at = max(at, self._rotated)
                entries, ended = self._entries[at:], self._ended
                at += len(entries)
            for moment, content in entries:
                if moment >= start_ns:
                    stamped = stamps and (self.stamps_each_entry or not within)
                    yield (nanoseconds(moment, self.zone).encode() + b" " if stamped else b"") + content
                within = not content.endswith(b"\n")
            if not follow or (ended and not entries):
                return
            yield b""


def nanoseconds(moment: int, zone: tzinfo = UTC) -> str:
    """A log's time: RFC 3339 with nine digits."""
    seconds, rest = divmod(moment, 10**9)
    text = datetime.fromtimestamp(seconds, zone).isoformat()
    return f"{text[:19]}.{rest:09d}{text[19:].replace('+00:00', 'Z')}"


def parse_time(text: str) -> datetime:
    """``sinceTime`` of a request; a part of a second is lost, as on a real server. Raises ValueError."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)", text)
    if match is None:
        raise ValueError(f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00": cannot parse "{text}" as "2006"')
    return datetime.fromisoformat(match[1] + match[3].replace("Z", "+00:00"))
