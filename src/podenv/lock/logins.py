"""The login of a package index, from the places where uv looks for it: a build has none of them.

uv's order: https://docs.astral.sh/uv/concepts/authentication/.
"""

from __future__ import annotations

import base64
import json
import netrc
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from podenv import process
from podenv.errors import ProgramError, ProgramFailed, SettingError
from podenv.lock import program

_TIMEOUT = 60.0  # seconds; a keyring may ask a person
Login = tuple[str, str]  # user and password; one that is not known is empty


def find(index: Mapping[str, Any], settings: Mapping[str, Any], environ: Mapping[str, str]) -> Login:
    """The login for ``index``, a table of uv's configuration; ``settings`` is the rest of it.

    Raises `SettingError` where a file cannot be read, or the keyring that is to know the password does not.
    """
    url = urlsplit(str(index["url"]))
    if url.scheme not in ("http", "https") or not url.hostname or index.get("authenticate") == "never":
        return "", ""
    user, password = _from_variables(str(index.get("name", "")), environ)
    if user or password:
        return user, password
    user, password = unquote(url.username or ""), unquote(url.password or "")
    if password:
        return user, password
    return (
        _from_netrc(url.hostname, user, environ)
        or _from_uv(str(index["url"]), user, environ)
        or _from_keyring(index, user, settings, environ)
        or (user, "")
    )


def _from_variables(name: str, environ: Mapping[str, str]) -> Login:
    if not name:
        return "", ""
    prefix = f"UV_INDEX_{''.join(c if c.isalnum() else '_' for c in name).upper()}"
    return environ.get(f"{prefix}_USERNAME", ""), environ.get(f"{prefix}_PASSWORD", "")


def _from_netrc(host: str, user: str, environ: Mapping[str, str]) -> Login | None:
    chosen = environ.get("NETRC")
    file = Path(chosen or Path(environ.get("HOME") or "~").expanduser() / ".netrc")
    try:
        found = netrc.netrc(str(file)).authenticators(host)
    except FileNotFoundError:
        return None
    except (OSError, netrc.NetrcParseError) as error:
        raise SettingError(f"{file} cannot be read as a netrc file: {error}.") from None
    return (found[0], found[2] or "") if found and user in ("", found[0]) else None


def _from_uv(url: str, user: str, environ: Mapping[str, str]) -> Login | None:
    """What `uv auth login` has stored."""
    data = Path(environ.get("XDG_DATA_HOME") or Path(environ.get("HOME") or "~").expanduser() / ".local" / "share")
    folder = Path(environ.get("UV_CREDENTIALS_DIR") or data / "uv" / "credentials")
    if not (folder / "credentials.toml").is_file():
        return None
    asks: list[str | Path] = [
        program.uv(),
        "auth",
        "helper",
        "--preview-features",
        "auth-helper",
        "--protocol",
        "bazel",
        "get",
    ]
    try:
        said = process.run(asks, env=environ, timeout=_TIMEOUT, input=json.dumps({"uri": url}).encode()).stdout
        header = str(json.loads(said)["headers"]["Authorization"][0])
    except (ProgramError, ValueError, LookupError, TypeError):
        return None
    kind, _, word = header.partition(" ")
    name, _, password = base64.b64decode(word).decode(errors="replace").partition(":") if kind == "Basic" else ("",) * 3
    return (name, password) if password and user in ("", name) else None


def _from_keyring(
    index: Mapping[str, Any], user: str, settings: Mapping[str, Any], environ: Mapping[str, str]
) -> Login | None:
    provider = environ.get("UV_KEYRING_PROVIDER") or settings.get("keyring-provider")
    always = index.get("authenticate") == "always"
    if provider != "subprocess" or not (user or always):
        return None
    url = urlsplit(str(index["url"]))
    host = url.netloc.rpartition("@")[2]
    why = "it has none"
    for service in (url._replace(netloc=host).geturl(), host):
        words = ["keyring", "get", service, user] if user else ["keyring", "get", service, "--mode", "creds"]
        try:
            answer = process.run(words, env=environ, timeout=_TIMEOUT).stdout.rstrip("\n").split("\n")
        except ProgramFailed as error:
            why = re.sub(r"\s+", " ", error.stderr.strip().splitlines()[-1]) if error.stderr.strip() else why
        except ProgramError as error:
            why = str(error).rstrip(".")
        else:
            if answer[-1] and len(answer) == (1 if user else 2):
                return (user or answer[0]), answer[-1]
    whom = f"for the user {user!r} " if user else ""
    raise SettingError(
        f"The package index at {host} needs a password {whom}that uv's keyring-provider is to know: {why}. A build "
        f"cannot ask for it; store it with `keyring set {host} {user or 'USER'}`, or give it in a netrc file."
    )
