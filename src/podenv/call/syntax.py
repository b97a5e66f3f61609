"""Which Python a function is written for: syntax that is newer than an environment's Python, found before it starts.

The parser, told an older version, finds most of it. What it lets pass is found here, by the tree or by the tokens.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import token
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from podenv.call.tree import syntax_tree
from podenv.errors import SourceError

Version = tuple[int, int]


@dataclass(frozen=True)
class Newer:
    """Syntax at ``line`` that is newer than it should be, and ``why``."""

    line: int
    why: str


@dataclass(frozen=True)
class _Feature:
    line: int
    since: Version
    name: str


def check(text: str, *, python: str, filename: str, first_line: int, name: str) -> None:
    """Raise SourceError when the function ``name`` uses syntax that is newer than ``python`` ("3.8").

    ``text`` begins at ``first_line`` of ``filename``, with the indentation that it has there.
    """
    major, minor = (int(part) for part in python.split(".")[:2])
    found = newest(text, (major, minor))
    if found is not None:
        raise SourceError(
            f"{filename}:{first_line + found.line - 1}: {name} is written for a newer Python than the environment's "
            f"{python}: {found.why}. Write it as Python {python} reads it, or raise the environment's `python`."
        )


@lru_cache(maxsize=256)
def newest(text: str, python: Version) -> Newer | None:
    """The first syntax in ``text`` that ``python`` cannot read; None where there is none.

    ``text`` is one that this Python can read.
    """
    if python >= sys.version_info[:2]:
        return None
    indented = text[:1] in (" ", "\t", "\f")
    # Below a line, not dedented: text inside the function stays as it is.
    whole = "if True:\n" + text if indented else text
    try:
        tree = syntax_tree(whole, python=python)
    except SyntaxError as error:
        return Newer((error.lineno or 1) - indented, error.msg)
    for feature in sorted(_features(whole, tree), key=lambda feature: feature.line):
        if feature.since > python:
            since = ".".join(map(str, feature.since))
            return Newer(feature.line - indented, f"{feature.name} is only supported in Python {since} and greater")
    return None


def _features(text: str, tree: ast.AST) -> Iterator[_Feature]:
    for node in ast.walk(tree):
        for kinds, find in _FINDERS:
            if isinstance(node, kinds):
                yield from find(node, text)
    yield from _with_parentheses(text)
    if sys.version_info >= (3, 12):  # an older Python has not loaded what its tokens do not show
        yield from _f_strings(text)


def _in_index(node: ast.Subscript, text: str) -> Iterator[_Feature]:
    items = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if not any(isinstance(item, ast.Starred | ast.NamedExpr) for item in items):
        return
    if isinstance(node.slice, ast.Tuple) and _in_parentheses(node.slice, text):
        return
    for item in items:
        if isinstance(item, ast.Starred):
            yield _Feature(item.lineno, (3, 11), "A star in an index")
        elif isinstance(item, ast.NamedExpr) and not _follows_parenthesis(item, text):
            yield _Feature(item.lineno, (3, 10), "`:=` in an index without parentheses")


def _in_set(node: ast.Set | ast.SetComp, text: str) -> Iterator[_Feature]:
    for item in node.elts if isinstance(node, ast.Set) else [node.elt]:
        if isinstance(item, ast.NamedExpr) and not _follows_parenthesis(item, text):
            yield _Feature(item.lineno, (3, 9), "`:=` in a set without parentheses")


def _in_for(node: ast.For | ast.AsyncFor, text: str) -> Iterator[_Feature]:
    values = node.iter.elts if isinstance(node.iter, ast.Tuple) else []
    stars = [item for item in values if isinstance(item, ast.Starred)]
    if stars and isinstance(node.iter, ast.Tuple) and not _in_parentheses(node.iter, text):
        yield _Feature(stars[0].lineno, (3, 9), "A star in `for ... in` without parentheses")


def _in_arguments(node: ast.arguments, _: str) -> Iterator[_Feature]:
    if node.vararg is not None and isinstance(node.vararg.annotation, ast.Starred):
        yield _Feature(node.vararg.lineno, (3, 11), "A star in an annotation")


def _in_decorators(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, _: str) -> Iterator[_Feature]:
    for decorator in node.decorator_list:
        plain = decorator.func if isinstance(decorator, ast.Call) else decorator
        while isinstance(plain, ast.Attribute):
            plain = plain.value
        if not isinstance(plain, ast.Name):
            yield _Feature(decorator.lineno, (3, 9), "A decorator other than a name or one call of it")


def _in_except(node: ast.ExceptHandler, text: str) -> Iterator[_Feature]:
    new = sys.version_info >= (3, 14)  # an older Python has not loaded it
    if new and isinstance(node.type, ast.Tuple) and not _in_parentheses(node.type, text):
        yield _Feature(node.lineno, (3, 14), "`except` with several types without parentheses")


_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


def _in_comprehension(node: _Comprehension, _: str) -> Iterator[_Feature]:
    first, *rest = node.generators
    inner: list[ast.AST] = [first.target, *first.ifs, *rest]
    inner += [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
    for part in inner:
        for child in _same_scope(part):
            if isinstance(child, ast.ListComp | ast.SetComp | ast.DictComp) and _is_async(child):
                yield _Feature(child.lineno, (3, 11), "An asynchronous comprehension inside another comprehension")


def _is_async(node: ast.AST) -> bool:
    return any(
        isinstance(child, ast.Await) or (isinstance(child, ast.comprehension) and child.is_async)
        for child in _same_scope(node)
    )


def _same_scope(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.Lambda | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _same_scope(child)


def _template(node: ast.expr, _: str) -> Iterator[_Feature]:
    yield _Feature(node.lineno, (3, 14), "A template string")


_FINDERS: list[tuple[type[ast.AST] | tuple[type[ast.AST], ...], Callable[..., Iterator[_Feature]]]] = [
    (ast.Subscript, _in_index),
    ((ast.Set, ast.SetComp), _in_set),
    ((ast.For, ast.AsyncFor), _in_for),
    (ast.arguments, _in_arguments),
    ((ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef), _in_decorators),
    (ast.ExceptHandler, _in_except),
    ((ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp), _in_comprehension),
    (getattr(ast, "TemplateStr", ()), _template),
]


def _in_parentheses(node: ast.Tuple, text: str) -> bool:
    """True if the tuple is written with its own parentheses: `(a), b` is not."""
    segment = ast.get_source_segment(text, node) or ""
    try:
        statement = syntax_tree(f"_{segment}").body[0]
    except SyntaxError:
        return False
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)


def _follows_parenthesis(node: ast.expr, text: str) -> bool:
    line = text.split("\n")[node.lineno - 1].encode()[: node.col_offset].decode()
    before = "\n".join([*text.split("\n")[: node.lineno - 1], line])
    return re.sub(r"#.*$", "", before, flags=re.MULTILINE).rstrip().endswith("(")


def _with_parentheses(text: str) -> Iterator[_Feature]:
    """``with (a as b, c as d):``, which Python 3.8 reads as a tuple or not at all."""
    tokens = [t for t in _tokens(text) if t.type not in (token.NL, token.COMMENT)]
    for index, one in enumerate(tokens[:-1]):
        if one.string != "with" or tokens[index + 1].string != "(":
            continue
        depth, several = 0, False
        for position, inner in enumerate(tokens[index + 1 :], index + 1):
            depth += (inner.string in ("(", "[", "{")) - (inner.string in (")", "]", "}"))
            several |= depth == 1 and inner.string in (",", "as")
            if depth == 0:
                if several and tokens[position + 1].string == ":":
                    yield _Feature(one.start[0], (3, 9), "`with` with parentheses around its items")
                break


def _tokens(text: str) -> list[tokenize.TokenInfo]:
    return list(tokenize.generate_tokens(io.StringIO(text).readline))


# A string as a Python before 3.12 reads it: from its first quotes to the next ones of their kind.
_OLD_STRING = re.compile(
    r"""[a-zA-Z]{1,2}('''([^'\\]|\\.|'(?!''))*'''|\"""([^"\\]|\\.|"(?!""))*\"""|'([^'\n\\]|\\.)*'|"([^"\n\\]|\\.)*")""",
    re.DOTALL,
)
_FIELD, _SPEC = "field", "spec"


def _f_strings(text: str) -> Iterator[_Feature]:
    """What PEP 701 allows inside an f-string since Python 3.12."""
    start, middle, end = (getattr(token, f"FSTRING_{part}") for part in ("START", "MIDDLE", "END"))
    lines = text.split("\n")
    inside: list[str | tuple[int, int]] = []  # f-strings by their start, their fields, and other brackets
    before: tokenize.TokenInfo | None = None
    for one in _tokens(text):
        line = one.start[0]
        literal = one.type == middle and sum(isinstance(part, tuple) for part in inside) == 1
        if _FIELD in inside and not literal:
            if one.type == token.COMMENT:
                yield _Feature(line, (3, 12), "A comment inside an f-string")
            continued = before is not None and before.type != token.NL and before.end[0] < line
            if continued or "\\" in one.string:
                yield _Feature(line, (3, 12), "A backslash inside the expression of an f-string")
        if one.type == end:
            first = inside.pop()
            assert isinstance(first, tuple)
            whole = _between(lines, first, one.end)
            if not _OLD_STRING.fullmatch(whole):
                yield _Feature(first[0], (3, 12), "An f-string with its own quotes or a new line inside an expression")
        elif inside or one.type == start:
            _step(inside, one, is_start=one.type == start)
            if one.string == "{" and inside[-5:] == [_FIELD, _SPEC, _FIELD, _SPEC, _FIELD]:
                yield _Feature(line, (3, 12), "An f-string with expressions nested deeper than two levels")
        before = one


def _step(inside: list[str | tuple[int, int]], one: tokenize.TokenInfo, *, is_start: bool) -> None:
    """Follow ``one`` into, or out of, an f-string, its field or a bracket."""
    top = inside[-1] if inside else ""
    if is_start:
        inside.append(one.start)
    elif one.type != token.OP:
        return
    elif one.string == "{" and (isinstance(top, tuple) or top == _SPEC):
        inside.append(_FIELD)
    elif one.string in ("(", "[", "{"):
        inside.append(one.string)
    elif one.string in (")", "]", "}"):
        if top == _SPEC:
            inside.pop()
        inside.pop()
    elif one.string == ":" and top == _FIELD:
        inside.append(_SPEC)


def _between(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    rows = lines[start[0] - 1 : end[0]]
    rows[-1] = rows[-1][: end[1]]
    rows[0] = rows[0][start[1] :]
    return "\n".join(rows)
