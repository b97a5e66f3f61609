"""The changes that a deploy would make, object by object; secrets are masked."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import yaml

from podenv.release import manifest, masking, pool
from podenv.release.cluster import Json


@dataclass(frozen=True)
class Change:
    """One object that a deploy adds, changes or removes; ``lines`` is a unified diff of its YAML."""

    object: str
    action: Literal["add", "change", "remove"]
    lines: tuple[str, ...]


def between(current: list[Json], rendered: list[Json]) -> list[Change]:
    """The changes from one manifest to another, sorted by object."""
    return sorted(_changes(current, rendered), key=lambda change: change.object)


def _changes(current: list[Json], rendered: list[Json]) -> Iterator[Change]:
    old, new = ({manifest.identity(one): one for one in map(pool.without_hash, side)} for side in (current, rendered))
    for key in old | new:
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        item = after or before
        assert item is not None
        action: Literal["add", "change", "remove"] = (
            "add" if before is None else "remove" if after is None else "change"
        )
        yield Change(manifest.title(item), action, _lines(before, after))


def _lines(before: Json | None, after: Json | None) -> tuple[str, ...]:
    old, new = masking.masked_pair(before, after)
    return tuple(list(difflib.unified_diff(_text(old), _text(new), lineterm=""))[2:])


def _text(item: Any) -> list[str]:
    if item is None:
        return []
    return yaml.safe_dump(item, sort_keys=True, width=1000, allow_unicode=True).splitlines()
