"""Small images for tests: the dev cluster's base, with other links in a layer of their own."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin

_ACCEPT = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_CONFIG = "application/vnd.oci.image.config.v1+json"


class Registry:
    """A registry without login, at ``host``."""

    def __init__(self, host: str) -> None:
        self.host = host

    def derive(self, base: str, tag: str, repository: str, links: Mapping[str, str]) -> str:
        """Push ``base:tag`` with symbolic ``links`` (path -> target) as ``repository:test``; the digest."""
        manifest = json.loads(self._ask("GET", f"{base}/manifests/{tag}", headers=_ACCEPT))
        config = json.loads(self._ask("GET", f"{base}/blobs/{manifest['config']['digest']}"))
        for layer in manifest["layers"]:
            self._put(repository, self._ask("GET", f"{base}/blobs/{layer['digest']}"))
        tar = _tar(links)
        config["rootfs"]["diff_ids"].append(_digest(tar))
        config.pop("history", None)
        manifest["layers"].append({"mediaType": _LAYER, **self._put(repository, gzip.compress(tar, mtime=0))})
        manifest["config"] = {"mediaType": _CONFIG, **self._put(repository, json.dumps(config).encode())}
        body = json.dumps(manifest).encode()
        headers = {"Content-Type": manifest.get("mediaType", _ACCEPT["Accept"])}
        self._ask("PUT", f"{repository}/manifests/test", body, headers)
        return _digest(body)

    def _put(self, repository: str, data: bytes) -> dict[str, Any]:
        digest = _digest(data)
        url = f"http://{self.host}/v2/{repository}/blobs/uploads/"
        with urllib.request.urlopen(urllib.request.Request(url, b"", method="POST"), timeout=30) as answer:
            place = urljoin(url, answer.headers["Location"])
        place += ("&" if "?" in place else "?") + f"digest={digest}"
        headers = {"Content-Type": "application/octet-stream"}
        request = urllib.request.Request(place, data, headers, method="PUT")
        urllib.request.urlopen(request, timeout=60).close()
        return {"digest": digest, "size": len(data)}

    def _ask(self, method: str, path: str, data: bytes | None = None, headers: Mapping[str, str] = {}) -> bytes:
        request = urllib.request.Request(f"http://{self.host}/v2/{path}", data, dict(headers), method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            content: bytes = answer.read()
        return content


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _tar(links: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, target in links.items():
            member = tarfile.TarInfo(path)
            member.type, member.linkname, member.mode = tarfile.SYMTYPE, target, 0o777
            tar.addfile(member)
    return buffer.getvalue()
