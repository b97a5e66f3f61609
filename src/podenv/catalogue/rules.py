"""The rules of `podenv check`: their ids, how much each weighs, and what each finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
RuleId = Literal[
    "argument", "attribute", "command", "dag-syntax", "edge-type", "import", "import-name", "limit", "lock-missing",
    "lock-stale", "memory", "no-environment-needed", "not-carried", "stdlib", "syntax", "transitive-import",
    "unknown-environment", "unused-environment", "unused-ignore", "unused-requirement", "xcom-value",
]  # fmt: skip


@dataclass(frozen=True)
class Rule:
    """One rule: an error is what is certain to fail, a warning an opinion about an object, a note advice."""

    severity: Severity
    finds: str


RULES: dict[str, Rule] = {
    "dag-syntax": Rule("error", "a DAG file that cannot be read"),
    "syntax": Rule("error", "syntax that is newer than the environment's Python"),
    "import": Rule("error", "a module that is not in the environment's lock"),
    "stdlib": Rule("error", "a module that the standard library of the environment's Python lacks"),
    "import-name": Rule("error", "a name that a module does not have"),
    "attribute": Rule("warning", "an attribute that an object does not have"),
    "argument": Rule("warning", "an argument that a function does not take"),
    "not-carried": Rule("error", "what the function uses and cannot take along"),
    "xcom-value": Rule("error", "a returned value that XCom does not keep"),
    "edge-type": Rule("warning", "a task's return type that does not fit the parameter it feeds"),
    "limit": Rule("error", "more than a limit range, a quota or the largest node has"),
    "memory": Rule("error", "a memory limit below what the imports alone take"),
    "unknown-environment": Rule("error", "an environment that is not in the catalogue"),
    "lock-missing": Rule("error", "an environment without a lock"),
    "lock-stale": Rule("error", "a lock that is not what requirements.in and the values ask for"),
    "command": Rule("warning", "a program or a module to run that the environment does not have"),
    "unused-environment": Rule("note", "an environment that no task uses"),
    "transitive-import": Rule("note", "an import of a package that only another package asks for"),
    "unused-requirement": Rule("note", "a requirement that no task imports"),
    "no-environment-needed": Rule("note", "a task that needs nothing of its environment"),
    "unused-ignore": Rule("note", "an ignore comment that hides nothing"),
}
