"""Everything a pod of a task needs, put together: template, overrides, resources, the Call, its identity."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from hashlib import sha256

from podenv import runtime
from podenv.catalogue import names
from podenv.catalogue.request import TaskRequest
from podenv.errors import CallError
from podenv.pods.deployed import Deployed
from podenv.pods.pod import Json, base_container, complete, with_base
from podenv.runtime.call import PREFIX, Call
from podenv.runtime.tagged import Refused

_TERMINATION_LOG = "/dev/termination-log"
_CALL = f"{PREFIX}CALL_"


def pod(
    deployed: Deployed,
    call: Call,
    overrides: Sequence[Json],
    *,
    request: TaskRequest,
    name: str,
    labels: Mapping[str, str],
    where: str,
    discard: bool = False,
) -> Json:
    """One complete pod that makes ``call``; ``labels`` are its identity, and nothing overrides them.

    ``discard``: nobody wants the function's value, so that it may be anything. Raises `ResourceError`, `CallError`;
    ``where`` begins their messages.
    """
    named = complete(deployed.template, overrides, name=name, namespace=deployed.namespace)
    base = base_container(named)
    given = base.get("resources", {})
    resources = request.upon(given.get("requests", {}), given.get("limits", {}), where)
    token = secrets.token_hex(16)
    try:
        log = base.get("terminationMessagePath", _TERMINATION_LOG)
        travel = runtime.travel_env(call, token, termination_log=log, discard=discard)
        # A pod that drops its value is not adopted by a try that wants it.
        identity = sha256(f"{call.encode()}{'!' if discard else ''}".encode()).hexdigest()[:32]
    except Refused as refused:
        raise CallError(f"{where}: {refused}.") from None
    label, digest = _digest(base, deployed)
    own: Json = {
        "metadata": {
            "labels": {**label, **labels},
            "annotations": {**digest, names.TOKEN_ANNOTATION: token, names.CALL_ANNOTATION: identity},
        },
        **with_base(
            command=runtime.command("python"),
            args=[],
            env=[{"name": variable, "value": value} for variable, value in travel.items()],
            resources={"requests": resources.requests, "limits": resources.limits},
        ),
    }
    return complete(named, [own], name=name, namespace=deployed.namespace)


def split_secret(whole: Json) -> tuple[Json, dict[str, str]]:
    """The pod without the Call, and the Call's variables, which a Secret brings."""
    env = base_container(whole)["env"]
    secret = {item["name"]: item["value"] for item in env if item["name"].startswith(_CALL)}
    containers = [
        {**container, "env": [item for item in env if item["name"] not in secret]}
        if container["name"] == base_container(whole)["name"]
        else container
        for container in whole["spec"]["containers"]
    ]
    return {**whole, "spec": {**whole["spec"], "containers": containers}}, secret


def _digest(base: Json, deployed: Deployed) -> tuple[dict[str, str | None], dict[str, str | None]]:
    """Label and annotation of a pod that runs another image than its environment's; nothing where it does not."""
    image = str(base.get("image"))
    if image == base_container(deployed.template).get("image"):
        return {}, {}
    digest = image.partition("@")[2] or None
    return {names.DIGEST_LABEL: digest and names.digest_label(digest)}, {names.DIGEST_ANNOTATION: digest}
