"""Values as TOML writes them, for the few settings that uv is given; the standard library only reads TOML."""

from __future__ import annotations

import json


def value(given: object) -> str:
    """A map becomes an inline table."""
    if isinstance(given, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {value(one)}" for key, one in given.items()) + " }"
    if isinstance(given, list):
        return "[" + ", ".join(map(value, given)) + "]"
    return json.dumps(given if isinstance(given, bool | int | float) else str(given))
