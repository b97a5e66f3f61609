"""Where a build gets packages from, as a uv.toml that travels as a build secret: it can hold credentials.

The build sees what `podenv lock` sees: uv's variables, uv's own user configuration, and the netrc file.
"""

from __future__ import annotations

import json
import netrc
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from podenv.errors import SettingError

_KEPT = ("index-strategy", "allow-insecure-host")


@dataclass(frozen=True)
class IndexConfig:
    """``toml`` is what uv reads; ``secrets`` are the passwords in it, to be kept out of every log."""

    toml: str = field(repr=False)
    secrets: frozenset[str] = field(repr=False)


def index_config(default: str = "", environ: Mapping[str, str] = os.environ) -> IndexConfig:
    """The indexes in force; ``default`` is what the values name where no variable names another.

    Raises `SettingError` when a file that it needs cannot be read.
    """
    user = _user_config(environ)
    indexes = list(_indexes(default, user, environ))
    lines = []
    for key in _KEPT:
        variable = environ.get({"index-strategy": "UV_INDEX_STRATEGY", "allow-insecure-host": "UV_INSECURE_HOST"}[key])
        chosen = (variable.split() if key == "allow-insecure-host" else variable) if variable else user.get(key)
        if chosen:
            lines.append(f"{key} = {json.dumps(chosen)}")
    logins = _netrc(environ)
    secrets: set[str] = set()
    for index in indexes:
        url = _with_login(index, logins, environ)
        parts = urlsplit(url)
        if parts.password:
            secrets |= {parts.password, unquote(parts.password)}
        lines += ["[[index]]", f"url = {json.dumps(url)}"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in sorted(index.items()) if key in ("name", "default")]
    return IndexConfig("\n".join(lines) + "\n", frozenset(secrets))


def _indexes(default: str, user: dict[str, Any], environ: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """In uv's order: the first one that has a package gives it; the default comes last."""
    extra = environ.get("UV_INDEX") or environ.get("UV_EXTRA_INDEX_URL") or ""
    for word in extra.split():
        name, equals, url = word.partition("=")
        # A `=` inside an address is no name.
        named = bool(equals) and name.replace("-", "").replace("_", "").replace(".", "").isalnum()
        yield {"name": name, "url": url} if named else {"url": word}
    own = [index for index in user.get("index", []) if isinstance(index, dict) and "url" in index]
    yield from ({**index} for index in own if not index.get("default"))
    yield from ({"url": url} for url in user.get("extra-index-url", []))
    chosen = environ.get("UV_DEFAULT_INDEX") or environ.get("UV_INDEX_URL") or default
    name, equals, url = chosen.partition("=")
    if equals and "://" not in name:
        yield {"name": name, "url": url, "default": True}
    elif chosen:
        yield {"url": chosen, "default": True}
    elif own_default := next((index for index in own if index.get("default")), None):
        yield own_default
    elif "index-url" in user:
        yield {"url": user["index-url"], "default": True}


def _user_config(environ: Mapping[str, str]) -> dict[str, Any]:
    chosen = environ.get("UV_CONFIG_FILE")
    home = Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME") or "~").expanduser() / ".config")
    file = Path(chosen) if chosen else home / "uv" / "uv.toml"
    try:
        return tomllib.loads(file.read_text())
    except FileNotFoundError:
        if chosen:
            raise SettingError(f"UV_CONFIG_FILE names {chosen}, which is no file; correct it or unset it.") from None
        return {}
    except (OSError, ValueError) as error:
        raise SettingError(f"{file} cannot be read as uv's configuration: {error}.") from None


def _netrc(environ: Mapping[str, str]) -> netrc.netrc | None:
    chosen = environ.get("NETRC")
    file = Path(chosen or Path(environ.get("HOME") or "~").expanduser() / ".netrc")
    try:
        return netrc.netrc(str(file))
    except FileNotFoundError:
        return None
    except (OSError, netrc.NetrcParseError) as error:
        raise SettingError(f"{file} cannot be read as a netrc file: {error}.") from None


def _with_login(index: dict[str, Any], logins: netrc.netrc | None, environ: Mapping[str, str]) -> str:
    """The address with its login, wherever that is kept."""
    url = str(index["url"])
    parts = urlsplit(url)
    if parts.username or parts.scheme not in ("http", "https") or not parts.hostname:
        return url
    prefix = f"UV_INDEX_{''.join(c if c.isalnum() else '_' for c in str(index.get('name', ''))).upper()}"
    user, password = environ.get(f"{prefix}_USERNAME", ""), environ.get(f"{prefix}_PASSWORD", "")
    if not (user or password) and logins is not None and (found := logins.authenticators(parts.hostname)):
        user, password = found[0], found[2] or ""
    if not (user or password):
        return url
    return parts._replace(netloc=f"{quote(user, safe='')}:{quote(password, safe='')}@{parts.netloc}").geturl()
