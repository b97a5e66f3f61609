"""Azurite, Microsoft's own server for tests of Azure Blob, on loopback: from npm, once in a cache."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from tests.airflowserver import free_port

VERSION = "3.35.0"
ACCOUNT = "devstoreaccount1"
# The one that Azurite's documentation gives: it protects nothing.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def lacks() -> str:
    """What keeps it from being started here; empty where nothing does."""
    return "" if shutil.which("npm") and shutil.which("node") else "needs node and npm on PATH, for Azurite"


def program() -> Path:
    """Azurite's program, installed where it is not there yet."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "podenv" / "azurite" / VERSION
    found = cache / "node_modules" / ".bin" / "azurite-blob"
    if not found.exists():
        making = cache.with_name(f"{VERSION}.{os.getpid()}")
        argv = ["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(making), f"azurite@{VERSION}"]
        making.mkdir(parents=True)
        subprocess.run(argv, check=True, timeout=300)
        with suppress(OSError):  # another one was faster
            making.rename(cache)
        shutil.rmtree(making, ignore_errors=True)
    return found


@contextmanager
def serving(folder: Path, container: str) -> Iterator[str]:
    """The address of its account, while this lasts."""
    port = free_port()
    argv = [str(program()), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder)]
    argv += ["--skipApiVersionCheck", "--disableTelemetry", "--silent"]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            url, deadline = f"http://127.0.0.1:{port}/{ACCOUNT}", time.monotonic() + 60
            while True:
                with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                assert server.poll() is None, "Azurite has ended"
                assert time.monotonic() < deadline
                time.sleep(0.05)
            urlopen(Request(f"{url}/{container}?restype=container&{_signature()}", method="PUT", data=b"")).close()
            yield url
        finally:
            server.kill()


def _signature() -> str:
    """An account's SAS, as the REST API describes it: obstore makes no containers."""
    expiry = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    given = {"sp": "rwdlac", "ss": "b", "srt": "sco", "st": "", "se": expiry, "sip": "", "spr": "", "sv": "2022-11-02"}
    text = "\n".join([ACCOUNT, *given.values(), "", ""])
    signed = hmac.digest(base64.b64decode(KEY), text.encode(), hashlib.sha256)
    return urlencode({**{name: value for name, value in given.items() if value}, "sig": base64.b64encode(signed)})
