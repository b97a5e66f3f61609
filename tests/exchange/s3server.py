"""A real S3 server on loopback, in a process of its own: moto's."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.request import Request, urlopen

from tests.airflowserver import free_port

_PROGRAM = """
import sys
from moto.server import main
main(["-H", "127.0.0.1", "-p", sys.argv[1]])
"""


@contextmanager
def serving(*buckets: str) -> Iterator[str]:
    """Its address, while this lasts."""
    port = free_port()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-c", _PROGRAM, str(port)], **quiet) as server:  # type: ignore[call-overload]
        try:
            url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 30
            while True:
                with suppress(OSError):
                    urlopen(url).close()
                    break
                assert server.poll() is None, "moto's server has ended"
                assert time.monotonic() < deadline
                time.sleep(0.05)
            for bucket in buckets:
                urlopen(Request(f"{url}/{bucket}", method="PUT")).close()
            yield url
        finally:
            server.kill()
