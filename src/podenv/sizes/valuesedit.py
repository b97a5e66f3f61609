"""One scalar of a values file set to another text; every other byte stays: comments, order, quotes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml


class ByHand(Exception):
    """It cannot be edited here; the message says why."""


def edited(text: str, path: Sequence[str], value: str) -> str:
    """``text``, a values file, with ``value`` at ``path``, which is made where it is missing. Raises `ByHand`."""
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise ByHand("it uses anchors, and what one place says holds elsewhere too")
        root = yaml.compose(text, yaml.SafeLoader)
    except yaml.YAMLError:
        raise ByHand("it is not YAML that can be edited") from None
    after = _set(text, root, path, value)
    try:
        whole = yaml.load(after, yaml.BaseLoader)  # noqa: S506 - it makes texts only
    except yaml.YAMLError:
        raise ByHand("its layout is an unusual one") from None
    if whole != _with(yaml.load(text, yaml.BaseLoader) or {}, path, value):  # noqa: S506
        raise ByHand("its layout is an unusual one")
    return after


def _set(text: str, root: yaml.Node | None, path: Sequence[str], value: str) -> str:
    if root is None:  # an empty file, or comments alone
        return _below(text, path, value)
    node, missing = root, list(path)
    while missing and isinstance(node, yaml.MappingNode):
        found = next((below for key, below in node.value if key.value == missing[0]), None)
        if found is None:
            return _inserted(text, node, missing, value)
        node, missing = found, missing[1:]
    if missing or not isinstance(node, yaml.ScalarNode):
        raise ByHand(f"{'.'.join(path[: len(path) - len(missing)])} is not a map there")
    if node.start_mark.index == node.end_mark.index:
        raise ByHand(f"{'.'.join(path)} is empty there")
    return text[: node.start_mark.index] + value + text[node.end_mark.index :]


def _inserted(text: str, node: yaml.MappingNode, missing: Sequence[str], value: str) -> str:
    """With the missing keys as the first of the map ``node``."""
    if not node.value:
        raise ByHand("there is an empty map in the place")
    if node.flow_style:
        at = node.value[0][0].start_mark.index
        return f"{text[:at]}{_flow(missing, value)}, {text[at:]}"
    first = node.value[0][0].start_mark
    if node.start_mark.index == 0 and first.column == 0:  # the file's own map: at its end
        return _below(text, missing, value)
    start = first.index - first.column
    return text[:start] + _block(text, missing, value, " " * first.column) + text[start:]


def _below(text: str, path: Sequence[str], value: str) -> str:
    end = _line_end(text)
    joint = "" if not text or text.endswith(end * 2) else end if text.endswith(end) else end * 2
    return text + joint + _block(text, path, value, "")


def _block(text: str, path: Sequence[str], value: str, indent: str) -> str:
    end = _line_end(text)
    lines = [f"{indent}{'  ' * depth}{key}:" for depth, key in enumerate(path)]
    return end.join(lines) + f" {value}{end}"


def _line_end(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _flow(path: Sequence[str], value: str) -> str:
    return f"{path[0]}: {value}" if len(path) == 1 else f"{path[0]}: {{{_flow(path[1:], value)}}}"


def _with(tree: dict[str, Any], path: Sequence[str], value: str) -> dict[str, Any]:
    key, *rest = path
    below = tree.get(key) or {}
    text = yaml.load(value, yaml.BaseLoader)  # noqa: S506
    return {**tree, key: _with(below, rest, value) if rest else text}
