"""Ask the components how they are: plain requests with the administrator's certificate."""

import http.client
import json
import socket
import ssl
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Asker:
    """Asks over TLS as `user`, a pair of files in `certificates`; their ca.crt must have signed the server's."""

    certificates: Path
    user: str = "admin"

    @cached_property
    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.certificates / "ca.crt"))
        pair = (self.certificates / f"{self.user}.{kind}" for kind in ("crt", "key"))
        context.load_cert_chain(*map(str, pair))
        return context

    def status(self, host: str, port: int, path: str) -> int:
        """The HTTP status of a GET; 0 without an answer or with a wrong certificate."""
        return self._get(host, port, path)[0]

    def document(self, host: str, port: int, path: str) -> dict[str, Any] | None:
        """The JSON object that a GET returns; None unless the answer is 200."""
        status, body = self._get(host, port, path)
        return json.loads(body) if status == 200 else None

    def _get(self, host: str, port: int, path: str) -> tuple[int, bytes]:
        try:
            connection = http.client.HTTPSConnection(host, port, timeout=3, context=self._context)
        except (OSError, ssl.SSLError):
            return 0, b""
        return _ask(connection, path)


def plain_status(host: str, port: int, path: str) -> int:
    """The HTTP status of a GET without TLS; 0 without an answer."""
    return _ask(http.client.HTTPConnection(host, port, timeout=3), path)[0]


def accepts(host: str, port: int) -> bool:
    """True if a program listens on the TCP port."""
    with socket.socket() as connection:
        connection.settimeout(3)
        return connection.connect_ex((host, port)) == 0


def _ask(connection: http.client.HTTPConnection, path: str) -> tuple[int, bytes]:
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()
