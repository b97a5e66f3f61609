"""Which image a tag stands for, asked of a registry over HTTP.

Protocol: https://github.com/opencontainers/distribution-spec/blob/main/spec.md (checking if content exists) and
https://distribution.github.io/distribution/spec/auth/ (tokens).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import ssl
import threading
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError

from podenv.catalogue.reference import ImageRef
from podenv.errors import RegistryLoginNeeded, RegistryRefused, RegistryUnreachable
from podenv.image import credentials

Json = dict[str, Any]
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
# A registry answers 404 for an image that is there when its type is missing here.
ACCEPT = ", ".join((
    INDEX,
    MANIFEST,
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
))  # fmt: skip
_TIMEOUT = urllib3.Timeout(connect=5, read=30)
# What a busy registry asks to wait, maybe an hour, stands in the error instead.
_RETRIES = urllib3.Retry(
    total=2, redirect=5, backoff_factor=0.2, status_forcelist=(429, 502, 503, 504), raise_on_status=False,
    respect_retry_after_header=False,
)  # fmt: skip
_READS = ("GET", "HEAD")  # a token that reads does not push
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_LOCALHOST = re.compile(r"(localhost|127(\.\d+){3}|\[::1\])(:\d+)?")


def is_plain(host: str, plain_http: Collection[str]) -> bool:
    """Whether a registry is talked to without TLS: on this machine, and where it is said."""
    return bool(_LOCALHOST.fullmatch(host)) or host in plain_http


def digest_of(content: bytes) -> str:
    """The digest by which a registry knows ``content``."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def words(answer: urllib3.BaseHTTPResponse) -> str:
    """What a registry said, for a line of text."""
    return " ".join(answer.data.decode(errors="replace").split())[:200] or "nothing"


class Registries:
    """Asks registries; connections and tokens are kept, and threads can share one.

    ``plain_http`` names the hosts, beside localhost, that are talked to without TLS.
    """

    def __init__(self, plain_http: Collection[str] = ()) -> None:
        self._plain_http = frozenset(plain_http)
        self._tokens: dict[tuple[str, str, bool], str] = {}
        self._pools: dict[str, urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    def digest(self, ref: ImageRef) -> str | None:
        """The digest that ``ref`` stands for; None when the registry says that it has no such image.

        Raises `RegistryUnreachable`, `RegistryLoginNeeded`, `RegistryRefused`: then nobody knows.
        """
        answer = self._ask("HEAD", ref)
        if answer.status == 404:
            return None
        self._check(answer, ref)
        if found := answer.headers.get("Docker-Content-Digest"):
            return found
        whole = self._ask("GET", ref)  # some registries leave the header out
        self._check(whole, ref)
        return digest_of(whole.data)

    def document(self, ref: ImageRef) -> Json | None:
        """The manifest or the index that ``ref`` stands for; None where there is none. Raises as `digest`."""
        answer = self._ask("GET", ref)
        if answer.status == 404:
            return None
        self._check(answer, ref)
        return _json(answer, ref)

    def manifest(self, ref: ImageRef, *, platform: str = "") -> Json | None:
        """The manifest of one image, of an index that for ``platform``; None where there is none.

        Raises as `digest`.
        """
        found = self.document(ref)
        if found is None or "manifests" not in found:
            return found
        system, _, machine = platform.partition("/")
        for one in found["manifests"]:
            of = one.get("platform") or {}
            if f"{of.get('os')}/{of.get('architecture')}" == f"{system}/{machine.partition('/')[0]}":
                return self.manifest(ref.at(one["digest"]))
        return None

    def labels(self, ref: ImageRef, *, platform: str = "") -> dict[str, str] | None:
        """What the image says of itself; None where there is no such image. Raises as `digest`."""
        found = self.config(ref, platform=platform)
        return None if found is None else dict((found.get("config") or {}).get("Labels") or {})

    def config(self, ref: ImageRef, *, platform: str = "") -> Json | None:
        """The configuration of an image, of an index that for ``platform``; None where there is none.

        Raises as `digest`.
        """
        found = self.manifest(ref, platform=platform)
        if found is None:
            return None
        address = f"{self._address(ref)}/blobs/{found['config']['digest']}"
        answer = self._authorized("GET", address, ref, {})
        self._check(answer, ref)
        return _json(answer, ref)

    def check_push(self, ref: ImageRef) -> None:
        """Return when this login may push to the repository of ``ref``: an upload begins, and is cancelled at once.

        Raises as `digest`.
        """
        address = f"{self._address(ref)}/blobs/uploads/"
        answer = self._authorized("POST", address, ref, {})
        if answer.status in (201, 202):
            if place := answer.headers.get("Location"):
                with suppress(RegistryUnreachable):  # the registry forgets it by itself too
                    self._authorized("DELETE", urljoin(address, place), ref, {})
            return
        if answer.status == 401:
            raise RegistryLoginNeeded(
                f"{ref.host} wants a login to take images; run `buildah login {ref.host}` (or podman, docker)."
            )
        if answer.status in (403, 405):
            raise RegistryRefused(
                f"{ref.host} takes no image {ref.name}: this login may not push there; log in as somebody who may, "
                "or correct image.registry."
            )
        raise RegistryRefused(
            f"{ref.host} answered {answer.status} {answer.reason or ''}".rstrip()
            + f" to a push to {ref.name}; is that address a registry's, and is the repository's name right?"
        )

    def request(
        self,
        method: str,
        ref: ImageRef,
        place: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> urllib3.BaseHTTPResponse:
        """The answer to a request below the repository of ``ref``, or at a whole address that the registry named.

        Raises `RegistryUnreachable`; what the status means is for the caller.
        """
        return self._authorized(method, self.address(ref, place), ref, {"Accept": ACCEPT} | dict(headers or {}), body)

    def address(self, ref: ImageRef, place: str) -> str:
        """Where ``place`` is; a whole address stays as it is."""
        return place if "://" in place else f"{self._address(ref)}/{place}"

    def _ask(self, method: str, ref: ImageRef) -> urllib3.BaseHTTPResponse:
        return self.request(method, ref, f"manifests/{ref.digest or ref.tag}")

    def _authorized(
        self, method: str, address: str, ref: ImageRef, headers: dict[str, str], body: bytes | None = None
    ) -> urllib3.BaseHTTPResponse:
        """The answer to a request, with the authorization that the registry asks for."""
        key = (ref.host, ref.path, method in _READS)
        if known := self._tokens.get(key):
            headers = headers | {"Authorization": known}
        answer = self._send(method, address, ref, headers, body)
        challenge = answer.headers.get("WWW-Authenticate", "")
        if answer.status == 401 and (authorization := self._authorization(challenge, ref)):
            self._tokens[key] = authorization
            answer = self._send(method, address, ref, headers | {"Authorization": authorization}, body)
        return answer

    def _address(self, ref: ImageRef) -> str:
        host = "registry-1.docker.io" if ref.host == "docker.io" else ref.host
        scheme = "http" if is_plain(ref.host, self._plain_http) else "https"
        return f"{scheme}://{host}/v2/{ref.path}"

    def _send(
        self, method: str, url: str, ref: ImageRef, headers: dict[str, str], body: str | bytes | None = None
    ) -> urllib3.BaseHTTPResponse:
        try:
            return self._pool(url).request(method, url, headers=headers, body=body, timeout=_TIMEOUT, retries=_RETRIES)
        except (HTTPError, ssl.SSLError) as error:
            raise RegistryUnreachable(self._explain(error, ref)) from None

    def _pool(self, url: str) -> urllib3.PoolManager:
        """Connections to one host, through the proxy that the usual variables name."""
        parts = urlsplit(url)
        with self._lock:
            if parts.netloc not in self._pools:
                proxy = None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)
                # The system's certificates, or those of SSL_CERT_FILE.
                context = ssl.create_default_context()
                self._pools[parts.netloc] = (
                    urllib3.ProxyManager(proxy, maxsize=16, ssl_context=context)
                    if proxy
                    else urllib3.PoolManager(maxsize=16, ssl_context=context)
                )
            return self._pools[parts.netloc]

    def _authorization(self, challenge: str, ref: ImageRef) -> str:
        """What a challenge asks for; an empty text where nothing can be answered."""
        login = credentials.find(ref.host, ref.path)
        kind, _, rest = challenge.partition(" ")
        if kind.lower() == "basic":
            return _basic(login) if login else ""
        wanted = dict(_PARAMETER.findall(rest))
        if kind.lower() != "bearer" or "realm" not in wanted:
            return ""
        scope = wanted.get("scope", f"repository:{ref.path}:pull")
        query = {"service": wanted.get("service", ref.host), "scope": scope}
        if login and not login.user:
            form = {**query, "grant_type": "refresh_token", "client_id": "podenv", "refresh_token": login.secret}
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            answer = self._send("POST", wanted["realm"], ref, headers, urlencode(form))
        else:
            headers = {"Authorization": _basic(login)} if login else {}
            answer = self._send("GET", f"{wanted['realm']}?{urlencode(query)}", ref, headers)
        if answer.status != 200:
            return ""
        try:
            given = json.loads(answer.data)
            return f"Bearer {given.get('token') or given['access_token']}"
        except (ValueError, KeyError, AttributeError):
            raise RegistryRefused(f"{wanted['realm']} gave no token for {ref}; is that address a registry's?") from None

    def _check(self, answer: urllib3.BaseHTTPResponse, ref: ImageRef) -> None:
        """Return when the registry answered well; all but 200 and 404 says nothing about the image."""
        if answer.status == 200:
            return
        if answer.status == 401:
            raise RegistryLoginNeeded(
                f"{ref.host} wants a login to say whether it has {ref}; "
                f"run `buildah login {ref.host}` (or podman, docker), and check the name."
            )
        if answer.status == 403:
            raise RegistryRefused(
                f"{ref.host} refuses to say whether it has {ref}: this login may not read {ref.name}."
            )
        said = answer.headers.get("Retry-After")
        wait = f", try again in {said} s" if said else ""
        raise RegistryRefused(
            f"{ref.host} answered {answer.status} {answer.reason or ''}".rstrip()
            + f" instead of saying whether it has {ref}; is that address a registry's, and is it well{wait}?"
        )

    def _explain(self, error: Exception, ref: ImageRef) -> str:
        cause = error.reason if isinstance(error, MaxRetryError) and error.reason else error
        text = str(cause).rpartition("Failed to establish a new connection: ")[2]
        what = f"The registry {ref.host} cannot be asked for {ref}: {text}."
        if "CERTIFICATE_VERIFY_FAILED" in text:
            return f"{what} Where its certificate is of your own authority, set SSL_CERT_FILE to a bundle that has it."
        if "WRONG_VERSION_NUMBER" in text or "record layer failure" in text:
            return f"{what} Where it has no TLS, add {ref.host} to image.plainHttp or to PODENV_PLAIN_HTTP."
        return f"{what} Is it up, and is its name right (image.registry, PODENV_REGISTRY)?"


def _json(answer: urllib3.BaseHTTPResponse, ref: ImageRef) -> Json:
    try:
        return dict(json.loads(answer.data))
    except ValueError:
        raise RegistryRefused(
            f"{ref.host} answered with something else than JSON; is that address a registry's?"
        ) from None


def _basic(login: credentials.Login) -> str:
    pair = f"{login.user}:{login.secret}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"
