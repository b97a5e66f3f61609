"""What a release holds for its tasks: the PodTemplate, read when a task starts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from kubernetes.client import ApiException

from podenv.catalogue import names
from podenv.errors import NotDeployed, PodRefused
from podenv.pods import failures
from podenv.pods.api import LIMITS, Api
from podenv.pods.pod import Json, base_container


@dataclass(frozen=True)
class Deployed:
    """The PodTemplate of an environment, as it is on the cluster now."""

    environment: str
    namespace: str
    template: Json
    annotations: Mapping[str, str]

    @property
    def python(self) -> str | None:
        """The environment's Python version, like 3.11; None where the template does not say."""
        return self.annotations.get(names.PYTHON_ANNOTATION)

    @property
    def facts(self) -> str:
        """Its Python and its lock, for the log."""
        lock = self.annotations.get(names.LOCK_ANNOTATION)
        return f"Python {self.python or 'unknown'}, {f'lock {lock[:16]}' if lock else 'no lock'}"


def find(api: Api, namespace: str) -> Deployed:
    """The environment of ``api`` as it is deployed in ``namespace``; one request.

    Raises `NotDeployed`, `PodRefused`, `ClusterUnreachable`.
    """
    name = api.environment
    try:
        answer = api.ask(
            lambda core: core.read_namespaced_pod_template(
                names.release(name), namespace, _preload_content=False, _request_timeout=LIMITS
            )
        )
    except ApiException as error:
        if error.status == 404:
            raise NotDeployed(
                f"Environment {name!r} is not deployed: there is no PodTemplate {name!r} in namespace {namespace!r}; "
                f"run `podenv deploy {name}`."
            ) from None
        raise failures.refusal(error, name, f"read the PodTemplate {name!r} in {namespace}") from None
    found = json.loads(answer.data)
    template = found.get("template") or {}
    try:
        base_container(template)
    except KeyError:
        raise PodRefused(
            f"Environment {name!r}: its PodTemplate in {namespace!r} has no container `base`, so podenv has not made "
            f"it; run `podenv deploy {name}`."
        ) from None
    return Deployed(name, namespace, template, found["metadata"].get("annotations") or {})
