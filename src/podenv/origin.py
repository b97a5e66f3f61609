"""Where the checkout of a project comes from: git's remote `origin`."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from podenv import process
from podenv.errors import ProgramError

_WITHOUT_SCHEME = re.compile(r"(?:[^@/]+@)?([^:/@]+):(?!//)(.+)")  # git@host:org/repo.git


def address(folder: Path) -> str:
    """The URL of git's remote `origin`, without a login; empty where there is none."""
    try:
        said = process.run(["git", "-C", str(folder), "remote", "get-url", "origin"]).stdout.strip()
    except ProgramError:
        return ""
    if short := _WITHOUT_SCHEME.fullmatch(said):
        return f"ssh://{short[1]}/{short[2].lstrip('/')}"
    scheme, slashes, rest = said.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}" if slashes else said


def page(folder: Path) -> str:
    """The https address of git's remote `origin`, for people; empty where it is none that others can open."""
    url = urlsplit(address(folder))
    if url.scheme not in ("http", "https", "ssh", "git") or not url.hostname:
        return ""
    host = url.netloc if url.scheme in ("http", "https") else url.hostname  # the port of ssh is not that of the page
    scheme = "http" if url.scheme == "http" else "https"
    return f"{scheme}://{host}" + url.path.rstrip("/").removesuffix(".git")
