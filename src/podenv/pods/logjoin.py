"""One container's log, read by several streams, as one text without repeats."""

from __future__ import annotations

import re
from collections.abc import Callable

# The kubelet cuts an entry of a container's log here; up to Kubernetes 1.20 it puts a timestamp at each cut.
LOG_ENTRY_BYTES = 16_384
_STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ")
_STAMP_BYTES = 36  # of the longest timestamp, with its blank
_HELD_LINE_BYTES = 256 * 1024  # of a line without its end that are held back

Stamp = tuple[bytes, bytes]


class LogJoiner:
    """Takes the timestamped bytes of each stream and hands on every line once, in order.

    A stream that was cut is followed by one that begins at a whole second at or before the last line (the API knows no
    finer time), so some lines come twice: they are told by timestamp and by how many lines carried it. A line whose end
    has not come yet is held back, because the next stream brings it whole.

    ``feed`` gets bytes without timestamps; ``gap`` is called where the log was rotated away between two streams.
    """

    def __init__(self, feed: Callable[[bytes], None], gap: Callable[[], None]) -> None:
        self.lines = 0
        self._feed = feed
        self._gap = gap
        self._last: Stamp | None = None
        self._zone = b"Z"
        self._count = 0  # lines handed on that carry the last stamp
        self._open: tuple[Stamp, int] | None = None  # a line of which a part was handed on, and how many bytes
        self._begin()

    def since(self) -> str | None:
        """Where the next stream must begin, as the API's ``sinceTime``; None at the log's beginning."""
        last = self._open[0] if self._open else self._last
        return (last[0] + self._zone).decode() if last else None

    def begin(self) -> None:
        """A stream begins, from `since`."""
        if self._stamp is not None and self._handed:
            self._open = (self._stamp, self._handed)
        self._begin()

    def _begin(self) -> None:
        self._buffer = b""
        self._stamp: Stamp | None = None  # of the line that is being read; None at a line's beginning
        self._line = bytearray()  # its content that was not handed on yet
        self._handed = 0  # bytes of its content that were
        self._skip = 0  # bytes of its content that an earlier stream brought
        self._entry = 0  # bytes since the last timestamp within it
        self._repeats = self._last is not None
        self._seen = 0  # lines of this stream that carry the last stamp

    def take(self, data: bytes) -> None:
        """Take the next bytes of the stream, in pieces of any size."""
        self._buffer += data
        while self._buffer and (self._take_stamp() if self._stamp is None else self._take_content()):
            pass

    def end(self) -> None:
        """The log is over: what lacks its newline is a line too."""
        if self._buffer and self._stamp is None:
            self._stamp = self._last or (b"", b"")
        self._line += self._buffer
        self._buffer = b""
        if self._stamp is not None and (self._line or self._handed):
            self._finish()

    def _take_stamp(self) -> bool:
        match = _STAMP.match(self._buffer)
        if match is None:
            if len(self._buffer) < _STAMP_BYTES and b"\n" not in self._buffer:
                return False
            self._stamp = self._last or (b"", b"")  # the kubelet's own words, such as an error: no timestamp
        else:
            self._stamp = (match[1], (match[2] or b"").ljust(9, b"0"))
            self._zone = match[3]
            self._buffer = self._buffer[match.end() :]
        self._entry = 0
        self._skip = self._open[1] if self._open and self._open[0] == self._stamp and not self._is_repeat() else 0
        return True

    def _take_content(self) -> bool:
        end = self._buffer.find(b"\n", 0, LOG_ENTRY_BYTES - self._entry + 1)
        if end >= 0:
            self._line += self._buffer[:end]
            self._buffer = self._buffer[end + 1 :]
            self._finish()
            return True
        room = LOG_ENTRY_BYTES - self._entry
        if len(self._buffer) < room + _STAMP_BYTES and b"\n" not in self._buffer[room:]:
            size = min(len(self._buffer), room)
            more = False
        else:
            size = room
            more = True
        self._line += self._buffer[:size]
        self._buffer = self._buffer[size:]
        self._entry += size
        if more:
            match = _STAMP.match(self._buffer)
            self._buffer = self._buffer[match.end() :] if match else self._buffer
            self._entry = 0
        if len(self._line) > _HELD_LINE_BYTES:
            self._hand_on_piece()
        return more

    def _is_repeat(self) -> bool:
        if not self._repeats or self._stamp is None or self._last is None:
            return False
        return self._stamp < self._last or (self._stamp == self._last and self._seen < self._count)

    def _hand_on_piece(self) -> None:
        piece = bytes(self._line[self._skip :])
        self._handed += len(self._line)
        self._skip = max(0, self._skip - len(self._line))
        self._line.clear()
        if not self._is_repeat():
            self._cross()
            self._feed(piece)

    def _finish(self) -> None:
        stamp, content = self._stamp, bytes(self._line[self._skip :])
        assert stamp is not None
        repeat = self._is_repeat()
        if stamp == self._last:
            self._seen += 1
        self._stamp, self._handed, self._skip = None, 0, 0
        self._line.clear()
        if repeat:
            return
        self._stamp = stamp
        self._cross()
        self._stamp = None
        self._open = None
        self._count = self._count + 1 if stamp == self._last else 1
        self._last = stamp
        self.lines += 1
        self._feed(content + b"\n")

    def _cross(self) -> None:
        """The first line that is new in this stream: everything before it must have been seen, or it is gone."""
        if not self._repeats:
            return
        self._repeats = False
        lost_open = self._open is not None and self._open[0] != self._stamp
        if lost_open:
            self._open = None
            self._feed(b"\n")
        if lost_open or self._seen < self._count:
            self._gap()
