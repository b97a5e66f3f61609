"""One request to a signed http(s) address, by the standard library: streaming, through a proxy where there is one.

urllib.request would follow redirects, and lose the words of a store that refuses before it has read all.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
from itertools import chain
from urllib.parse import unquote, urlsplit

from .storage import CHUNK, Again, StorageFailed, gone

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

_WORDS_BYTES = 16_384  # of an answer that is an error
_WORDS_CHARACTERS = 500
_AGAIN = (408, 425, 429)
_EXPIRED = ("expired", "not valid in the specified time frame")


def send(address: Mapping[str, Any], chunks: Iterator[bytes], length: int, timeout: float) -> None:
    """PUT ``length`` bytes to ``address``. Raises Again, `storage.StorageFailed`, and what ``chunks`` raises."""
    headers = {"Content-Length": str(length), "Content-Type": "application/octet-stream", **address["headers"]}
    first = next(chunks)  # it may raise, and the headers alone are a whole value of no bytes
    with _Request(address, timeout) as request:
        request.send("PUT", headers, chain((first,), chunks))
        request.answer()


def receive(address: Mapping[str, Any], timeout: float) -> _Stream:
    """What GET of ``address`` brings. Raises Again, `storage.StorageFailed`; so does reading it."""
    request = _Request(address, timeout)
    try:
        request.send("GET", address["headers"])
        return _Stream(request)
    except BaseException:
        request.close()
        raise


class _Request:
    """One request on a connection of its own. Every method raises Again, `storage.StorageFailed`."""

    def __init__(self, address: Mapping[str, Any], timeout: float) -> None:
        self._address = address
        self._broke: OSError | None = None
        self._method = ""
        try:
            url = urlsplit(address["url"])
            host, port = url.hostname, url.port
        except ValueError:
            host, port = None, None
        if not host:
            raise StorageFailed(f"{address['key']}: the address that came with the call is not valid", "final")
        self._target = (url.path or "/") + ("?" + url.query if url.query else "")
        self._headers = {"Host": url.netloc.rpartition("@")[2], "User-Agent": "podenv", "Accept-Encoding": "identity"}
        proxy = _proxy(url.scheme, host)
        make: Any = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        settings = {"timeout": timeout, "blocksize": CHUNK}
        if proxy is None:
            self._connection = make(host, port, **settings)
            return
        self._connection = make(proxy.hostname, proxy.port or 80, **settings)
        login = _login(proxy)
        if url.scheme == "https":
            self._connection.set_tunnel(host, port or 443, login)
        else:
            self._target = address["url"]
            self._headers.update(login)

    def __enter__(self) -> _Request:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def send(self, method: str, headers: Mapping[str, str], chunks: Iterable[bytes] = ()) -> None:
        self._method = method
        try:
            self._connection.connect()
            self._connection.putrequest(method, self._target, skip_host=True, skip_accept_encoding=True)
            for name, value in {**self._headers, **headers}.items():
                self._connection.putheader(name, value)
            self._connection.endheaders()
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self.problem(error) from None
        for chunk in chunks:
            try:
                self._connection.send(chunk)
            except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError) as error:
                self._broke = error  # a store that refuses may do so before it has all, and its words tell why
                return
            except OSError as error:
                raise self.problem(error) from None

    def answer(self) -> Any:
        """The answer, one that is no error."""
        try:
            answer = self._connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise self.problem(self._broke or error) from None
        if not 200 <= answer.status < 300:
            raise self._refusal(answer)
        if self._broke is not None:
            raise self.problem(self._broke)
        return answer

    def problem(self, error: Exception) -> Exception:
        """What went wrong on the way; never the text of ``error``, which may hold the address."""
        key = self._address["key"]
        if isinstance(error, ssl.SSLCertVerificationError):
            return StorageFailed(
                f"{key}: the certificate of the storage is not trusted here ({error.verify_message}): add its "
                "authority to the image, and name the file in SSL_CERT_FILE",
                "final",
            )
        if isinstance(error, (ValueError, http.client.InvalidURL)):
            return StorageFailed(f"{key}: the address that came with the call is not valid", "final")
        if isinstance(error, socket.timeout):
            return Again("the storage does not answer in time")
        if str(error).startswith("Tunnel connection failed"):  # with the status of the proxy alone
            return Again(f"the proxy does not let it through ({error})")
        return Again(f"the connection broke ({getattr(error, 'strerror', None) or type(error).__name__})")

    def _refusal(self, answer: Any) -> Exception:
        try:
            text = answer.read(_WORDS_BYTES).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException):
            text = ""
        words = _without_secrets(_words(text), self._address)
        said = f"the storage says {answer.status} {answer.reason}" + (f": {words}" if words else "")
        key = self._address["key"]
        if answer.status >= 500 or answer.status in _AGAIN:
            return Again(said)
        if any(word in text.lower() for word in _EXPIRED):
            return StorageFailed(
                f"{key}: the signed address expired while the task ran, another try gets a new one ({said})", "retry"
            )
        if answer.status == 404 and self._method == "GET" and "NoSuchBucket" not in text:
            return gone(key, f" ({said})")
        return StorageFailed(f"{key}: {said}; see to the storage and its credentials", "final")


class _Stream:
    """The body of an answer. Raises Again where less comes than was announced."""

    def __init__(self, request: _Request) -> None:
        self._request = request
        self._answer = request.answer()

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self._request.close()

    def read(self, count: int) -> bytes:
        try:
            data = self._answer.read(count)
        except (OSError, http.client.HTTPException) as error:
            raise self._request.problem(error) from None
        if not data and self._answer.length:
            raise Again(f"the connection broke, {self._answer.length} bytes are missing")
        return bytes(data)


def _words(text: str) -> str:
    """Code and message of an XML answer; else its first line."""
    found = [text.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0].strip() for tag in ("Code", "Message")]
    plain = ": ".join(one for one in found if one) or ("" if text.lstrip().startswith("<") else text.strip())
    return plain.partition("\n")[0].strip()[:_WORDS_CHARACTERS].rstrip(".")


def _without_secrets(words: str, address: Mapping[str, Any]) -> str:
    """``words`` without the parts of the address that a store may repeat."""
    query = urlsplit(address["url"]).query
    values = [pair.partition("=")[2] for pair in query.split("&")]
    for secret in (address["url"], query, *values, *map(unquote, values), *address["headers"].values()):
        if len(secret) >= 16:
            words = words.replace(secret, "...")
    return words


def _proxy(scheme: str, host: str) -> Any:
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    from urllib.request import getproxies, proxy_bypass

    named = getproxies().get(scheme)
    if not named or proxy_bypass(host):
        return None
    return urlsplit(named if "//" in named else "//" + named)


def _login(proxy: Any) -> dict[str, str]:
    if proxy.username is None:
        return {}
    import binascii

    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}".encode()
    return {"Proxy-Authorization": "Basic " + binascii.b2a_base64(pair, newline=False).decode()}
