"""A report as text for programs: JSON, SARIF 2.1.0, and annotations of GitHub Actions."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from podenv.catalogue.rules import RULES, Severity
from podenv.check.findings import Finding, Report

_LEVELS: dict[Severity, str] = {"error": "error", "warning": "warning", "note": "note"}
_COMMANDS: dict[Severity, str] = {"error": "error", "warning": "warning", "note": "notice"}
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def as_json(report: Report) -> str:
    """All findings, and what could not be judged."""
    findings = []
    for one in report.findings:
        fields = asdict(one)
        del fields["weight"]
        findings.append({"rule": one.rule, "severity": one.severity, **fields, "fingerprint": one.fingerprint})
    document = {
        "findings": findings,
        "skipped": [asdict(one) for one in report.skipped],
        "checked": {"files": report.files, "tasks": report.tasks, "environments": report.environments},
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def as_github(report: Report) -> str:
    """One line for each finding, as a workflow's log takes it; the errors first, of which GitHub shows ten."""
    ordered = sorted(report.findings, key=lambda one: (list(_COMMANDS).index(one.severity), one.order))
    return "".join(_annotation(one) for one in ordered)


def _annotation(one: Finding) -> str:
    place = f"file={_property(one.file)},line={one.line},col={one.column}"
    title = _property(f"podenv check[{one.rule}]")
    return f"::{_COMMANDS[one.severity]} {place},title={title}::{_data(f'{one.message} {one.remedy}'.strip())}\n"


def _data(text: str) -> str:
    # https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def as_sarif(report: Report, *, version: str) -> str:
    """The report in the Static Analysis Results Interchange Format 2.1.0 (OASIS, 27 March 2020)."""
    ids = list(RULES)
    rules = [
        {
            "id": id_,
            "shortDescription": {"text": f"{rule.finds[:1].upper()}{rule.finds[1:]}."},
            "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        }
        for id_, rule in RULES.items()
    ]
    notes = [
        {"level": "error" if one.failed else "note", "message": {"text": f"{one.rule} was not checked: {one.why}"}}
        for one in report.skipped
    ]
    run = {
        "tool": {"driver": {"name": "podenv", "version": version, "rules": rules}},
        "columnKind": "unicodeCodePoints",
        "results": [_result(one, ids.index(one.rule)) for one in report.findings],
        "invocations": [
            {
                "executionSuccessful": not any(one.failed for one in report.skipped),
                "toolExecutionNotifications": notes,
            }
        ],
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False) + "\n"


def _result(one: Finding, index: int) -> dict[str, Any]:
    region = {"startLine": one.line, "startColumn": one.column}
    return {
        "ruleId": one.rule,
        "ruleIndex": index,
        "level": _LEVELS[one.severity],
        "message": {"text": f"{one.message} {one.remedy}".strip()},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": _uri(one.file)}, "region": region}}],
        "partialFingerprints": {"podenv/v1": one.fingerprint},
        "properties": {"environment": one.environment, "dag": one.dag, "task": one.task},
    }


def _uri(file: str) -> str:
    from urllib.parse import quote

    return f"file://{quote(file)}" if file.startswith("/") else quote(file)
