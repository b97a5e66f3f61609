"""Every name that is derived from another, in one place."""

from __future__ import annotations

import re

from podenv.errors import InvalidName

MAX_NAME = 40
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_PYTHON = re.compile(r"3\.(0|[1-9][0-9]?)")


def check_environment_name(name: str) -> str:
    """Return ``name`` when it can name an environment: a DNS-1123 label of at most 40 characters.

    Raises `InvalidName` with the rule that it breaks.
    """
    if len(name) > MAX_NAME:
        raise InvalidName(
            f"{name!r} cannot name an environment: {len(name)} characters, at most {MAX_NAME} are allowed."
        )
    if not _NAME.fullmatch(name):
        raise InvalidName(
            f"{name!r} cannot name an environment: use lower-case letters, digits and '-', "
            "beginning and ending with a letter or a digit (a DNS-1123 label)."
        )
    return name


def is_python_version(text: str) -> bool:
    """Whether ``text`` is a Python version as values files name it: ``3.<minor>``."""
    return _PYTHON.fullmatch(text) is not None


def lock_key(python: str, lock_hash: str) -> str:
    """Name of what is made from one lock on one Python: ``py3.13-<first 16 hex digits of the lock's SHA-256>``."""
    return f"py{python}-{lock_hash[:16]}"
