"""Hand a message to a running container by its standard input, and hear what it answers.

The protocol is that of ``kubectl attach``: a WebSocket whose messages begin with the number of a channel. Only as long
as needed: a client that stays attached and reads slowly stops the container.
"""

from __future__ import annotations

import ssl
import time
from contextlib import suppress
from socket import create_connection, socket
from typing import Any
from urllib.parse import urlencode, urlsplit

import websocket
from kubernetes.client import Configuration
from kubernetes.client.rest import should_bypass_proxies

from podenv.call import warm
from podenv.pods.client import ANSWER_SECONDS, KubernetesClient
from podenv.pods.manifest import CONTAINER
from podenv.runtime.call import Result
from podenv.runtime.frame import FrameReader

ACK_SECONDS = 10.0  # for a pod to say that it has its Call
VALUE_SECONDS = 0.5  # after that, for a result, before the log is read instead
_PROTOCOLS = ["v5.channel.k8s.io", "v4.channel.k8s.io"]
_STDIN, _STDOUT = b"\0", 1
_LOOK_SECONDS = 0.2  # between two looks whether the task was asked to end
_PASSING = (401, 404, 408, 429, 500, 502, 503, 504)  # answers that say nothing of the next pod


_contexts: dict[Any, ssl.SSLContext] = {}


class AttachRefused(Exception):
    """``is_final``: nobody here can attach, now and later; ``sent``: a part of the message may have come."""

    def __init__(self, why: str, *, is_final: bool = False, sent: bool = False) -> None:
        super().__init__(why)
        self.is_final = is_final
        self.sent = sent


class Answer:
    """What a container printed since it got its Call, as far as it was heard.

    ``taken_at``: when it said that it has it (monotonic); None while it was not heard to.
    """

    def __init__(self, token: str) -> None:
        self.lines: list[str] = []
        self.taken_at: float | None = None
        self._reader = FrameReader(token, self.lines.append)
        self._line, self._head = warm.taken(token), b""

    @property
    def result(self) -> Result | None:
        """The Result, once it came; then ``lines`` is all that was printed."""
        return self._reader.result

    def hear(self, data: bytes) -> None:
        """Take the next bytes."""
        if self.taken_at is None:
            self._head += data
            if self._line in self._head:
                self.taken_at = time.monotonic()
        self._reader.feed(data)


class Attachment:
    """One exchange with one container of ``namespace``, by a connection that is open before it is known which."""

    def __init__(self, client: KubernetesClient, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self._api = client.api.api_client
        self._socket: socket | None = None
        self._context: ssl.SSLContext | None = None

    def open(self) -> None:
        """Connect once, except through a proxy; what goes wrong is told by `exchange`."""
        settings = self._api.configuration
        if self._socket is not None:
            return
        with suppress(OSError):
            if urlsplit(settings.host).scheme == "https":
                self._context = _context(settings) if settings.cert_file else _bearer_context(settings)
            if _proxy(settings) is None:
                self._socket = _connected(settings, self._context)

    def close(self) -> None:
        """End the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def exchange(self, pod: str, message: bytes, answer: Answer) -> None:
        """Send ``message`` to ``pod``; hear its result, or what it says within half a second after it has the message.

        Raises `AttachRefused`.
        """
        self._client.requests += 1
        opened = self._attached(pod)
        try:
            self._exchange(opened, message, answer)
        finally:
            with suppress(Exception):
                opened.shutdown()  # type: ignore[no-untyped-call]

    def _attached(self, pod: str) -> websocket.WebSocket:
        settings = self._api.configuration
        headers: dict[str, str] = {}
        self._api.update_params_for_auth(headers, [], ["BearerToken"])
        query = {"container": CONTAINER, "stdin": "true", "stdout": "true", "stderr": "false", "tty": "false"}
        path = f"/api/v1/namespaces/{self._namespace}/pods/{pod}/attach?{urlencode(query)}"
        options: dict[str, Any] = {"socket": self._socket} if self._socket is not None else _proxy(settings) or {}
        if self._context is not None:
            options["sslopt"] = {"context": self._context, "server_hostname": settings.tls_server_name}
        try:
            opened = websocket.create_connection(
                f"ws{settings.host.removeprefix('http').rstrip('/')}{path}",
                timeout=ANSWER_SECONDS,
                header=[f"{name}: {value}" for name, value in headers.items()],
                subprotocols=_PROTOCOLS,
                suppress_origin=True,
                redirect_limit=0,
                **options,
            )
        except websocket.WebSocketBadStatusException as error:
            final = error.status_code not in _PASSING
            raise AttachRefused(f"the answer was {error.status_code}", is_final=final) from None
        except websocket.WebSocketTimeoutException:
            raise AttachRefused(f"no answer in {ANSWER_SECONDS:.0f} s") from None
        except (websocket.WebSocketException, OSError) as error:
            final = type(error) in (websocket.WebSocketException, websocket.WebSocketProtocolException)
            raise AttachRefused(type(error).__name__, is_final=final) from None
        self._socket = None
        return opened

    def _exchange(self, opened: websocket.WebSocket, message: bytes, answer: Answer) -> None:
        until = time.monotonic() + ACK_SECONDS
        try:
            opened.send_binary(_STDIN + message)
            while answer.result is None and not self._client.stopped and (left := until - time.monotonic()) > 0:
                opened.settimeout(min(left, _LOOK_SECONDS))
                try:
                    data = opened.recv()
                except websocket.WebSocketTimeoutException:
                    continue
                if not data:
                    return
                data = data.encode() if isinstance(data, str) else data
                if data[0] == _STDOUT:
                    answer.hear(data[1:])
                    if answer.taken_at is not None:
                        until = answer.taken_at + VALUE_SECONDS
        except (websocket.WebSocketException, OSError) as error:
            if answer.taken_at is None:
                raise AttachRefused(type(error).__name__, sent=True) from None


def _bearer_context(settings: Configuration) -> ssl.SSLContext:
    """The same for every connection without a certificate of the client's: to load the authorities takes long."""
    key = (settings.ssl_ca_cert, settings.verify_ssl, settings.assert_hostname)
    if key not in _contexts:
        _contexts[key] = _context(settings)
    return _contexts[key]


def _context(settings: Configuration) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ssl_ca_cert)
    if not settings.verify_ssl or settings.assert_hostname is False:
        context.check_hostname = False
    if not settings.verify_ssl:
        context.verify_mode = ssl.CERT_NONE
    if settings.cert_file:
        context.load_cert_chain(settings.cert_file, settings.key_file)
    return context


def _connected(settings: Configuration, context: ssl.SSLContext | None) -> socket:
    address = urlsplit(settings.host)
    host = address.hostname or ""
    plain = create_connection((host, address.port or (80 if context is None else 443)), timeout=ANSWER_SECONDS)
    try:
        return (
            plain if context is None else context.wrap_socket(plain, server_hostname=settings.tls_server_name or host)
        )
    except BaseException:
        plain.close()
        raise


def _proxy(settings: Configuration) -> dict[str, Any] | None:
    """The proxy between here and the server, as a WebSocket is told of it."""
    if not settings.proxy or should_bypass_proxies(settings.host, no_proxy=settings.no_proxy or ""):
        return None
    proxy = urlsplit(settings.proxy)
    own = (proxy.username, proxy.password) if proxy.username else None
    return {"http_proxy_host": proxy.hostname, "http_proxy_port": proxy.port, "http_proxy_auth": own}
