"""A pydantic JSON schema as Helm needs it: in one piece, and with null where Helm still holds one.

Helm removes a key that a values file sets to null only where the chart has a default for that key; elsewhere, and
inside free maps, the schema sees the null (seen with Helm 3.17.2, 4.1.4, 4.3.1). Inside lists nothing is removed.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]
_NULL = {"type": "null"}


def for_helm(schema: Schema) -> Schema:
    """Draft 7, references replaced by what they name, titles and defaults dropped, optional keys nullable."""
    definitions = schema.get("$defs", {})
    return {"$schema": "http://json-schema.org/draft-07/schema#", **_plain(schema, definitions, in_list=False)}


def _plain(schema: Schema, definitions: Schema, *, in_list: bool) -> Schema:
    if "$ref" in schema:
        schema = definitions[schema["$ref"].removeprefix("#/$defs/")] | {k: v for k, v in schema.items() if k != "$ref"}
        return _plain(schema, definitions, in_list=in_list)
    if "anyOf" in schema and _NULL in schema["anyOf"]:
        rest = [one for one in schema["anyOf"] if one != _NULL]
        only = rest[0] if len(rest) == 1 else {"anyOf": rest}
        return _plain(only | {k: v for k, v in schema.items() if k != "anyOf"}, definitions, in_list=in_list)
    plain = {k: v for k, v in schema.items() if k not in ("$defs", "title", "default")}
    if "patternProperties" in plain and "additionalProperties" not in plain:  # pydantic allows keys of another form
        ((pattern, plain["additionalProperties"]),) = plain.pop("patternProperties").items()
        plain["propertyNames"] = {"pattern": pattern, **plain.get("propertyNames", {})}
    if "properties" in plain:
        required = plain.get("required", [])
        plain["properties"] = {
            key: _plain(value, definitions, in_list=in_list)
            if in_list or key in required
            else _nullable(_plain(value, definitions, in_list=False))
            for key, value in plain["properties"].items()
        }
    if isinstance(plain.get("additionalProperties"), dict):
        plain["additionalProperties"] = _value(plain["additionalProperties"], definitions, in_list=in_list)
    if "patternProperties" in plain:
        plain["patternProperties"] = {
            pattern: _value(value, definitions, in_list=in_list)
            for pattern, value in plain["patternProperties"].items()
        }
    if "anyOf" in plain:
        plain["anyOf"] = [_plain(one, definitions, in_list=in_list) for one in plain["anyOf"]]
    if "items" in plain:
        plain["items"] = _plain(plain["items"], definitions, in_list=True)
    return plain


def _value(schema: Schema, definitions: Schema, *, in_list: bool) -> Schema:
    """The schema of a free map's value."""
    inner = _plain(schema, definitions, in_list=in_list)
    return inner if in_list else _nullable(inner)


def _nullable(schema: Schema) -> Schema:
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], _NULL]}
    if "enum" in schema:
        schema = {**schema, "enum": [*schema["enum"], None]}
    if "type" not in schema:
        return schema
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return {**schema, "type": [*types, "null"]}
