"""What a check says: findings, what it could not judge, and the report of both."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from podenv.catalogue.rules import RULES, SEVERITIES, Severity


@dataclass(frozen=True)
class Finding:
    """One finding at a place of a file: ``message`` is one sentence, ``remedy`` another that says what to do.

    ``task`` is the function or the id, empty where the finding belongs to no task; so are ``dag`` and ``environment``.
    """

    rule: str
    file: str
    line: int
    column: int
    message: str
    remedy: str = ""
    dag: str = ""
    task: str = ""
    environment: str = ""
    weight: Severity | None = None

    @property
    def severity(self) -> Severity:
        """How much it weighs: the rule's, unless this one is less certain."""
        return self.weight or RULES[self.rule].severity

    @property
    def fingerprint(self) -> str:
        """The same text for the same finding after lines above it moved."""
        parts = (self.rule, self.file, self.environment, self.task, self.message)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]

    @property
    def order(self) -> tuple[object, ...]:
        """Findings are shown by file and place, the heaviest first."""
        weight = SEVERITIES.index(self.severity)
        return self.file, self.line, self.column, weight, self.rule, self.environment, self.message


@dataclass(frozen=True)
class Skipped:
    """A ``rule``, or a rule for one environment or file, that was not held against anything, and ``why``.

    ``failed``: not because somebody chose so, but because something could not be done.
    """

    rule: str
    why: str
    failed: bool = False


@dataclass
class Report:
    """All that a check found. ``files``, ``tasks`` and ``environments`` are how many it looked at."""

    findings: list[Finding] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    files: int = 0
    tasks: int = 0
    environments: int = 0

    def count(self, severity: Severity) -> int:
        return sum(one.severity == severity for one in self.findings)

    def settled(self) -> Report:
        """The same, each thing once, in order."""
        return Report(
            sorted(_once(self.findings), key=lambda one: one.order),
            list(dict.fromkeys(self.skipped)),
            self.files,
            self.tasks,
            self.environments,
        )


def _once(findings: Iterable[Finding]) -> list[Finding]:
    """Each finding once, where several tasks of an environment share the code."""
    seen: dict[tuple[object, ...], Finding] = {}
    for one in findings:
        seen.setdefault((one.rule, one.file, one.line, one.column, one.environment, one.message), one)
    return list(seen.values())
