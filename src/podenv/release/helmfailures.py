"""What helm's stderr means: one of our errors, with helm's own words where they help."""

from __future__ import annotations

import re

from podenv import causes
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
from podenv.release.cluster import ASK_FOR_RIGHTS

_RUN_AGAIN = "Run the command again."
# Kind of cause in `causes.HELM` -> type, what to do.
_KINDS: dict[str, tuple[type[ReleaseError], str]] = {
    "values": (ValuesRefused, "Correct values.yaml or defaults.yaml."),
    "webhook": (AdmissionRefused, f"{_RUN_AGAIN} If that repeats, look for the pods behind that webhook."),
    "credentials": (AccessRefused, "Log in to the cluster again, or correct the kubeconfig."),
    "race": (Conflict, f"Somebody changed it at the same time. {_RUN_AGAIN}"),
    "busy server": (NoCluster, f"The API server is busy or starts. {_RUN_AGAIN}"),
    "kubeconfig": (NoCluster, "Correct the kubeconfig."),
    "no answer": (NoCluster, "Check that the cluster answers (`kubectl get namespaces`), then run it again."),
    "quota": (QuotaRefused, "Ask for less in the values, or raise the quota."),
    "rights": (AccessRefused, ASK_FOR_RIGHTS),
    "lock": (ReleaseBusy, "`podenv status` shows it; wait until it is done, and run the command again."),
    "conflict": (Conflict, "Remove that object, or take it out of the values, and run the command again."),
    "admission": (AdmissionRefused, "Correct values.yaml, or ask who keeps that policy."),
    "missing": (ReleaseMissing, "`podenv deploy` makes the release."),
    "test": (ReleaseTestFailed, "Its log says why."),
    "time": (ReleaseTimedOut, "Give it more time with --timeout, or look at the events of its namespace."),
}
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
    what = f"Release {release!r} in namespace {namespace!r}: {said}."
    cause = causes.find(causes.HELM, said)
    if cause is causes.UNKNOWN:
        return ReleaseError(what)
    kind, remedy = _KINDS[cause.kind]
    return kind(f"{what} {remedy}")


def words(stderr: str) -> str:
    """What helm says of the cause, as one line without its final full stop."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and not _NOISE.match(line)]
    text = " ".join(lines) or stderr.strip() or "helm said nothing"
    while (short := _PREFIX.sub("", text)) != text:
        text = short
    return text.rstrip(". ")
