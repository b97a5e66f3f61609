"""A proxy before the API server that knows HTTP and no WebSocket, as some companies have."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import urllib3

_OF_A_CONNECTION = ("connection", "upgrade", "transfer-encoding", "content-length", "host", "keep-alive")


@contextmanager
def serving(server: str, authority: str) -> Iterator[str]:
    """The address of the proxy; ``authority`` is the file with the certificate of those who signed the server's."""
    pool = urllib3.PoolManager(ca_certs=authority)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            headers = {
                name: value
                for name, value in self.headers.items()
                if name.lower() not in _OF_A_CONNECTION and not name.lower().startswith("sec-websocket")
            }
            url, body = f"{server}{self.path}", self.rfile.read(size) if size else None
            answer = pool.request(self.command, url, body=body, headers=headers, preload_content=False)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in _OF_A_CONNECTION:
                    self.send_header(name, value)
            self.end_headers()
            try:
                while part := answer.read1():
                    self.wfile.write(part)
                    self.wfile.flush()
            except OSError:
                pass  # who asked has gone
            finally:
                answer.close()

        do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
