"""References of container images, as every registry and builder reads them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from podenv.errors import SettingError

LOCAL = "localhost"  # where builders put what has no registry
_HUB = "docker.io"
_REFERENCE = re.compile(
    r"(?P<name>[a-zA-Z0-9][-a-zA-Z0-9.]*(:[0-9]+(?=/))?(/[a-z0-9._-]+)*)(:(?P<tag>[\w][\w.-]{0,127}))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)


@dataclass(frozen=True)
class ImageRef:
    """An image in a registry.

    ``registry`` is its host, with a path where all images have one (``ghcr.io/acme``); ``repository`` the name below
    it; at least one of ``tag`` and ``digest`` is given.
    """

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def host(self) -> str:
        """The host, with its port."""
        return self.registry.partition("/")[0]

    @property
    def path(self) -> str:
        """The name below the host."""
        return self.name.partition("/")[2]

    @property
    def name(self) -> str:
        """Host and path."""
        return f"{self.registry}/{self.repository}"

    @property
    def tagged(self) -> str:
        """Host and path, with the tag where it has one."""
        return f"{self.name}:{self.tag}" if self.tag else self.name

    @property
    def is_local(self) -> bool:
        """True if the image is in a builder's own store only, not in a registry."""
        return self.registry == LOCAL

    def at(self, digest: str) -> ImageRef:
        """The same image, by its digest alone."""
        return replace(self, tag="", digest=digest)

    def __str__(self) -> str:
        return f"{self.name}@{self.digest}" if self.digest else f"{self.name}:{self.tag}"


def parse(text: str, *, setting: str) -> ImageRef:
    """The reference in ``text``, short names of Docker Hub written out; raises `SettingError` naming ``setting``."""
    match = _REFERENCE.fullmatch(text)
    if match is None:
        raise SettingError(
            f"{setting} is {text!r}, which is not a valid image reference; "
            "write it like docker.io/library/python:3.13-slim."
        )
    name, digest = match["name"], match["digest"] or ""
    host, slash, path = name.partition("/")
    if not slash or not ("." in host or ":" in host or host == LOCAL):
        host, path = _HUB, name if slash else f"library/{name}"
    return ImageRef(host, path, match["tag"] or ("" if digest else "latest"), digest)
