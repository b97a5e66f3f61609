"""A result inside a log: numbered, checksummed lines that the reader of the log never sees.

One line is shorter than 4,096 bytes, so that one write of it is atomic on a pipe and no container runtime splits it:

    @@podenv <token> <sha256 of the payload> <number>/<count> <base64>
"""

from __future__ import annotations

import binascii
import errno
import os

from .call import Result
from .tagged import Refused

# hashlib loads OpenSSL, which costs each task 3 ms; these are its own ways without.
try:
    from _sha2 import sha256 as sha256  # type: ignore[import-not-found]  # 3.12 and newer
except ImportError:
    try:
        from _sha256 import sha256 as sha256  # type: ignore[import-not-found]
    except ImportError:
        from hashlib import sha256 as sha256

TYPE_CHECKING = False  # typing costs every task milliseconds
if TYPE_CHECKING:
    from collections.abc import Callable

PAYLOAD = 3_900
MAX_LINES = 2_000
MAX_LINE = 64 * 1024
"""Bytes of one log line; a longer one is emitted in pieces."""

_MARKER = b"@@podenv "


def lines(token: str, payload: bytes) -> list[bytes]:
    """The frame's lines, each with its newline."""
    text = binascii.b2a_base64(payload, newline=False)
    count = max(1, -(-len(text) // PAYLOAD))
    head = _MARKER + b"%s %s " % (token.encode("ascii"), sha256(payload).hexdigest().encode("ascii"))
    return [
        head + b"%d/%d %s\n" % (number + 1, count, text[number * PAYLOAD : (number + 1) * PAYLOAD])
        for number in range(count)
    ]


def taken(token: str) -> bytes:
    """The line of an idle pod that says that a whole Call is there; a reader of the log never sees it either."""
    return _MARKER + token.encode("ascii", "replace") + b" taken\n"


def write(fd: int, token: str, payload: bytes) -> None:
    """Write the frame to ``fd``, on a fresh line, one write a line. Raises OSError when nobody reads it."""
    # What was printed last may lack its newline; the reader takes the empty line away.
    _write(fd, b"\n")
    for line in lines(token, payload):
        _write(fd, line)


def _write(fd: int, line: bytes) -> None:
    while line:
        try:
            line = line[os.write(fd, line) :]
        except OSError as error:
            if error.errno != errno.EAGAIN:
                raise
            # The function made the pipe non-blocking, and it is full.
            import select

            poller = select.poll()
            poller.register(fd, select.POLLOUT)
            poller.poll()


class FrameReader:
    """Splits what an environment prints into log lines and the result.

    Every log line goes to ``emit`` once, without its newline, undecodable bytes replaced. ``result`` is from the last
    whole frame that carries ``token``; a frame with another token is a log line like any other.
    """

    def __init__(self, token: str, emit: Callable[[str], None]) -> None:
        self.result: Result | None = None
        self._emit = emit
        self._head = _MARKER + token.encode("ascii") + b" "
        self._tail = b""
        self._blank = False  # an empty line that may belong to the frame
        self._frame: tuple[bytes, int] = (b"", 0)
        self._parts: dict[int, bytes] = {}

    def feed(self, data: bytes) -> None:
        """Take the next bytes, in pieces of any size."""
        end = data.rfind(b"\n")
        if end < 0:
            self._tail += data
        else:
            whole = self._tail + data[:end]
            self._tail = data[end + 1 :]
            for line in whole.split(b"\n"):
                self._line(line)
        if len(self._tail) > MAX_LINE:
            self._tail = self._pieces(self._tail)

    def close(self) -> None:
        """The output has ended: emit what is left."""
        tail, self._tail = self._tail, b""
        if tail:
            self._line(tail)
        self._flush_blank()

    def _flush_blank(self) -> None:
        if self._blank:
            self._blank = False
            self._emit("")

    def _line(self, line: bytes) -> None:
        start = line.find(self._head)
        if start >= 0:
            if start:  # printed by somebody without a newline
                self._log(line[:start])
            self._blank = False
            self._part(line[start + len(self._head) :])
        elif line:
            self._log(line[:-1] if line.endswith(b"\r") else line)
        else:
            self._flush_blank()
            self._blank = True

    def _log(self, line: bytes) -> None:
        self._flush_blank()
        if len(line) > MAX_LINE:
            line = self._pieces(line)
        self._emit(line.decode("utf-8", "replace"))

    def _pieces(self, text: bytes) -> bytes:
        """Emit most of an overlong line; what is left may hold the beginning of a frame."""
        start = text.find(self._head)
        if start == 0:
            return b""  # debris: a frame's line is shorter
        end = start if start > 0 else _boundary(text, len(text) - len(self._head))
        self._flush_blank()
        at = 0
        while at < end:
            cut = end if end - at <= MAX_LINE else _boundary(text, at + MAX_LINE)
            self._emit(text[at:cut].decode("utf-8", "replace"))
            at = cut
        return text[end:]

    def _part(self, line: bytes) -> None:
        fields = line.rstrip(b"\r").split(b" ")
        if len(fields) != 3:
            return
        number, _, count = fields[1].partition(b"/")
        if not (
            number.isdigit() and count.isdigit() and len(count) <= 4 and 0 < int(number) <= int(count) <= MAX_LINES
        ):
            return
        frame = (fields[0], int(count))
        if frame != self._frame:
            self._frame = frame
            self._parts = {}
        self._parts[int(number)] = fields[2][:PAYLOAD]
        if len(self._parts) == frame[1]:
            self._finish(frame[0])

    def _finish(self, digest: bytes) -> None:
        text = b"".join(self._parts[number] for number in sorted(self._parts))
        self._parts = {}
        try:
            payload = binascii.a2b_base64(text)
            if sha256(payload).hexdigest().encode("ascii") == digest:
                self.result = Result.decode(payload)
        except (binascii.Error, Refused):
            pass  # a frame that somebody else wrote into


def _boundary(text: bytes, cut: int) -> int:
    """The last place up to ``cut`` that is not inside a UTF-8 character."""
    for back in range(4):
        if text[cut - back] & 0xC0 != 0x80:
            return cut - back
    return cut
