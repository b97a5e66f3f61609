"""The values that differ among environments which could share a lock, and what one of their own would have. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from podenv.catalogue import quantity
from podenv.catalogue.automemory import AUTO

Json = dict[str, Any]
# What no environment that takes the place of others has from them, or has from its lock.
_NOT_MERGED = ("description", "python", "source", "packages", "systemPackages", "resources", "lock")


def keys(values: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The top-level keys whose values are not alike in all."""
    names = sorted({key for one in values for key in one if key not in _NOT_MERGED})
    return tuple(key for key in names if any(one.get(key) != values[0].get(key) for one in values[1:]))


def merged(values: Sequence[Mapping[str, Any]]) -> Json:
    """What they have alike; of resources the larger ones, of system packages all."""
    left_out = keys(values)
    found: Json = {"python": values[0]["python"]}
    if packages := sorted({name for one in values for name in one.get("systemPackages") or ()}):
        found["systemPackages"] = packages
    if resources := _resources([one.get("resources") or {} for one in values]):
        found["resources"] = resources
    return found | {key: one for key, one in values[0].items() if key not in (*left_out, *_NOT_MERGED)}


def _resources(each: Sequence[Mapping[str, Any]]) -> Json:
    found: Json = {}
    for kind in ("requests", "limits"):
        names = sorted({name for one in each for name in one.get(kind) or ()})
        largest = {
            name: _largest([(one.get(kind) or {}).get(name) for one in each], is_limit=kind == "limits")
            for name in names
        }
        if kept := {name: value for name, value in largest.items() if value is not None}:
            found[kind] = kept
    # What memory that is auto grows to is no less than what any of them may have.
    caps = [one.get("maxMemory") for one in each]
    if found.get("limits", {}).get("memory") == AUTO:
        caps += [limit for one in each if (limit := (one.get("limits") or {}).get("memory")) != AUTO]
    if (most := _largest(caps, is_limit=False)) is not None:
        found["maxMemory"] = most
    return found


def _largest(given: Sequence[Any], *, is_limit: bool) -> Any:
    """The largest of the amounts; None where one has no limit, which is more than any; auto where one is learned."""
    known = [one for one in given if one is not None]
    if not known or (is_limit and len(known) < len(given)):
        return None
    if AUTO in known:
        return AUTO
    return max(known, key=lambda one: quantity.parse(str(one)))
