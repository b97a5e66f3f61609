"""The keys of values files as rows of tables, by the parts of the model."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic.alias_generators import to_camel

from podenv.catalogue.spec import EnvironmentSpec
from podenv.catalogue.spec.fields import Model

_KINDS = {
    "string": "text", "integer": "number", "number": "number", "boolean": "true or false", "array": "list",
    "object": "map",
}  # fmt: skip
Row = tuple[str, str, str]  # key, kind, meaning


def sections() -> Iterator[tuple[str, list[Row]]]:
    """Each part of the model: what it is, and its keys."""
    schema = EnvironmentSpec.model_json_schema()
    for kind in EnvironmentSpec.__mro__[: EnvironmentSpec.__mro__.index(Model)]:
        own = {to_camel(name) for name in inspect.get_annotations(kind)}
        properties = {name: one for name, one in schema["properties"].items() if name in own}
        yield (inspect.getdoc(kind) or "").rstrip("."), list(_keys(schema, properties, ""))


def _keys(schema: dict[str, Any], properties: dict[str, Any], above: str) -> Iterator[Row]:
    """Key, kind and meaning of each; in an entry of a list only what is podenv's own, not Kubernetes'."""
    for name, given in properties.items():
        one = _resolved(schema, given)
        text = cell(given.get("description") or one.get("description") or "")
        if text or not above.endswith("[]."):
            yield above + name, _kind(schema, one), text
        entry = _resolved(schema, one["items"]) if "items" in one else {}
        if entry.get("additionalProperties") is False:
            yield from _keys(schema, entry["properties"], f"{above}{name}[].")
        for choice in one.get("anyOf", [one]):
            if choice.get("additionalProperties") is not True:
                yield from _keys(schema, choice.get("properties", {}), f"{above}{name}.")


def _resolved(schema: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """``given`` without the null that stands for a key that is not there, and with what it refers to."""
    choices = [one for one in given.get("anyOf", ()) if one.get("type") != "null"]
    inner = choices[0] if len(choices) == 1 else given
    if "$ref" in inner:
        inner = schema["$defs"][inner["$ref"].rpartition("/")[2]]
        return _resolved(schema, inner) if "anyOf" in inner else inner
    return inner


def _kind(schema: dict[str, Any], one: dict[str, Any]) -> str:
    if "enum" in one:
        return " or ".join(f"`{choice}`" for choice in one["enum"] if choice)
    if "anyOf" in one:
        return " or ".join(dict.fromkeys(_kind(schema, _resolved(schema, part)) for part in one["anyOf"]))
    given = one.get("type", "string")
    kinds = [_KINDS[kind] for kind in ([given] if isinstance(given, str) else given) if kind != "null"]
    if kinds == ["list"] and "items" in one:
        inner = _kind(schema, _resolved(schema, one["items"]))
        return f"list of {inner}s" if inner in ("text", "map", "number") else "list"
    return " or ".join(kinds)


def cell(text: str) -> str:
    """One line of text in a cell of a table."""
    line = re.sub(r"\s+", " ", text.replace("``", "`")).replace("|", r"\|").strip()
    # Outside of code a "<" would begin an HTML tag.
    return "".join(part if part.startswith("`") else part.replace("<", r"\<") for part in re.split("(`[^`]*`)", line))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
