"""Rules about what one task hands to the next; they need a loaded DAG."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from podenv.check import engine, standard
from podenv.check.findings import Finding
from podenv.check.graph import Edge, Graph, Place
from podenv.check.sources import Function, Sources, Unreadable
from podenv.check.views import first_line

_RULES = {"invalid-argument-type": "edge-type"}


@dataclass(frozen=True)
class _Pair:
    edge: Edge
    file: str
    parameter: ast.arg
    returned: str
    text: str


def mismatched(program: Path, graph: Graph, sources: Sources) -> Iterator[Finding]:
    """Parameters whose annotation does not take what the task before is annotated to return."""
    pairs = [pair for edge in graph.edges if (pair := _pair(edge, sources)) is not None]
    found = engine.judge(program, [pair.text for pair in pairs], python=standard.HERE, rules=_RULES) if pairs else []
    for pair, said in zip(pairs, found, strict=True):
        if not said:
            continue
        edge, place = pair.edge, pair.parameter
        yield Finding(
            "edge-type", pair.file, place.lineno, place.col_offset + 1,
            f"`{edge.down.name}` takes `{ast.unparse(place)}`, and `{edge.up.name}` returns `{pair.returned}`.",
            "Pass a part of it, like value[\"rows\"], or correct one of the annotations.", edge.dag, edge.task,
        )  # fmt: skip


def _pair(edge: Edge, sources: Sources) -> _Pair | None:
    """Both functions as a type checker needs them; None where one has no annotation, or is not in a file."""
    try:
        up, down = (sources.read(Path(place.file)) for place in (edge.up, edge.down))
    except Unreadable:
        return None
    fed, feeding = _function(down.tree, edge.down), _function(up.tree, edge.up)
    if fed is None or feeding is None or feeding.returns is None:
        return None
    arguments = [*fed.args.posonlyargs, *fed.args.args, *fed.args.kwonlyargs]
    parameter = next((one for one in arguments if one.arg == edge.parameter and one.annotation), None)
    if parameter is None or parameter.annotation is None:
        return None
    imports = dict.fromkeys(ast.unparse(one) for tree in (up.tree, down.tree) for one in _typing(tree.body))
    text = "\n".join([
        "from __future__ import annotations", *imports,
        f"def up() -> {ast.unparse(feeding.returns)}: ...",
        f"def down(value: {ast.unparse(parameter.annotation)}) -> None: ...",
        "down(up())", "",
    ])  # fmt: skip
    return _Pair(edge, down.name, parameter, ast.unparse(feeding.returns), text)


def _function(tree: ast.Module, place: Place) -> Function | None:
    for node in ast.walk(tree):
        if isinstance(node, Function) and node.name == place.name and first_line(node) == place.line:
            return node
    return None


def _typing(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Imports of the standard library: what else an annotation names is not known, and fits everything."""
    for node in body:
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module != "__future__":
            modules = [node.module or ""]
        else:
            continue
        if all(module.partition(".")[0] in (standard.names(standard.HERE) or ()) for module in modules):
            yield node
