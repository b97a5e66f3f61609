"""`podenv doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from podenv import process
from podenv.cli import output
from podenv.cli.choice import AsJson
from podenv.cli.target import DEFAULT_PREFIX, Context, Kubeconfig, Prefix
from podenv.doctor import checkup
from podenv.doctor.finding import ALL_CHECKS_SECONDS, Finding, State
from podenv.doctor.subject import Subject
from podenv.release import Target


def doctor(
    local: Annotated[bool, typer.Option("--local", help="Only the checks for tasks on this machine.")] = False,
    timeout: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=1, help="How long all checks together may take; they run side by side."),
    ] = ALL_CHECKS_SECONDS,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    namespace_prefix: Prefix = DEFAULT_PREFIX,
    json: AsJson = False,
) -> None:
    """Check what podenv needs here, and say what to do.

    It changes nothing: it begins a push and cancels it, and asks for rights without using them. The exit code is 1 when
    a check failed; a warning leaves it at 0. Where neither a cluster nor a registry is set up, the checks for pods are
    skipped.

    \b
    Example:  podenv doctor
              podenv doctor --local
              podenv doctor --json | jq -r '.[] | select(.state == "failed") | .text'
    """
    subject = Subject(Target(kubeconfig, context, namespace_prefix), local=local)
    with output.waiting("looking") as _:
        findings = checkup.examine(subject, limit=timeout)
    process.end_all()  # of checks that did not answer
    if json:
        output.as_json([{"check": one.check, "state": one.state.value, "text": one.text} for one in findings])
    else:
        _show(findings)
    failed = [one.check for one in findings if one.state is State.FAILED]
    if failed:
        output.error(f"Some checks failed: {', '.join(failed)}.")
        raise typer.Exit(1)


def _show(findings: list[Finding]) -> None:
    """A table; checks that say nothing here stand below it, together where the reason is the same."""
    looked = [one for one in findings if one.state is not State.SKIPPED]
    output.table(("CHECK", "STATE", "WHAT"), [(one.check, one.state.value, one.text) for one in looked])
    skipped: dict[str, list[str]] = {}
    for one in findings:
        if one.state is State.SKIPPED:
            skipped.setdefault(one.text, []).append(one.check)
    for text, checks in skipped.items():
        output.say(f"skipped: {', '.join(checks)}: {text}")
