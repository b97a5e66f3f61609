"""A small API server on this machine, which the real Kubernetes client talks to: pods, watches, logs, and troubles.

`test_fidelity.py` asks it and a real cluster the same questions.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kubernetes.client import ApiClient, Configuration, CoreV1Api
from tests.pods import statuses
from tests.pods.answers import Answers, Request, told
from tests.pods.attaching import PROTOCOL, Attached, accept
from tests.pods.kubelet import Kubelet
from tests.pods.objects import Json, Objects
from tests.pods.statuses import Refusal
from tests.pods.troubles import ConnectionLost, Stream, StreamFinished, Trouble, Troubles

_PATH = re.compile(r"/api/v1/namespaces/([^/]+)/([a-z]+)(?:/([^/]+)(?:/([a-z]+))?)?")


@dataclass(frozen=True)
class Asked:
    """A request as it came: ``line`` is its method, path and query."""

    line: str
    body: Any
    token: str
    time: float


class ApiServer:
    """The server, its objects and its one node. ``tokens``: the credentials that it accepts; None: all.

    ``tls`` holds a certificate: then it speaks HTTPS.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.objects = Objects()
        self.troubles = Troubles()
        self.tokens: set[str] | None = None
        self.requests: list[Asked] = []
        self.closing = threading.Event()
        self.kubelet = Kubelet(self.objects)
        self.answers = Answers(self.objects, self.kubelet, self.closing)
        self._open: set[socket.socket] = set()
        self._http = _Listener(("127.0.0.1", 0), self._handler())
        if tls is not None:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)
        self.port = self._http.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        """End what the node runs, and every connection."""
        self.closing.set()
        self.kubelet.close()
        with self.objects.changed:
            self.objects.changed.notify_all()
        self._http.shutdown()
        self._thread.join()
        self.cut()
        self._http.server_close()  # waits for its threads
        assert self._http.failures == []  # mistakes of this server, not of those who ask it

    def core(self, token: str = "t") -> CoreV1Api:
        """A client with these credentials."""
        configuration = Configuration()
        configuration.host = self.url
        configuration.api_key = {"authorization": token}
        configuration.api_key_prefix = {"authorization": "Bearer"}
        configuration.retries = False
        return CoreV1Api(ApiClient(configuration))

    def trouble(self, when: str, *, times: int = 1, skip: int = 0, **fields: Any) -> None:
        """Plan a `Trouble` with these fields; the rest as in `Troubles.add`."""
        self.troubles.add(when, Trouble(**fields), times=times, skip=skip)

    def asked(self, when: str) -> list[Asked]:
        """The requests so far that match the regular expression."""
        return [asked for asked in self.requests if re.search(when, asked.line)]

    def pods(self, namespace: str = "s") -> list[Json]:
        """The pods of a namespace, by name."""
        return self.objects.chosen("pods", namespace)

    def cut(self) -> None:
        """Break every connection, as a restart of the server does."""
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(_Handler):
            server_of = api

            def setup(self) -> None:
                super().setup()
                api._open.add(self.connection)

            def finish(self) -> None:
                api._open.discard(self.connection)
                with suppress(OSError):
                    super().finish()

        return Handler

    def authenticate(self, token: str) -> None:
        """Raises `Refusal`."""
        if self.tokens is not None and token not in self.tokens:
            raise statuses.unauthorized()


class _Listener(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self.failures: list[BaseException | None] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away does not count."""
        error = sys.exception()
        if not isinstance(error, OSError):
            self.failures.append(error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_of: ApiServer

    def handle(self) -> None:
        with suppress(ConnectionError, ssl.SSLError):
            super().handle()

    def _any(self) -> None:
        api, line = self.server_of, f"{self.command} {self.path}"
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        token = (self.headers.get("Authorization") or "").rpartition(" ")[2]
        body = json.loads(raw) if raw else {}
        api.requests.append(Asked(line, body, token, time.monotonic()))
        trouble, self._streamed = api.troubles.take(line), False
        try:
            self._troubled(trouble, token, body)
        except ConnectionLost:
            self.close_connection = True
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
        except Refusal as refused:
            text = refused.body if isinstance(refused.body, str) else json.dumps(refused.body)
            kind = {"Content-Type": "application/json"} if not isinstance(refused.body, str) else {}
            self._send(refused.status, text.encode(), {**kind, **refused.headers})
        if trouble.after is not None and not self._streamed:
            trouble.after()

    do_GET = do_POST = do_DELETE = do_PATCH = _any

    def _troubled(self, trouble: Trouble, token: str, body: Json) -> None:
        if trouble.before is not None:
            trouble.before()
        self.server_of.closing.wait(trouble.delay)
        if trouble.drop:
            raise ConnectionLost
        if trouble.refuse is not None:
            raise trouble.refuse
        self.server_of.authenticate(token)
        address = urlsplit(self.path)
        match = _PATH.fullmatch(address.path)
        if match is None or match[2] not in statuses.KINDS:
            raise Refusal(404, "404 page not found\n", {"Content-Type": "text/plain"})
        if match[4] == "attach" and self.headers.get("Upgrade") == "websocket":
            self._attach(trouble, match[1], match[3])
        query = {name: values[-1] for name, values in parse_qs(address.query).items()}
        namespace, resource, name, below = match.groups(default="")
        answer = self.server_of.answers.of(Request(self.command, namespace, resource, name, below, query, body))
        if trouble.lose_answer:
            raise ConnectionLost
        if trouble.error is not None:
            answer = iter([told("ERROR", trouble.error.body)])
        if trouble.say is not None:
            answer = iter([trouble.say])
        if isinstance(answer, tuple):
            status, item = answer
            self._send(status, json.dumps(item).encode() if item else b"", {"Content-Type": "application/json"})
        else:
            self._stream(answer, trouble, "text/plain" if below == "log" else "application/json")

    def _attach(self, trouble: Trouble, namespace: str, name: str) -> None:
        pod = self.server_of.kubelet.pod(name, namespace)
        self.send_response(101)
        for header, value in (
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Accept", accept(self.headers["Sec-WebSocket-Key"])),
            ("Sec-WebSocket-Protocol", PROTOCOL),
        ):
            self.send_header(header, value)
        self.end_headers()
        Attached(pod, self.rfile, self.wfile.write).serve(cut=trouble.cut, deaf=trouble.silence is not None)
        raise ConnectionLost

    def _send(self, status: int, body: bytes, headers: Any) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, chunks: Iterator[bytes], trouble: Trouble, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        stream = Stream(self.wfile.write, trouble, self.server_of.closing)
        with suppress(StreamFinished):
            stream.send(b"")
            for chunk in chunks:
                if self.server_of.closing.is_set():
                    raise ConnectionLost
                stream.send(chunk)
                if chunk and not self._streamed:
                    self._streamed = True
                    if trouble.after is not None:
                        trouble.after()
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
