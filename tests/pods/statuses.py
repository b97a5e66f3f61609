"""What an API server says when it refuses: the Status bodies of Kubernetes 1.20.2, word for word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

KINDS = {"pods": "Pod", "secrets": "Secret", "podtemplates": "PodTemplate", "events": "Event"}


@dataclass
class Refusal(Exception):
    """An answer that is not a success; ``body`` as text is sent as it is, as a proxy before the server does."""

    status: int
    body: Mapping[str, Any] | str
    headers: Mapping[str, str] = field(default_factory=dict)


def refusal(code: int, reason: str, message: str, **details: Any) -> Refusal:
    """A Status with ``reason`` and ``message``."""
    body: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }
    return Refusal(code, {**body, "details": details} if details else body)


def not_found(resource: str, name: str) -> Refusal:
    return refusal(404, "NotFound", f'{resource} "{name}" not found', name=name, kind=resource)


def already_exists(resource: str, name: str) -> Refusal:
    return refusal(409, "AlreadyExists", f'{resource} "{name}" already exists', name=name, kind=resource)


def conflict() -> Refusal:
    """A quota that others use at the same time."""
    message = (
        'Operation cannot be fulfilled on resourcequotas "q": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    return refusal(409, "Conflict", message, name="q", kind="resourcequotas")


def other_uid(kind: str, name: str, *, expected: str, found: str) -> Refusal:
    message = (
        f'Operation cannot be fulfilled on {kind} "{name}": the UID in the precondition ({expected}) does not match '
        f"the UID in record ({found}). The object might have been deleted and then recreated"
    )
    return refusal(409, "Conflict", message, name=name, kind=kind)


def quota_exceeded(name: str = "p") -> Refusal:
    message = f'pods "{name}" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1'
    return refusal(403, "Forbidden", message, name=name, kind="pods")


def forbidden(verb: str, resource: str, *, user: str = "bob", namespace: str = "s") -> Refusal:
    message = (
        f'{resource} is forbidden: User "{user}" cannot {verb} resource "{resource}" in API group "" '
        f'in the namespace "{namespace}"'
    )
    return refusal(403, "Forbidden", message, kind=resource)


def unauthorized() -> Refusal:
    return refusal(401, "Unauthorized", "Unauthorized")


def invalid(kind: str, name: str, path: str, words: str) -> Refusal:
    causes = [{"reason": "FieldValueInvalid", "message": words, "field": path}]
    return refusal(422, "Invalid", f'{kind} "{name}" is invalid: {path}: {words}', name=name, kind=kind, causes=causes)


def bad_request(message: str) -> Refusal:
    return refusal(400, "BadRequest", message)


def waiting_to_start(container: str, pod: str, why: str) -> Refusal:
    return bad_request(f'container "{container}" in pod "{pod}" is waiting to start: {why}')


def expired(version: int = 1) -> Refusal:
    """The watch asks for changes that the server no longer holds."""
    return refusal(410, "Expired", f"too old resource version: {version} ({version + 1})")


def too_many() -> Refusal:
    """The server protects itself: no Status, some words and when to come again."""
    words = "Too many requests, please try again later."
    return Refusal(429, words, {"Content-Type": "text/plain", "Retry-After": "1"})


def unavailable() -> Refusal:
    """A load balancer whose API servers are away."""
    page = (
        "<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>"
    )
    return Refusal(503, page, {"Content-Type": "text/html"})
