"""Tagged JSON to values: builds nothing but what ``tagged`` sends, which are standard types."""

from __future__ import annotations

import binascii

from .tagged import COLLECTIONS, TAG, Refused
from .text import loads

TYPE_CHECKING = False  # typing costs every task milliseconds
if TYPE_CHECKING:
    from typing import Any


def decode(encoded: str) -> Any:
    """The value in the JSON text ``encoded``; builds tagged standard types only. Raises Refused."""
    try:
        return loads(encoded, _revive)
    except (ValueError, TypeError, KeyError, ArithmeticError, RecursionError) as error:
        raise Refused(f"this is not a value that podenv encoded ({error})") from None


def _revive(found: dict[str, Any]) -> Any:
    """The value of one JSON object; the objects inside it are values already."""
    tag = found.get(TAG)
    if tag is None:
        return found
    value = found["v"]
    if tag in COLLECTIONS:
        return COLLECTIONS[tag](value)
    if tag == "dict":
        return dict(value)
    if tag == "int":
        return int(value, 16)
    if tag == "float":
        return float(value)
    if tag == "bytes":
        return binascii.a2b_base64(value)
    if tag in ("datetime", "date", "time", "timedelta"):
        return _revive_time(tag, value, found)
    if tag == "decimal":
        from decimal import Decimal

        return Decimal(value)
    if tag == "uuid":
        from uuid import UUID

        return UUID(value)
    if tag == "path":
        from pathlib import Path

        return Path(value)
    if tag == "exchange":
        from .reference import Reference

        return Reference.of_json(value)
    raise ValueError(f"unknown tag {tag!r}")


def _revive_time(tag: str, value: Any, found: dict[str, Any]) -> Any:
    import datetime

    if tag == "timedelta":
        return datetime.timedelta(microseconds=value)
    if tag == "date":
        return datetime.date.fromisoformat(value)
    zone = _load_zone(found["zone"]) if "zone" in found else None
    fold = found.get("fold", 0)
    if tag == "time":
        clock = datetime.time.fromisoformat(value).replace(fold=fold)
        return clock.replace(tzinfo=zone) if zone else clock
    moment = datetime.datetime.fromisoformat(value).replace(fold=fold)
    if zone:
        # Only where both sides' time zone tables agree: the moment matters more than the zone's name.
        for attempt in (fold, 1 - fold):
            named = moment.replace(tzinfo=zone, fold=attempt)
            if named.utcoffset() == moment.utcoffset():
                return named
    return moment


def _load_zone(name: str) -> Any:
    """The zone, or None on a Python (3.8) or an image (no tzdata) that does not know it: its offset is then kept."""
    try:
        from zoneinfo import ZoneInfo

        return ZoneInfo(name)
    except (ImportError, KeyError, ValueError, OSError):
        return None
