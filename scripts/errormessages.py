"""The messages of podenv's errors, as the code that raises them spells them."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

SOURCES = Path(__file__).resolve().parent.parent / "src" / "podenv"
LONG = 15  # characters of fixed text from which on a person could search for it


def messages(types: set[str]) -> dict[str, list[str]]:
    """Type of an error -> its messages; what differs from case to case is an ellipsis."""
    found: dict[str, set[str]] = defaultdict(set)
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in SOURCES.rglob("*.py")]
    constants = {name: text for tree in trees for name, text in _constants(tree)}
    for tree in trees:
        for name, node in _made(tree, types):
            arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
            texts = [text for one in arguments for text in _texts(one, constants)]
            found[name] |= {text for text in texts if len(text.replace("…", "").strip()) >= LONG}
    return {name: sorted(texts) for name, texts in sorted(found.items()) if texts}


def _made(tree: ast.AST, types: set[str]) -> Iterator[tuple[str, ast.Call]]:
    """Every call that makes an error, and what its class hands to ``super().__init__``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name in types:
            calls = [one for one in ast.walk(node) if isinstance(one, ast.Call)]
            yield from ((node.name, one) for one in calls if ast.unparse(one.func) == "super().__init__")
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2]
            if name in types:
                yield name, node


def _constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The texts that a module has a name for, such as a remedy that several errors share."""
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(text))):
                yield name, text


def _texts(node: ast.expr, constants: Mapping[str, str]) -> list[str]:
    """The text of an argument, once for each branch of it."""
    if isinstance(node, ast.IfExp):
        return [*_texts(node.body, constants), *_texts(node.orelse, constants)]
    text = re.sub(r"(…\s*)+…", "…", _text(node, constants))
    text = text.replace("….…", "…. …")  # what is filled in after a full stop begins with a space
    return [re.sub(r"\s+", " ", text).strip()]


def _text(node: ast.expr, constants: Mapping[str, str]) -> str:
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.JoinedStr(values=values):
            return "".join(_text(value, constants) for value in values)
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            return _text(left, constants) + _text(right, constants)
        case ast.Name(id=name) | ast.FormattedValue(value=ast.Name(id=name)):
            return constants.get(name, "…")
        case _:
            return "…"
