"""What helm's stderr means: one of our errors, with helm's own words where they help."""

from __future__ import annotations

import re

from podenv.errors import (
    AccessRefused,
    AdmissionRefused,
    Conflict,
    NoCluster,
    QuotaRefused,
    ReleaseBusy,
    ReleaseError,
    ReleaseMissing,
    ReleaseTestFailed,
    ReleaseTimedOut,
    ValuesRefused,
)

# Type, what its text matches, what to do. The first that matches counts; what the chart says may quote anything, so it
# comes before the rest. Helm's words differ by version: what is matched here comes from Kubernetes, and from parts of
# Helm that 3.17, 4.1 and 4.3 have in common.
_KINDS: tuple[tuple[type[ReleaseError], str, str], ...] = (
    (
        ValuesRefused,
        r"meet the specifications of the schema|execution error at|failed to render|template: |parse error at|"
        r"error unmarshaling JSON|YAML parse error|json: cannot unmarshal",
        "Correct values.yaml or defaults.yaml.",
    ),
    (
        NoCluster,
        "cluster unreachable|connection refused|no such host|network is unreachable|connection reset by peer|"
        "TLS handshake timeout|i/o timeout|etcdserver|http2: |unexpected EOF|: EOF|(dial|read|write) tcp|"
        "x509: |context .* does not exist|no configuration has been provided|the server is currently unable to handle",
        "Check that the cluster answers (`kubectl get namespaces`), then run it again.",
    ),
    (QuotaRefused, "exceeded quota", "Ask for less in the values, or raise the quota."),
    (
        AccessRefused,
        r"is forbidden: User .* cannot|Unauthorized|attempting to grant RBAC permissions|must be logged in",
        "Ask the cluster's administrator for that permission.",
    ),
    (
        ReleaseBusy,
        "another operation .* is in progress",
        "`podenv status` shows it; wait until it is done, and run the command again.",
    ),
    (
        Conflict,
        r"exists and cannot be imported into the current release|conflicts? with|the object has been modified",
        "Remove that object, or take it out of the values, and run the command again.",
    ),
    (
        AdmissionRefused,
        r"admission webhook|violates PodSecurity|is forbidden: |is invalid|strict decoding error|unknown field|"
        r"field not declared in schema|no matches for kind|failed to create typed patch object|unable to build",
        "Correct values.yaml, or ask who keeps that policy.",
    ),
    (ReleaseMissing, r"release: not found|has no deployed releases", "`podenv deploy` makes the release."),
    (ReleaseTestFailed, r"pod .* failed|job .* failed", "Its log says why."),
    (
        ReleaseTimedOut,
        "context deadline exceeded|timed out waiting|timeout",
        "Give it more time with --timeout, or look at the events of its namespace.",
    ),
)
# What helm puts before the cause, and lines that say nothing about it.
_PREFIX = re.compile(
    r"^(Error: |(UPGRADE|INSTALLATION|ROLLBACK) FAILED: |"
    r"release \S+ failed, and has been (rolled back|uninstalled) due to (rollback-on-failure|atomic) being set: |"
    r"1 error occurred:\s*\* |\* )"
)
_NOISE = re.compile(r"[IWE]\d{4} |level=|time=|WARNING: Kubernetes configuration file|(coalesce|walk|wait)\.go")


def failure(release: str, namespace: str, stderr: str) -> ReleaseError:
    """The error for what helm wrote when it failed, in one line."""
    said = words(stderr)
    for kind, pattern, remedy in _KINDS:
        if re.search(pattern, said, re.IGNORECASE):
            return kind(f"Release {release!r} in namespace {namespace!r}: {said}. {remedy}")
    return ReleaseError(f"Release {release!r} in namespace {namespace!r}: {said}.")


def words(stderr: str) -> str:
    """What helm says of the cause, as one line without its final full stop."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and not _NOISE.match(line)]
    text = " ".join(lines) or stderr.strip() or "helm said nothing"
    while (short := _PREFIX.sub("", text)) != text:
        text = short
    return text.rstrip(". ")
