"""The PodTemplate of an environment's release, read when a task starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kubernetes.client import ApiException

from podenv.catalogue import names
from podenv.catalogue.automemory import Defaults
from podenv.errors import NotDeployed, PodRefused
from podenv.pods.client import Json, KubernetesClient
from podenv.pods.manifest import base_container
from podenv.pods.pool import Pool
from podenv.pods.refusal import refusals


@dataclass(frozen=True)
class EnvironmentTemplate:
    """What a release holds for its tasks, as it is on the cluster now: the template of a pod, and annotations."""

    environment: str
    namespace: str
    template: Json
    annotations: Mapping[str, str]

    @property
    def python(self) -> str | None:
        """The environment's Python version, like 3.11; None where the template does not say."""
        return self.annotations.get(names.PYTHON_ANNOTATION)

    @property
    def relaunch(self) -> int | None:
        """How often a pod that the cluster took away is started again; None where the values do not say."""
        number = self.annotations.get(names.RELAUNCH_ANNOTATION, "")
        return int(number) if number.isdecimal() else None

    @property
    def timeouts(self) -> str:
        """How long its pods may wait, as `podenv.pods.request.Timeouts` reads it; empty where the values do not say."""
        return self.annotations.get(names.TIMEOUTS_ANNOTATION, "")

    @property
    def lock(self) -> str | None:
        """SHA-256 of the lock that its image was made from; None where the template does not say."""
        return self.annotations.get(names.LOCK_ANNOTATION)

    @property
    def defaults(self) -> Defaults:
        """What a task has unless it says otherwise."""
        resources = base_container(self.template).get("resources") or {}
        bounds = self.annotations.get(names.MEMORY_BOUNDS_ANNOTATION, "")
        return Defaults(
            resources.get("requests") or {},
            resources.get("limits") or {},
            self.annotations.get(names.FIRST_MEMORY_ANNOTATION),
            self.annotations.get(names.MAX_MEMORY_ANNOTATION),
            tuple(bounds.split(",")) if bounds else (),
        )

    @property
    def pool(self) -> Pool | None:
        """Its idle pods; None where the release has none."""
        made_from = self.annotations.get(names.WARM_ANNOTATION)
        return Pool(made_from, self.template) if made_from else None

    @property
    def facts(self) -> str:
        """Its Python and its lock, for the log."""
        return f"Python {self.python or 'unknown'}, {f'lock {self.lock[:16]}' if self.lock else 'no lock'}"


def read(client: KubernetesClient, namespace: str) -> EnvironmentTemplate:
    """The template of the client's environment, deployed in ``namespace``; one request.

    Raises `NotDeployed`, `PodRefused`, `ClusterUnreachable`.
    """
    name = client.environment
    with refusals(name, f"read the PodTemplate {name!r} in {namespace}"):
        try:
            found = client.read_pod_template(namespace, names.release(name))
        except ApiException as error:
            if error.status != 404:
                raise
            raise NotDeployed(
                f"Environment {name!r} is not deployed: there is no PodTemplate {name!r} in namespace {namespace!r}; "
                f"run `podenv deploy {name}`."
            ) from None
    template = found.get("template") or {}
    try:
        base_container(template)
    except KeyError:
        raise PodRefused(
            f"Environment {name!r}: its PodTemplate in {namespace!r} has no container `base`, so podenv has not made "
            f"it; run `podenv deploy {name}`."
        ) from None
    return EnvironmentTemplate(name, namespace, template, found["metadata"].get("annotations") or {})
