"""A store behind signed addresses, over real HTTP: it keeps what is put whole, and fails as a test says."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

SIGNATURE = "f00dfeedf00dfeedf00dfeedf00dfeed"


@dataclass
class Trouble:
    """What happens to one request: an error's ``status`` and ``body``, or what is not None of the others.

    ``early``: it answers before it has read the body. ``cut``: the connection ends after so many bytes of the value.
    ``wait``: seconds before it answers. ``meanwhile`` is called once the request has come, before its body is read.
    """

    status: int = 200
    body: str = ""
    early: bool = False
    cut: int | None = None
    wait: float = 0.0
    meanwhile: Callable[[], object] = bool


@dataclass
class HttpStore:
    """``values`` by path; ``troubles`` are taken in their order, one a request; ``asked`` are the requests."""

    url: str = ""
    values: dict[str, bytes] = field(default_factory=dict)
    troubles: list[Trouble] = field(default_factory=list)
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def address(self, key: str, **headers: str) -> dict[str, Any]:
        return {"url": f"{self.url}/{key}?X-Signature={SIGNATURE}&X-Expires=60", "headers": headers, "key": key}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: HttpStore

    def do_PUT(self) -> None:
        trouble = self._trouble()
        length = int(self.headers["Content-Length"])
        body = b"" if trouble.early else self._body(trouble, length)
        if body is None:
            return
        if trouble.status == 200:
            self.store.values[self._key()] = body
        self._answer(trouble.status, trouble.body.encode())

    def do_GET(self) -> None:
        trouble = self._trouble()
        value = self.store.values.get(self._key())
        if trouble.status != 200:
            self._answer(trouble.status, trouble.body.encode())
        elif value is None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code><Message>The key does not exist.</Message></Error>")
        else:
            self._answer(200, value, trouble.cut)

    def log_message(self, *_: object) -> None:
        pass

    def _trouble(self) -> Trouble:
        self.store.asked.append((self.command, self.path, dict(self.headers)))
        trouble = self.store.troubles.pop(0) if self.store.troubles else Trouble()
        trouble.meanwhile()
        time.sleep(trouble.wait)
        return trouble

    def _key(self) -> str:
        return self.path.partition("?")[0].lstrip("/")

    def _body(self, trouble: Trouble, length: int) -> bytes | None:
        body = self.rfile.read(length if trouble.cut is None else trouble.cut)
        if len(body) == length:
            return body
        self.close_connection = True
        return None

    def _answer(self, status: int, body: bytes, cut: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        self.wfile.write(body if cut is None else body[:cut])


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that went away."""


@contextmanager
def serving(certificate: Path | None = None) -> Iterator[HttpStore]:
    """A store on a free port of this machine, over TLS where there is a ``certificate`` with its key."""
    store = HttpStore()
    handler = type("Handler", (_Handler,), {"store": store})
    server = _Server(("127.0.0.1", 0), handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    store.url = f"http{'s' if certificate else ''}://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
