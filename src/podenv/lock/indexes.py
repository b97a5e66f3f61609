"""Where packages come from: the values' indexes, beside uv's own variables and configuration.

Lock and sync run uv on this machine: it gets the values' indexes as those of a project, and finds all else itself. A
build gets the same indexes in the same order as a uv.toml of its own, with the logins that are kept here. It travels
as a build secret.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from packaging.utils import NormalizedName, canonicalize_name

from podenv.catalogue.environment import Environment
from podenv.errors import SettingError
from podenv.lock import logins, sources, toml
from podenv.lock.projectfiles import Table

# Settings of uv that decide which file an index gives, and how it is asked.
_SETTINGS = (
    "index-strategy", "allow-insecure-host", "no-index", "find-links", "http-proxy", "https-proxy", "no-proxy",
)  # fmt: skip
_LISTS = ("allow-insecure-host", "find-links", "no-proxy")
_VARIABLES = {"allow-insecure-host": "UV_INSECURE_HOST"}
_LOGIN = re.compile(r"://([^/@\s\"]+)@")
_NOT_SENT = ("publish-url",)
PINS = "podenv-indexes"  # the project that says which package comes from which index


@dataclass(frozen=True)
class IndexConfig:
    """What a build gets, to be kept out of every log.

    ``toml`` is uv's configuration, ``pins`` the pyproject.toml of `pins`, ``secrets`` the passwords in both.
    """

    toml: str = field(repr=False)
    pins: str = field(repr=False)
    secrets: frozenset[str] = field(repr=False)


def project(environment: Environment, *, table: str = "index", environ: Mapping[str, str] = os.environ) -> str:
    """The values' indexes as TOML that uv reads as a project's; without logins.

    Those for some packages alone give nothing here. But uv 0.13.9 says only of indexes that it is told here that they
    want a login, and else that there is no such package.
    """
    return "".join(_written(index, table) for index in _own(environment, environ))


def pins(environment: Environment, requirements: Sequence[str]) -> str:
    """A pyproject.toml that asks for ``requirements``, each from the index whose ``packages`` name it.

    Only so does uv take a package from one index and no other; empty where there is nothing to say.
    """
    return _pins(environment, requirements, _own(environment, {}))


def fingerprint(environment: Environment) -> str:
    """Another text for other indexes in the values; ``none`` where they name none."""
    own = _own(environment, {})
    if not own:
        return "none"
    canonical = json.dumps([own, _places(environment)], sort_keys=True, default=str)
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"


def named(environment: Environment) -> list[NormalizedName]:
    """The packages that the values give an index of their own, normalised, sorted."""
    return sorted(_places(environment))


def for_build(
    environment: Environment, requirements: Sequence[str], environ: Mapping[str, str] = os.environ
) -> IndexConfig:
    """The indexes in force, with their logins; ``requirements`` are those of the lock that `named` names.

    Raises `SettingError` where a file cannot be read, a login cannot be had, or an index is a folder of this machine.
    """
    settings = _settings(environ)
    indexes = []
    for index in _in_order(_own(environment, environ), settings, environ):
        sent = {key: value for key, value in index.items() if key not in _NOT_SENT}
        indexes.append({**sent, "url": _with_login(index, settings, environ)})
    lines = [f"{key} = {toml.value(value)}\n" for key, value in _general(settings, environ)]
    text = "".join(lines + [_written(index, "index") for index in indexes])
    pins = _pins(environment, requirements, indexes)
    return IndexConfig(text, pins, _secrets(text + pins))


def _secrets(text: str) -> frozenset[str]:
    """The passwords in all addresses, as they stand there and as they are; a user alone is a token."""
    found = {password or user for user, _, password in (login.partition(":") for login in _LOGIN.findall(text))}
    return frozenset(found | set(map(unquote, found)))


def _own(environment: Environment, environ: Mapping[str, str]) -> list[Table]:
    """The indexes of the values, then those of the project that the values name as source."""
    spec = environment.spec
    found: list[Table] = [
        {"name": index.name, "url": index.url, **({"explicit": True} if index.packages else {})}
        for index in spec.indexes
    ]
    if spec.image.index:
        found.append({"url": spec.image.index, "default": True})
    known = {index.name for index in spec.indexes}
    found += [index for index in sources.project(environment).index if index.get("name") not in known]
    if _default_variable(environ):
        return [index for index in found if not index.get("default")]
    defaults = [index for index in found if index.get("default")]
    return [index for index in found if not index.get("default")] + defaults[:1]


def _places(environment: Environment) -> dict[NormalizedName, list[Table]]:
    """Package -> the names of its own indexes, as uv writes them in ``tool.uv.sources``."""
    found: dict[NormalizedName, list[Table]] = {}
    for name, entries in sources.project(environment).entries().items():
        each = [entry for entry in entries if "index" in entry]
        if each:
            found[canonicalize_name(name)] = each
    for index in environment.spec.indexes:
        found.update({canonicalize_name(package): [{"index": index.name}] for package in index.packages})
    return found


def _default_variable(environ: Mapping[str, str]) -> str:
    return environ.get("UV_DEFAULT_INDEX") or environ.get("UV_INDEX_URL") or ""


def _pins(environment: Environment, requirements: Sequence[str], indexes: Sequence[Table]) -> str:
    places = _places(environment)
    if not places or not requirements:
        return ""
    lines = [
        "[project]",
        f"name = {toml.value(PINS)}",
        'version = "0"',
        f"dependencies = {toml.value(list(requirements))}",
    ]
    lines += ["[tool.uv.sources]"]
    lines += [f"{toml.value(package)} = {toml.value(entries)}" for package, entries in sorted(places.items())]
    used = {entry["index"] for entries in places.values() for entry in entries}
    tables = [_written(index, "tool.uv.index") for index in indexes if index.get("name") in used]
    return "\n".join(lines) + "\n" + "".join(tables)


def _in_order(own: list[Table], settings: Table, environ: Mapping[str, str]) -> Iterator[Table]:
    """In uv's order: the first one that has a package gives it; the default comes last."""
    user = [index for index in settings.get("index", []) if isinstance(index, dict) and "url" in index]
    variable = _default_variable(environ)
    chosen = [Table(_split(variable), default=True)] if variable else []
    extra = (environ.get("UV_EXTRA_INDEX_URL") or "").split()
    chosen += [_split(word) for word in [*(environ.get("UV_INDEX") or "").split(), *extra]]
    legacy = [] if extra else [Table(url=url) for url in settings.get("extra-index-url", [])]
    if "index-url" in settings:
        legacy.append({"url": settings["index-url"], "default": True})
    found = [*chosen, *own, *user, *legacy]
    names: set[str] = set()
    for index in found:
        name = str(index.get("name", ""))
        if not index.get("default") and name not in names:
            yield index
        if name:
            names.add(name)
    yield from [index for index in found if index.get("default")][:1]


def _split(word: str) -> Table:
    """``name=url`` or an address alone; a ``=`` inside an address is no name."""
    name, equals, url = word.partition("=")
    is_named = bool(equals) and name.replace("-", "").replace("_", "").replace(".", "").isalnum()
    return {"name": name, "url": url} if is_named else {"url": word}


def _general(settings: Table, environ: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    for key in _SETTINGS:
        variable = environ.get(_VARIABLES.get(key, f"UV_{key.replace('-', '_').upper()}"))
        chosen: Any = settings.get(key)
        if variable and "proxy" not in key:
            chosen = variable.replace(",", " ").split() if key in _LISTS else variable
            chosen = variable.lower() in ("1", "true") if key == "no-index" else chosen
        if key == "find-links":
            for place in chosen or []:
                _check_place(str(place))
        if chosen:
            yield key, chosen


def _settings(environ: Mapping[str, str]) -> Table:
    """uv's own configuration: the user's, then the machine's; or the one file that UV_CONFIG_FILE names."""
    if chosen := environ.get("UV_CONFIG_FILE"):
        found = _read(Path(chosen))
        if found is None:
            raise SettingError(f"UV_CONFIG_FILE names {chosen}, which is not a file; correct it or unset it.")
        return found
    home = Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME") or "~").expanduser() / ".config")
    machine = [Path(folder) for folder in (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":") if folder]
    merged = _read(home / "uv" / "uv.toml") or {}
    for folder in (*machine, Path("/etc")):
        if (system := _read(folder / "uv" / "uv.toml")) is not None:
            lists = {k: [*merged.get(k, []), *v] for k, v in system.items() if isinstance(v, list)}
            return {**system, **merged, **lists}
    return merged


def _read(file: Path) -> Table | None:
    try:
        return tomllib.loads(file.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise SettingError(f"{file} cannot be read as uv's configuration: {error}.") from None


def _with_login(index: Table, settings: Table, environ: Mapping[str, str]) -> str:
    """The address with its login, wherever that is kept."""
    url = str(index["url"])
    _check_place(url)
    user, password = logins.find(index, settings, environ)
    if not (user or password):
        return url
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    login = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    return parts._replace(netloc=f"{login}@{host}").geturl()


def _check_place(url: str) -> None:
    if urlsplit(url).scheme not in ("http", "https"):
        raise SettingError(
            f"The package index {url} is a folder of this machine, which a build does not see; "
            "serve it by http, or name another index for the build."
        )


def _written(index: Table, table: str) -> str:
    lines = [f"{key} = {toml.value(value)}\n" for key, value in index.items()]
    return f"[[{table}]]\n{''.join(lines)}"
