"""Everything a pod of a task needs, put together: template, overrides, resources, the Call, its identity."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from podenv import runtime
from podenv.catalogue import names, units
from podenv.catalogue.request import TaskRequest
from podenv.errors import CallError
from podenv.pods.client import Json
from podenv.pods.manifest import base_container, complete, with_base, without_env
from podenv.pods.template import EnvironmentTemplate
from podenv.runtime import ticket as tickets
from podenv.runtime.call import Call
from podenv.runtime.tagged import Refused

_TERMINATION_LOG = "/dev/termination-log"


@dataclass(frozen=True)
class Identity:
    """Whose pod it is: its ``labels``, which nothing overrides.

    With ``call_key``, which readers of pods must not know, the pod tells what it was called with: an annotation holds
    the keyed hash of the Call, so that it can be adopted by a later try.
    """

    name: str
    labels: Mapping[str, str]
    call_key: bytes = b""


def pod(
    template: EnvironmentTemplate,
    call: Call,
    overrides: Sequence[Json],
    *,
    request: TaskRequest,
    identity: Identity,
    where: str,
    discard: bool = False,
    ticket: Mapping[str, Any] | None = None,
    trace: Mapping[str, str] | None = None,
) -> Json:
    """One complete pod that makes ``call``.

    ``discard``: the function's value is not wanted, so that it may be anything. ``ticket`` is that of
    `runtime.travel_env`; a pod is adopted whatever addresses it has. ``trace`` holds variables that tell the function
    of a trace, where neither the environment nor the task has them. Raises `ResourceError`, `CallError`; ``where``
    begins their messages.
    """
    named = complete(template.template, overrides, name=identity.name, namespace=template.namespace)
    units.check_pod(named["spec"], where)
    base = base_container(named)
    resources = base.get("resources", {})
    amounts = request.upon(resources.get("requests", {}), resources.get("limits", {}), where)
    token = secrets.token_hex(16)
    try:
        log = base.get("terminationMessagePath", _TERMINATION_LOG)
        travel = runtime.travel_env(call, token, termination_log=log, discard=discard, ticket=ticket)
        annotations = {names.TOKEN_ANNOTATION: token, **_call_annotation(call, identity.call_key, discard=discard)}
    except Refused as refused:
        raise CallError(f"{where}: {refused}.") from None
    given = {one["name"] for one in base.get("env") or []}
    variables = {**{name: value for name, value in (trace or {}).items() if name not in given}, **travel}
    label, digest = _digest(base, template)
    own: Json = {
        "metadata": {"labels": {**label, **identity.labels}, "annotations": {**digest, **annotations}},
        **with_base(
            command=runtime.command("python"),
            args=[],
            env=[{"name": variable, "value": value} for variable, value in variables.items()],
            resources={"requests": amounts.requests, "limits": amounts.limits},
        ),
    }
    return complete(named, [own], name=identity.name, namespace=template.namespace)


def ticket_variables(ticket: Mapping[str, Any] | None) -> dict[str, str]:
    """The variables by which a pod gets the addresses of ``ticket``."""
    return {} if ticket is None else tickets.to_env(ticket)


def _call_annotation(call: Call, key: bytes, *, discard: bool) -> dict[str, str]:
    if not key:
        return {}
    # A pod that drops its value is not adopted by a try that wants it.
    text = f"{call.encode()}{'!' if discard else ''}"
    return {names.CALL_ANNOTATION: hmac.digest(key, text.encode(), "sha256").hex()[:32]}


def split_secret(whole: Json) -> tuple[Json, dict[str, str]]:
    """The pod without the Call, and the Call's variables, which a Secret brings."""
    env = base_container(whole)["env"]
    secret = {item["name"]: item["value"] for item in env if item["name"].startswith(runtime.CALL_VARIABLES)}
    return without_env(whole, secret), secret


def _digest(base: Json, template: EnvironmentTemplate) -> tuple[dict[str, str | None], dict[str, str | None]]:
    """Label and annotation of a pod that runs another image than its environment's; empty where it runs that one."""
    image = str(base.get("image"))
    if image == base_container(template.template).get("image"):
        return {}, {}
    digest = image.partition("@")[2] or None
    return {names.DIGEST_LABEL: digest and names.digest_label(digest)}, {names.DIGEST_ANNOTATION: digest}
