"""The standard library of each Python, by name."""

from __future__ import annotations

import sys
from functools import cache

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@cache
def names(python: str) -> frozenset[str] | None:
    """The top-level modules of ``python``'s standard library; None where nothing here knows them."""
    if python == HERE:
        return frozenset(sys.stdlib_module_names)
    lists = _lists()
    if not lists:
        return None
    # A Python that is newer than the lists has what the newest of them has, as far as anybody can tell.
    newest = max(lists, key=_order)
    if python not in lists and _order(python) < _order(newest):
        return None
    from stdlib_list import stdlib_list

    return frozenset(name.partition(".")[0] for name in stdlib_list(python if python in lists else newest))


def is_known() -> bool:
    """True if the package that knows the other Pythons is installed."""
    return bool(_lists())


def versions_with(module: str) -> list[str]:
    """The Pythons from 3.8 on whose standard library has ``module``, the oldest first."""
    known = sorted({HERE, *(one for one in _lists() if _order(one) >= (3, 8))}, key=_order)
    return [python for python in known if module in (names(python) or ())]


@cache
def _lists() -> tuple[str, ...]:
    try:
        from stdlib_list import short_versions
    except ImportError:
        return ()
    return tuple(short_versions)


def _order(python: str) -> tuple[int, ...]:
    return tuple(int(part) for part in python.split("."))
