"""The server's side of ``pods/attach``: a WebSocket (RFC 6455) between a client and the process of a pod."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from io import BufferedIOBase

from tests.pods.nodepod import NodePod

PROTOCOL = "v4.channel.k8s.io"
_STDIN, _STDOUT, _ERROR = 0, 1, 3
_CLOSE = 8


def accept(key: str) -> str:
    """What answers a client's key."""
    return base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()


class Attached:
    """One client; ``cut``: bytes of its input after which the connection breaks, ``deaf``: it hears nothing."""

    def __init__(self, pod: NodePod, reader: BufferedIOBase, write: Callable[[bytes], object]) -> None:
        self._pod = pod
        self._reader = reader
        self._write = write
        self._lock = threading.Lock()

    def serve(self, *, cut: int | None = None, deaf: bool = False) -> None:
        """Until the client goes, or the process ends."""
        if not deaf:
            self._pod.listeners.append(self._hear)
        came = 0
        try:
            while (message := self._frame()) is not None:
                if message[0] == _STDIN:
                    data = message[1:] if cut is None else message[1 : 1 + max(0, cut - came)]
                    came += len(data)
                    self._pod.feed(data)
                if cut is not None and came >= cut:
                    return
        finally:
            with suppress(ValueError):
                self._pod.listeners.remove(self._hear)
            self._pod.feed(None)  # stdinOnce

    def _hear(self, data: bytes | None) -> None:
        with suppress(OSError):
            if data is None:
                self._send(2, bytes([_ERROR]) + json.dumps({"metadata": {}, "status": "Success"}).encode())
                self._send(_CLOSE, struct.pack("!H", 1000))
            else:
                self._send(2, bytes([_STDOUT]) + data)

    def _send(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        short, middle = bytes([size & 127]), struct.pack("!BH", 126, size & 65_535)
        length = short if size < 126 else middle if size < 65_536 else struct.pack("!BQ", 127, size)
        with self._lock:
            self._write(bytes([0x80 | opcode]) + length + payload)

    def _frame(self) -> bytes | None:
        """The next message; None once the client closes."""
        head = self._reader.read(2)
        if len(head) < 2 or head[0] & 15 == _CLOSE:
            return None
        size = head[1] & 127
        if size > 125:
            size = int.from_bytes(self._reader.read(2 if size == 126 else 8), "big")
        mask = self._reader.read(4)
        data = self._reader.read(size)
        if len(data) < size:
            return None
        whole = int.from_bytes(data, "big") ^ int.from_bytes((mask * (size // 4 + 1))[:size], "big")
        return whole.to_bytes(size, "big")
