"""One complete pod, and what is to happen with it; how it changes when it is launched again. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from kubernetes.client import V1Pod

from podenv.catalogue import names, quantity
from podenv.pods import failures
from podenv.pods.pod import CONTAINER, Json, base_container, owned_secret, with_memory, with_secret

CHECKED = "already_checked"  # KubernetesPodOperator's own label on a pod that is kept and no longer followed


class Finish(Enum):
    """What becomes of a pod that is over, in the words of KubernetesPodOperator."""

    DELETE = "delete_pod"
    DELETE_SUCCEEDED = "delete_succeeded_pod"
    DELETE_ACTIVE = "delete_active_pod"
    KEEP = "keep_pod"

    def deletes(self, *, succeeded: bool, active: bool) -> bool:
        """Whether a pod is deleted that has ``succeeded`` or is still ``active``."""
        return (
            self is Finish.DELETE
            or (self is Finish.DELETE_SUCCEEDED and succeeded)
            or (self is Finish.DELETE_ACTIVE and active)
        )


def token_of(pod: V1Pod) -> str:
    """What marks the frame of the pod's result."""
    return str((pod.metadata.annotations or {}).get(names.TOKEN_ANNOTATION, "none"))


@dataclass(frozen=True)
class Launch:
    """What one execution needs. Times in seconds; ``max_memory`` is a quantity.

    ``secret`` holds variables that travel in a Secret which the pod owns. ``follow``: its log is read while it runs.
    """

    environment: str
    pod: Json
    schedule_timeout: float = 120.0
    start_timeout: float = 120.0
    max_memory: str | None = None
    finish: Finish = Finish.DELETE
    keep_when_killed: bool = False
    grace: int | None = None
    follow: bool = True
    secret: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """The pod's name."""
        return str(self.pod["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """The pod's namespace."""
        return str(self.pod["metadata"]["namespace"])

    @property
    def starts(self) -> int:
        """How often it was started again, in one try of the task, because the cluster took the pod away."""
        return int(self.pod["metadata"]["annotations"].get(names.STARTS_ANNOTATION, "0"))

    @property
    def memory(self) -> str:
        """The memory limit of the container; ``no limit`` without one."""
        limits = base_container(self.pod).get("resources", {}).get("limits", {})
        return str(limits.get("memory", "no limit"))

    @property
    def facts(self) -> str:
        """The image, and what the container asks for and may use, for the log."""
        container = base_container(self.pod)
        resources = container.get("resources", {})
        amounts = [
            f"{kind} {', '.join(f'{name} {amount}' for name, amount in sorted(values.items()))}"
            for kind in ("requests", "limits")
            if (values := resources.get(kind))
        ]
        return "; ".join([f"image {container.get('image')}", *(amounts or ["no requests, no limits"])])

    def request(self) -> Json:
        """The pod as it is sent."""
        return with_secret(self.pod, self.name, self.secret)

    def secret_of(self, pod: V1Pod) -> Json | None:
        """The Secret that ``pod`` owns; None where it needs none."""
        if not self.secret:
            return None
        labels = {names.ENVIRONMENT_LABEL: self.environment}
        return owned_secret(pod.metadata.name, pod.metadata.uid, self.secret, labels)

    def as_it_is(self, pod: V1Pod) -> Launch:
        """This launch, for a ``pod`` of it that is there already, maybe with more memory and after other starts."""
        metadata = self.pod["metadata"]
        starts = (pod.metadata.annotations or {}).get(names.STARTS_ANNOTATION, "0")
        annotations = {**metadata["annotations"], names.STARTS_ANNOTATION: starts}
        found = {**metadata, "name": pod.metadata.name, "annotations": annotations}
        base = next((c for c in pod.spec.containers if c.name == CONTAINER), None)
        limits = (base and base.resources and base.resources.limits) or {}
        launch = replace(self, pod={**self.pod, "metadata": found})
        return replace(launch, pod=with_memory(launch.pod, limits["memory"])) if "memory" in limits else launch

    def named(self, name: str) -> Launch:
        """This launch as the pod ``name``, which may be gone: how often it was started again is in its name."""
        again = re.search(r"-again(\d+)$", name)
        metadata = self.pod["metadata"]
        annotations = {**metadata["annotations"], names.STARTS_ANNOTATION: again[1] if again else "0"}
        return replace(self, pod={**self.pod, "metadata": {**metadata, "name": name, "annotations": annotations}})

    def again(self, *, counted: bool) -> Launch:
        """The same under another name, since the pod before may take a while to go."""
        metadata = self.pod["metadata"]
        before = re.search(r"-again(\d+)$", self.name)
        name = f"{self.name[: before.start()]}-again{int(before[1]) + 1}" if before else f"{self.name}-again1"
        annotations = {**metadata["annotations"], names.STARTS_ANNOTATION: str(self.starts + counted)}
        return replace(self, pod={**self.pod, "metadata": {**metadata, "name": name, "annotations": annotations}})

    def larger(self) -> Launch | None:
        """The same with twice the memory, up to ``max_memory``; None where it has that already."""
        if self.max_memory is None or self.memory == "no limit":
            return None
        have, most = quantity.to_bytes(self.memory), quantity.to_bytes(self.max_memory)
        if have >= most:
            return None
        return replace(self, pod=with_memory(self.pod, quantity.of_bytes(min(2 * have, most))))

    def is_own(self, pod: V1Pod) -> bool:
        """Whether ``pod`` came from this very launch."""
        return token_of(pod) == str(self.pod["metadata"]["annotations"][names.TOKEN_ANNOTATION])

    def is_same_work(self, pod: V1Pod) -> bool:
        """Whether ``pod`` does what this launch would, the same call on the same image, and can bring a result."""
        if pod.metadata.deletion_timestamp is not None or (pod.metadata.labels or {}).get(CHECKED):
            return False
        base = next((c for c in pod.spec.containers if c.name == CONTAINER), None)
        if base is None or base.image != base_container(self.pod).get("image"):
            return False
        ours = self.pod["metadata"]["annotations"][names.CALL_ANNOTATION]
        if (pod.metadata.annotations or {}).get(names.CALL_ANNOTATION) != ours:
            return False
        ended = failures.terminated(pod, CONTAINER)
        return ended.exit_code == 0 if ended else not failures.is_over(pod, CONTAINER)
