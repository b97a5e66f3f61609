"""Values that a JSON schema accepts, as a hypothesis strategy; hypothesis-jsonschema needs an older hypothesis."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import ceil, floor
from typing import Any

import jsonschema
from hypothesis import strategies as st

Schema = dict[str, Any]


def _whole_pattern(validator: Any, pattern: str, instance: Any, schema: Schema) -> Any:
    """JSON schema's ``$`` is the end of the text; Python's also stands before a last newline."""
    if isinstance(instance, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), instance):
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


Validator: Any = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft7Validator, {"pattern": _whole_pattern}
)

# Without surrogates (they are not text) and NUL (variables of a process cannot hold it).
text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
scalars = (
    st.none() | st.booleans() | st.integers(-(2**31), 2**31) | st.floats(allow_nan=False, allow_infinity=False) | text
)
anything = st.recursive(scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(text, inner, max_size=2))


def is_valid(schema: Schema) -> Callable[[Any], bool]:
    """True if a value is one that ``schema`` accepts."""
    checked: Callable[[Any], bool] = Validator(schema).is_valid
    return checked


def accepted_by(schema: Schema) -> st.SearchStrategy[Any]:
    """Values that ``schema`` accepts, for the keywords that pydantic writes."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema and "type" not in schema:
        return st.one_of(*map(accepted_by, schema["anyOf"]))
    types = schema.get("type", [])
    made = [_OF_TYPE[one](schema) for one in ([types] if isinstance(types, str) else types)]
    strategy = st.one_of(*made) if made else anything
    narrowed = {"oneOf", "not", "then", "exclusiveMaximum", "patternProperties"} & schema.keys() or not made
    return strategy.filter(is_valid(schema)) if narrowed else strategy


def _texts(schema: Schema) -> st.SearchStrategy[str]:
    if "pattern" not in schema:
        return text
    matching = st.from_regex(re.compile(schema["pattern"]), fullmatch=True)
    return matching.filter(lambda one: len(one) <= schema.get("maxLength", 999))


def _objects(schema: Schema) -> st.SearchStrategy[Any]:
    required = schema.get("required", [])
    known = {key: accepted_by(one) for key, one in schema.get("properties", {}).items()}
    names = {"pattern": "^.*$", **schema.get("propertyNames", {})}
    more = schema.get("additionalProperties", True)
    free: st.SearchStrategy[Any] = st.just({})
    by_form = schema.get("patternProperties", {})
    if isinstance(more, dict):
        free = st.dictionaries(_texts(names).filter(is_valid(names)), accepted_by(more), max_size=2)
    elif more and not known:
        free = st.dictionaries(text, anything, max_size=2)

    @st.composite
    def build(draw: st.DrawFn) -> Any:
        optional = sorted(set(known) - set(required))
        keys = draw(st.lists(st.sampled_from(optional), max_size=6, unique=True)) if optional else []
        made = {**draw(free), **{key: draw(known[key]) for key in (*required, *keys)}}
        for form in draw(st.lists(st.sampled_from(sorted(by_form)), max_size=3)) if by_form else []:
            made[draw(_texts({"pattern": form}))] = draw(accepted_by(by_form[form]))
        return made

    return build()


def _numbers(schema: Schema) -> st.SearchStrategy[float]:
    least: float = schema["minimum"]
    most: float = {"maximum": schema.get("exclusiveMaximum", 1e12), **schema}["maximum"]
    return st.floats(least, most, allow_nan=False) | st.integers(ceil(least), floor(most))


_OF_TYPE: dict[str, Callable[[Schema], st.SearchStrategy[Any]]] = {
    "string": _texts,
    "object": _objects,
    "null": lambda schema: st.none(),
    "boolean": lambda schema: st.booleans(),
    "integer": lambda schema: st.integers(schema.get("minimum", -(2**31)), schema.get("maximum", 2**31)),
    "number": _numbers,
    "array": lambda schema: st.lists(accepted_by(schema["items"]), max_size=2),
}


@st.composite
def damaged(draw: st.DrawFn, sound: st.SearchStrategy[Any]) -> Any:
    """A value of ``sound`` with one place in it replaced, removed, or given an unknown key."""
    tree = draw(sound)
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, below in pairs:
            places.append((node, key))
            walk(below)

    walk(tree)
    node, key = draw(st.sampled_from(places))
    match draw(st.sampled_from(["replace", "replace", "add", "remove"])):
        case "add" if isinstance(node[key], dict):
            node[key][draw(text)] = draw(scalars)
        case "remove":
            node.pop(key)
        case _:
            node[key] = draw(scalars | anything)
    return tree
