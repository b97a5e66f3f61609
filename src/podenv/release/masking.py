"""Hiding secrets in what is shown: contents of Secrets, and variables with names such as DB_PASSWORD."""

from __future__ import annotations

import re
from typing import Any

MASK = "***"
_SECRET = re.compile(r"(?i)pass(word|wd|phrase)|secret|token|credential|api_?key|(private|access)_?key|_key$|_pw$")
_REFERENCE = re.compile(r"(?i)(file|path|name|url)$")  # names a place, not the secret itself


def looks_secret(name: str) -> bool:
    """True if a variable of this name holds a secret, as far as a name can tell."""
    return bool(_SECRET.search(name)) and not _REFERENCE.search(name)


def secrets(values: dict[str, Any]) -> set[str]:
    """Values of an environment's variables that look secret."""
    return {
        value
        for name, value in (values.get("env") or {}).items()
        if isinstance(value, str) and value and looks_secret(name)
    }


def masked_values(values: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The values as they may be shown, and the names of the variables that were masked."""
    variables = values.get("env") or {}
    hidden = [name for name, value in variables.items() if value and looks_secret(name)]
    if not hidden:
        return values, []
    shown = {name: MASK if name in hidden else value for name, value in variables.items()}
    return {**values, "env": shown}, hidden


def masked_object(item: Any, *, salt: str = "") -> Any:
    """A Kubernetes object as it may be shown; ``salt`` stands in the mask, to tell an old value from a new one."""
    mask = MASK + salt
    if isinstance(item, list):
        return [masked_object(one, salt=salt) for one in item]
    if not isinstance(item, dict):
        return item
    if item.get("kind") == "Secret":
        return {
            key: dict.fromkeys(value, mask) if key in ("data", "stringData") and isinstance(value, dict) else value
            for key, value in item.items()
        }
    if isinstance(item.get("name"), str) and item.get("value") and looks_secret(item["name"]):
        return {**item, "value": mask}
    return {key: masked_object(value, salt=salt) for key, value in item.items()}


def masked_pair(old: Any, new: Any) -> tuple[Any, Any]:
    """Both objects masked; where nothing but secrets differs, the masks say so."""
    shown = masked_object(old), masked_object(new)
    if shown[0] == shown[1] and old != new:
        return masked_object(old, salt=" (before)"), masked_object(new, salt=" (after)")
    return shown
