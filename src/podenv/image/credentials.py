"""Logins of registries, from the files that docker, podman and buildah share, and from credential helpers.

Formats: https://man.archlinux.org/man/containers-auth.json.5 and
https://docs.docker.com/reference/cli/docker/login/#credential-stores.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from podenv import process
from podenv.errors import ProgramError, ProgramNotFound, RegistryLoginNeeded

_HELPER_TIMEOUT = 30.0  # seconds; some ask a cloud
_TOKEN_USER = "<token>"  # noqa: S105 - the user name that says that the secret is an identity token


@dataclass(frozen=True)
class Login:
    """A user name with a password, or an identity token (then ``user`` is empty)."""

    user: str
    secret: str = field(repr=False)


def find(host: str, path: str, environ: Mapping[str, str] = os.environ) -> Login | None:
    """The login for the repository ``path`` at the registry ``host``; None where there is none.

    Raises `RegistryLoginNeeded` when a file names a credential helper that is not there, or cannot be read.
    """
    for file in _files(environ):
        content = _read(file)
        if helper := _map(content.get("credHelpers")).get(host):
            login = _ask(str(helper), host, file)
        else:
            login = _stored(_map(content.get("auths")), f"{host}/{path}")
            if login is None and (store := content.get("credsStore")):
                login = _ask(str(store), host, file)
        if login is not None:
            return login
    return None


def _files(environ: Mapping[str, str]) -> Iterator[Path]:
    """The files in the order in which buildah and podman read them."""
    if chosen := environ.get("REGISTRY_AUTH_FILE"):
        yield Path(chosen)
        return
    home = Path(environ.get("HOME") or "~").expanduser()
    runtime = environ.get("XDG_RUNTIME_DIR")
    yield (Path(runtime) if runtime else Path(f"/run/containers/{os.getuid()}")) / (
        "containers/auth.json" if runtime else "auth.json"
    )
    yield Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "containers" / "auth.json"
    yield Path(environ.get("DOCKER_CONFIG") or home / ".docker") / "config.json"


def _read(file: Path) -> dict[str, Any]:
    try:
        return _map(json.loads(file.read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise RegistryLoginNeeded(
            f"{file} cannot be read: {error.strerror}; it holds the logins of registries."
        ) from None
    except ValueError:
        raise RegistryLoginNeeded(f"{file} is not valid JSON; log in again, or remove it.") from None


def _map(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _stored(auths: dict[str, Any], name: str) -> Login | None:
    """The entry for the longest part of ``name`` (host/path) that has one."""
    known = {_normalised(key): entry for key, entry in auths.items()}
    while name:
        entry = known.get(name)
        if isinstance(entry, dict) and (login := _decoded(entry)):
            return login
        name = name.rpartition("/")[0]
    return None


def _normalised(key: str) -> str:
    """docker writes addresses where podman writes names."""
    bare = key.removeprefix("https://").removeprefix("http://")
    bare = bare.removesuffix("/").removesuffix("/v1").removesuffix("/v2")
    return "docker.io" if bare in ("index.docker.io", "registry-1.docker.io") else bare


def _decoded(entry: dict[str, Any]) -> Login | None:
    if token := entry.get("identitytoken"):
        return Login("", str(token))
    try:
        user, colon, password = base64.b64decode(str(entry.get("auth", ""))).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return Login(user, password.rstrip("\0")) if colon else None


def _ask(helper: str, host: str, file: Path) -> Login | None:
    """What the credential helper knows; it fails where it knows nothing."""
    key = "https://index.docker.io/v1/" if host == "docker.io" else host
    try:
        said = process.run([f"docker-credential-{helper}", "get"], input=key.encode(), timeout=_HELPER_TIMEOUT).stdout
        answer = _map(json.loads(said))
    except ProgramNotFound:
        raise RegistryLoginNeeded(
            f"{file} names the credential helper {helper!r}, and docker-credential-{helper} is not on PATH; "
            "install it, or remove it from that file."
        ) from None
    except (ProgramError, ValueError):
        return None
    user, secret = str(answer.get("Username", "")), str(answer.get("Secret", ""))
    if not secret:
        return None
    return Login("" if user == _TOKEN_USER else user, secret)
