"""What the annotation of a parameter names, read as text: nothing of it is evaluated."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_ONLY_TREE = 0x400  # ast.PyCF_ONLY_AST
_KNOWN = {
    "pandas.DataFrame": "pandas.DataFrame",
    "pandas.core.frame.DataFrame": "pandas.DataFrame",
    "polars.DataFrame": "polars.DataFrame",
    "polars.dataframe.frame.DataFrame": "polars.DataFrame",
    "pyarrow.Table": "pyarrow.Table",
    "pyarrow.lib.Table": "pyarrow.Table",
    "pathlib.Path": "pathlib.Path",
    "bytes": "bytes",
}
_ALIASES = {"pd": "pandas", "pl": "polars", "pa": "pyarrow"}
_ANYTHING = ("Any", "object", "None")
_UNIONS = ("Optional", "Union")
_MAPPINGS = ("dict", "Dict", "Mapping", "MutableMapping", "OrderedDict", "defaultdict")
_SEQUENCES = (
    "list", "List", "tuple", "Tuple", "set", "Set", "frozenset", "FrozenSet", "Sequence", "MutableSequence", "Iterable",
    "Collection", "AbstractSet",
)  # fmt: skip


class Wanted:
    """What an annotation asks for.

    ``names`` are the types it names, in its order, those that podenv knows by their full names; empty where it says
    nothing. ``inner`` is what it says of the elements of a list or a tuple, or of the values of a dict.
    """

    def __init__(self, names: tuple[str, ...] = (), inner: tuple[Wanted, ...] = ()) -> None:
        self.names = names
        self.inner = inner

    def element(self, number: int) -> Wanted:
        """What it says of the element ``number``: a tuple may say another thing of each."""
        if len(self.inner) == 1:
            return self.inner[0]
        return self.inner[number] if number < len(self.inner) else ANYTHING


ANYTHING = Wanted()


def read(annotation: Any, names: Mapping[str, Any]) -> Wanted:
    """What ``annotation`` asks for; ``names`` are those of the function's module."""
    if isinstance(annotation, type):
        return _of_name(f"{annotation.__module__}.{annotation.__qualname__}".replace("builtins.", ""), names)
    if not isinstance(annotation, str):
        return ANYTHING
    try:
        return _of_node(compile(annotation.strip(), "", "eval", _ONLY_TREE, True).body, names)
    except (SyntaxError, ValueError):
        return ANYTHING


def _of_node(node: Any, names: Mapping[str, Any]) -> Wanted:
    kind = type(node).__name__
    if kind == "Constant" and isinstance(node.value, str):
        return read(node.value, names)
    if kind == "BinOp":
        return _union([_of_node(node.left, names), _of_node(node.right, names)])
    if kind == "Subscript":
        return _of_subscript(_dotted(node.value).rpartition(".")[2], _arguments(node.slice), node, names)
    return _of_name(_dotted(node), names)


def _of_subscript(name: str, arguments: list[Any], node: Any, names: Mapping[str, Any]) -> Wanted:
    if name in _UNIONS:
        return _union([_of_node(one, names) for one in arguments])
    if name == "Annotated":
        return _of_node(arguments[0], names)
    if name in _MAPPINGS:
        return Wanted(("dict",), (_of_node(arguments[-1], names),))
    if name in _SEQUENCES:
        elements = [one for one in arguments if getattr(one, "value", None) is not ...]
        return Wanted(("list",), tuple(_of_node(one, names) for one in elements))
    return _of_node(node.value, names)


def _union(parts: list[Wanted]) -> Wanted:
    inner = next((one.inner for one in parts if one.inner), ())
    return Wanted(tuple(name for one in parts for name in one.names), inner)


def _of_name(text: str, names: Mapping[str, Any]) -> Wanted:
    head, _, rest = text.partition(".")
    found = names.get(head)
    if type(found).__name__ == "module":
        text = f"{found.__name__}.{rest}"  # type: ignore[union-attr]
    elif isinstance(found, type) and not rest:
        text = f"{found.__module__}.{found.__qualname__}".replace("builtins.", "")
    elif head in _ALIASES:
        text = f"{_ALIASES[head]}.{rest}"
    last = text.rpartition(".")[2]
    if last in _ANYTHING or not text:
        return ANYTHING
    if last == "Path" and text.partition(".")[0] in ("Path", "pathlib"):
        return Wanted(("pathlib.Path",))
    return Wanted((_KNOWN.get(text, text),))


def _dotted(node: Any) -> str:
    """The text ``a.b`` of a name's tree; empty where ``node`` is not a name."""
    parts = []
    while type(node).__name__ == "Attribute":
        parts.append(node.attr)
        node = node.value
    if type(node).__name__ == "Constant":
        return "None" if node.value is None else ""
    return ".".join([node.id, *reversed(parts)]) if type(node).__name__ == "Name" else ""


def _arguments(node: Any) -> list[Any]:
    if type(node).__name__ == "Index":  # Python 3.8
        node = node.value
    return list(node.elts) if type(node).__name__ == "Tuple" else [node]
