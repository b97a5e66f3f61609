"""Values files, read and merged exactly as Helm reads and merges them.

Helm parses with sigs.k8s.io/yaml (go-yaml 2), which differs from PyYAML: ``1e3`` is a number, ``y`` is true, dates and
``12:30:45`` are strings, ``010`` is eight. Seen with Helm 4.1.4; the comparison is in
tests/unit/catalogue/test_values.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from podenv.errors import ValuesError

try:
    from yaml import CSafeLoader as _BaseLoader
except ImportError:  # PyYAML without libyaml
    from yaml import SafeLoader as _BaseLoader  # type: ignore[assignment]

_TOO_DEEP = "it is nested too deep; lay it out flatter."
_BOOLEANS = {
    **{word: True for text in ("y", "yes", "true", "on") for word in (text, text.capitalize(), text.upper())},
    **{word: False for text in ("n", "no", "false", "off") for word in (text, text.capitalize(), text.upper())},
}
_NULLS = {"", "~", "null", "Null", "NULL"}
_INTEGER = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|0[bB][01]+|0|[1-9][0-9]*)")
_SIGNED_INSIDE = re.compile(r"0b[-+][01]+")  # go-yaml reads what stands behind this prefix as a number of its own
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NO_JSON = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def _scalar(text: str) -> Any:
    """A plain (unquoted) scalar as go-yaml 2 resolves it."""
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _NO_JSON.fullmatch(text):
        raise ValueError(f"{text} is not a number that Helm can pass on")
    digits = text.replace("_", "")
    if _SIGNED_INSIDE.fullmatch(digits):
        digits = digits[2] + digits[:2] + digits[3:]
    if text[0] != "_" and _INTEGER.fullmatch(digits):
        sign = -1 if digits[0] == "-" else 1
        body = digits.lstrip("+-").lower()
        octal = re.fullmatch(r"0o?([0-7]+)", body)
        number = sign * (int(octal[1], 8) if octal else int(body, 0))
        return number if -(2**63) <= number < 2**64 else float(number)
    if text[0] != "_" and _FLOAT.fullmatch(digits) and math.isfinite(float(digits)):
        return float(digits)
    return text


class _Loader(_BaseLoader):
    """PyYAML's parser with Helm's scalars; a key given twice is refused, since one of the two would be lost."""


def _construct_scalar(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
    try:
        return _scalar(node.value)
    except ValueError as error:
        raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from None


def _construct_map(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[str, Any]:
    seen: set[Hashable] = set()
    for key_node, _ in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(None, None, "a key must be a plain text", key_node.start_mark)
        if key_node.value in seen and key_node.tag != "tag:yaml.org,2002:merge":
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key_node.value!r} stands here twice", key_node.start_mark
            )
        seen.add(key_node.value)
        if loader.construct_object(key_node) is None:
            raise yaml.constructor.ConstructorError(
                None, None, f"{key_node.value or 'nothing'} as a key is null; put it in quotes", key_node.start_mark
            )
    loader.flatten_mapping(node)
    return {_key(loader.construct_object(key)): loader.construct_object(value, deep=True) for key, value in node.value}


def _key(key: Any) -> str:
    """A key as Helm turns it into JSON: always a text."""
    if isinstance(key, bool):
        return str(key).lower()
    return f"{key:g}" if isinstance(key, float) else str(key)


# Every plain scalar except the merge key is resolved by `_scalar`; quoted texts keep the tag `str`.
_Loader.yaml_implicit_resolvers = {
    "<": [("tag:yaml.org,2002:merge", re.compile("<<"))],
    None: [("tag:podenv.dev,2026:plain", re.compile(""))],
}
_Loader.add_constructor("tag:podenv.dev,2026:plain", _construct_scalar)
_Loader.add_constructor("tag:yaml.org,2002:merge", lambda loader, node: node.value)  # `<<` as a value is a text
_Loader.add_constructor("tag:yaml.org,2002:map", _construct_map)


def read(file: Path) -> dict[str, Any]:
    """The values in ``file``; an empty file is an empty dict.

    A file that has not changed (same time and size) is read once per process; do not alter what is returned.
    Raises `ValuesError` naming the line, and `FileNotFoundError`.
    """
    stat = file.stat()
    return _read(file, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=4096)
def _read(file: Path, mtime_ns: int, size: int) -> dict[str, Any]:
    try:
        values = yaml.load(file.read_bytes(), _Loader)  # noqa: S506 - a safe loader with other scalars
    except yaml.MarkedYAMLError as error:
        if "nesting depth" in str(error.problem):  # PyYAML 6.0.4; an older one runs into Python's own limit
            raise ValuesError(file, "", _TOO_DEEP) from None
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ValuesError(file, where, f"{error.problem}; correct the YAML there.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        why = str(error).splitlines()[0]
        raise ValuesError(file, "", f"it is not YAML text ({why}); save it as UTF-8 YAML.") from None
    except RecursionError:
        raise ValuesError(file, "", _TOO_DEEP) from None
    except OSError as error:
        raise ValuesError(file, "", f"it cannot be read: {error.strerror}.") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ValuesError(file, "", "it must be a map of keys to values, as Helm values are.")
    return values


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """``over`` laid upon ``base`` as ``helm -f base -f over`` does; neither is altered.

    Maps merge, lists are replaced, a null stays (Helm lets it remove the chart's default).
    """
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def flat(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each value of ``tree`` with its dotted path; a list is one value."""
    if isinstance(tree, Mapping) and tree:
        for key, one in tree.items():
            yield from flat(one, f"{path}.{key}" if path else str(key))
    else:
        yield path, list(tree) if isinstance(tree, Sequence) and not isinstance(tree, str) else tree


class _Dumper(yaml.SafeDumper):
    """PyYAML's writer; a text that Helm or kubectl would read as something else is quoted, and nothing is an alias."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    try:
        plain = isinstance(_scalar(text), str)
    except ValueError:
        plain = False
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_Dumper.add_representer(str, _represent_text)


def dump(tree: dict[str, Any]) -> str:
    """``tree`` as YAML that Helm, kubectl and `read` all read back as it is."""
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)
