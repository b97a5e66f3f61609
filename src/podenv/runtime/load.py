"""From a Code to the function: each statement that travelled runs under its own file's name and line numbers."""

from __future__ import annotations
import __future__

import _ast  # the module ast costs each task milliseconds
import sys

TYPE_CHECKING = False  # typing costs as much
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .call import Code

_ONLY_TREE = 0x400  # ast.PyCF_ONLY_AST
_POSITION = ("lineno", "col_offset", "end_lineno", "end_col_offset")


def load(code: Code) -> Any:
    """The function, made in ``__main__`` by the statements that travelled with it."""
    namespace = sys.modules["__main__"].__dict__
    for name in [name for name in namespace if not name.startswith("__")]:
        del namespace[name]
    # inspect.getsource asks the module's loader where there is no such file.
    namespace["__loader__"] = _Loader(texts(code).get(code.filename, ""))
    namespace["__file__"] = code.filename
    if code.package:
        namespace["__package__"] = code.package
    hidden = {"$" + name: value for name, value in code.defaults.items()}
    namespace.update(code.constants, **hidden)
    for filename, tree in _trees(code, code.pieces):
        _run(tree, filename, code, namespace)
    function = _inner(code, namespace) if code.inner else namespace[code.name]
    for name in hidden:
        del namespace[name]
    return function


def texts(code: Code) -> dict[str, str]:
    """Of each file what travelled, every line in its place."""
    files: dict[str, list[str]] = {}
    for filename, line, text in [*code.pieces, *code.inner]:
        if line:
            _place(files.setdefault(filename, []), line, text)
    return {filename: "\n".join(lines) + "\n" for filename, lines in files.items()}


def _place(lines: list[str], line: int, text: str) -> None:
    """Put ``text`` into ``lines`` from ``line`` (1 is the first) on; statements of one line stay in one."""
    for number, one in enumerate(text.rstrip("\n").split("\n"), line):
        lines.extend([""] * (number - len(lines)))
        before = lines[number - 1]
        lines[number - 1] = before + "; " + one.lstrip(" \t\f") if before else one


def _trees(code: Code, pieces: Any) -> Iterator[tuple[str, Any]]:
    """The statements of ``pieces`` as syntax trees, those together that stand in one block of one file."""
    block: list[Any] = []
    for piece in pieces:
        if block and _block(block[-1]) != _block(piece):
            yield _tree(code, block)
            block = []
        block.append(piece)
    if block:
        yield _tree(code, block)


def _block(piece: Any) -> tuple[str, bool, str]:
    filename, line, text = piece
    return filename, line == 0, _indentation(text)


def _indentation(text: str) -> str:
    """What its first line begins with; a form feed begins the line anew."""
    blank = text[: len(text) - len(text.lstrip(" \t\f"))]
    return blank.rpartition("\f")[2]


def _tree(code: Code, pieces: Any) -> tuple[str, Any]:
    lines: list[str] = []
    for _, line, text in pieces:
        _place(lines, line or len(lines) + 1, text)
    filename = pieces[0][0] or code.filename
    indented = bool(_indentation(pieces[0][2]))
    if indented:  # below a line, not dedented: text inside a function stays as it is
        lines[pieces[0][1] - 2] = "if True:"
    text = "\n".join(lines) + "\n"
    tree = compile(text, filename, "exec", _flags(code) | _ONLY_TREE, True)
    if indented:
        tree.body = tree.body[0].body
    for node in tree.body:
        _prepare(node, code, lines)
    return filename, tree


def _inner(code: Code, namespace: dict[str, Any]) -> Any:
    """The function, made in one like that around it, so that its names are its own."""
    head = "def " + (code.around or "around") + "(" + ", ".join(code.values) + "):\n return " + code.name + "\n"
    outer = compile(head, code.filename, "exec", _flags(code) | _ONLY_TREE, True)
    made = outer.body[0]
    statements = [node for _, tree in _trees(code, code.inner) for node in tree.body]
    made.body[0:0] = statements
    before = namespace.get(made.name, _inner)
    _run(outer, code.filename, code, namespace)
    function = namespace.pop(made.name)(*code.values.values())
    if before is not _inner:
        namespace[made.name] = before
    return function


def _run(tree: Any, filename: str, code: Code, namespace: dict[str, Any]) -> None:
    # The function runs here, in the environment that is made for it: that is what podenv is for.
    exec(compile(tree, filename, "exec", _flags(code), True), namespace)  # noqa: S102


def _flags(code: Code) -> int:
    return __future__.annotations.compiler_flag if code.postponed else 0


def _prepare(node: Any, code: Code, lines: list[str]) -> None:
    """Make texts of annotations in signatures, for what they name may not be here; put the defaults that travelled."""
    if hasattr(node, "args") and hasattr(node, "returns"):
        if not code.postponed:
            for argument in _arguments(node):
                argument.annotation = _as_text(argument.annotation, lines)
            node.returns = _as_text(node.returns, lines)
        if node.name == code.name and node.lineno == code.line:
            _put_defaults(node, code)
        return
    if isinstance(node, _ast.AnnAssign) and not code.postponed:
        node.annotation = _ast.Constant(value=None, kind=None, **_position(node))
    for part in (node, *getattr(node, "handlers", ()), *getattr(node, "cases", ())):
        for name in ("body", "orelse", "finalbody"):
            for child in getattr(part, name, ()):
                if not (isinstance(node, _ast.ClassDef) and isinstance(child, _ast.AnnAssign)):
                    _prepare(child, code, lines)


def _arguments(node: Any) -> list[Any]:
    own = node.args
    every = [*own.posonlyargs, *own.args, *own.kwonlyargs, own.vararg, own.kwarg]
    return [argument for argument in every if argument is not None]


def _put_defaults(node: Any, code: Code) -> None:
    own = node.args
    positional = [*own.posonlyargs, *own.args]
    for owners, defaults in (
        (positional[len(positional) - len(own.defaults) :], own.defaults),
        (own.kwonlyargs, own.kw_defaults),
    ):
        for number, argument in enumerate(owners):
            if argument.arg in code.defaults:
                defaults[number] = _ast.Name(id="$" + argument.arg, ctx=_ast.Load(), **_position(argument))


def _as_text(node: Any, lines: list[str]) -> Any:
    if node is None or isinstance(node, _ast.Constant):
        return node
    first, last = node.lineno - 1, node.end_lineno - 1
    part = [line.encode("utf-8", "surrogatepass") for line in lines[first : last + 1]]
    part[-1] = part[-1][: node.end_col_offset]
    part[0] = part[0][node.col_offset :]
    text = b"\n".join(part).decode("utf-8", "surrogatepass")
    return _ast.Constant(value="(" + text + ")" if last > first else text, kind=None, **_position(node))


def _position(node: Any) -> dict[str, Any]:
    return {name: getattr(node, name) for name in _POSITION}


class _Loader:
    def __init__(self, source: str) -> None:
        self.source = source

    def get_source(self, _: str) -> str:
        return self.source
