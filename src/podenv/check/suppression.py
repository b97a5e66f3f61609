"""Findings that somebody has said do not count: `# podenv: ignore[rule]` in a file, `check.ignore` in the values."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from podenv.catalogue.environment import Environment
from podenv.catalogue.rules import RULES
from podenv.check.findings import Finding
from podenv.check.sources import Source, shown
from podenv.errors import nearest

_COMMENT = re.compile(r"#\s*podenv:\s*ignore(?:\[([^\]\n]*)\])?")


@dataclass(eq=False)
class Ignore:
    """One comment: the ``rules`` that it names (none: all), and the lines whose findings it is about."""

    file: str
    line: int
    column: int
    rules: tuple[str, ...]
    lines: frozenset[int]
    used: set[str] = field(default_factory=set)

    def hides(self, finding: Finding) -> bool:
        """True if this comment is about ``finding``, which is noted."""
        if finding.line not in self.lines or (self.rules and finding.rule not in self.rules):
            return False
        self.used.add(finding.rule)
        return True


def apply(
    findings: Iterable[Finding], sources: Iterable[Source], environments: Iterable[Environment], held: Collection[str]
) -> list[Finding]:
    """The findings that count, and those about ignores that hide nothing.

    ``held`` are the rules that were held against everything: only of these is it known that they found nothing.
    """
    comments: dict[str, list[Ignore]] = {source.name: list(_in_source(source)) for source in sources}
    by_name = {environment.name: environment for environment in environments}
    used: set[tuple[str, str]] = set()
    kept = []
    for one in findings:
        if one.file not in comments:
            comments[one.file] = list(_in_file(one.file))
        hidden = [ignore for ignore in comments[one.file] if ignore.hides(one)]
        environment = by_name.get(one.environment)
        if environment is not None and one.rule in environment.spec.check.ignore:
            used.add((environment.name, one.rule))
        elif not hidden:
            kept.append(one)
    for ignore in (one for each in comments.values() for one in each):
        kept += _useless(ignore, held)
    for environment in by_name.values():
        kept += _useless_values(environment, used, held)
    return kept


def _in_source(source: Source) -> Iterator[Ignore]:
    if "podenv:" not in source.text:
        return
    for number, line in enumerate(source.lines, start=1):
        match = _COMMENT.search(line)
        if match and not _in_text(source, number, match.start()):
            yield _ignore(source.name, number, match, frozenset(_about(source, number)))


def _in_file(name: str) -> Iterator[Ignore]:
    """Comments in files that are not Python: each is about its own line."""
    try:
        lines = Path(name).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for number, line in enumerate(lines, start=1):
        if match := _COMMENT.search(line):
            yield _ignore(name, number, match, frozenset({number}))


def _ignore(name: str, number: int, match: re.Match[str], lines: frozenset[int]) -> Ignore:
    rules = tuple(part.strip() for part in (match[1] or "").split(",") if part.strip())
    return Ignore(name, number, match.start() + 1, rules, lines)


def _about(source: Source, number: int) -> Iterator[int]:
    """The lines that a comment at ``number`` is about: its statement's; for a `def`, the whole function's."""
    yield number
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.stmt) or node.end_lineno is None:
            continue
        body = getattr(node, "body", None)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            if first <= number < node.body[0].lineno or number == node.lineno:
                yield from range(first, node.end_lineno + 1)
        elif not body and node.lineno <= number <= node.end_lineno:
            yield from range(node.lineno, node.end_lineno + 1)


def _in_text(source: Source, number: int, column: int) -> bool:
    """True if the place is inside a string, such as a docstring that explains the comment."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            begin, end = (node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0)
            if begin <= (number, column) < end:
                return True
    return False


def _useless(ignore: Ignore, held: Collection[str]) -> Iterator[Finding]:
    for rule in ignore.rules or ("",):
        if rule and rule not in RULES:
            yield Finding(
                "unused-ignore", ignore.file, ignore.line, ignore.column, f"There is no rule `{rule}`.",
                nearest(rule, RULES).strip() or "`podenv check --help` names them all.",
            )  # fmt: skip
        elif (rule and rule not in ignore.used and rule in held) or (
            not rule and not ignore.used and set(RULES) - {"memory", "edge-type"} <= set(held)
        ):
            what = f"`{rule}`" if rule else "any rule"
            yield Finding(
                "unused-ignore", ignore.file, ignore.line, ignore.column,
                f"This comment hides nothing of {what}.", "Remove it.",
            )  # fmt: skip


def _useless_values(
    environment: Environment, used: Collection[tuple[str, str]], held: Collection[str]
) -> Iterator[Finding]:
    file = environment.folder / "values.yaml"
    text = file.read_text(encoding="utf-8", errors="replace").splitlines()
    for rule in environment.spec.check.ignore:
        lines = [number for number, line in enumerate(text, start=1) if re.search(rf"\b{rule}\b", line)]
        # One that is inherited from the defaults may be of use to another environment.
        if lines and rule in held and (environment.name, rule) not in used:
            yield Finding(
                "unused-ignore", shown(file), lines[0], 1,
                f"`check.ignore` of {environment.name!r} names `{rule}`, and hides nothing by it.", "Remove it.",
                environment=environment.name,
            )  # fmt: skip
