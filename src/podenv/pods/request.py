"""One complete pod, and what is to happen with it; how it changes when it is launched again. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import Enum

from podenv import runtime
from podenv.catalogue import names, quantity
from podenv.pods import pool, status
from podenv.pods.client import Json
from podenv.pods.manifest import base_container, merge, owned_secret, with_base, with_memory, with_secret, without_env
from podenv.pods.pool import Pool
from podenv.runtime import call, ticket

_AGAIN = re.compile(r"-again(\d+)$")


class FinishAction(Enum):
    """What becomes of a pod that is over, in the words of KubernetesPodOperator."""

    DELETE = "delete_pod"
    DELETE_SUCCEEDED = "delete_succeeded_pod"
    DELETE_ACTIVE = "delete_active_pod"
    KEEP = "keep_pod"


@dataclass(frozen=True)
class Relaunches:
    """How often, in one try of the task, a pod that the cluster took away is launched again.

    ``unstarted``: where the container never ran, which costs the author nothing. ``started``: where it may have run.
    """

    unstarted: int = 3
    started: int = 0

    @classmethod
    def of(cls, *, retries: int, task: int | None, environment: int | None) -> Relaunches:
        """The task's own number, else its environment's; else the function may rerun if the task has ``retries``."""
        number = environment if task is None else task
        if number is not None:
            return cls(number, number)
        return cls(started=cls.unstarted) if retries > 0 else cls()


@dataclass(frozen=True)
class Timeouts:
    """How many seconds a pod may take until a node has it, and then until its container runs.

    ``room``: until the namespace's quota, its queue and the nodes have room for it, which is not counted otherwise.
    """

    schedule: float = 120.0
    start: float = 120.0
    room: float = 3600.0

    @classmethod
    def of(cls, task: Mapping[str, float | None], annotation: str) -> Timeouts:
        """The task's own, else those in the ``annotation`` of its environment (JSON), else these."""
        try:
            kept = json.loads(annotation or "{}")
        except ValueError:
            kept = {}
        known = kept if isinstance(kept, dict) else {}
        given = {**known, **{name: seconds for name, seconds in task.items() if seconds is not None}}
        own = {one.name for one in fields(cls)}
        return cls(**{name: float(value) for name, value in given.items() if name in own})


@dataclass(frozen=True)
class PodRequest:
    """A pod to launch. Times in seconds; ``max_memory`` is a quantity.
    ``secret`` holds variables that travel in a Secret which the pod owns. ``follow``: its log is read while it runs.
    ``grace`` is what a deleted pod gets to end. ``pool``: idle pods, one of which may take the task. ``renewed`` makes
    the variables with the addresses of a store anew: no two pods write to the same.
    """

    environment: str
    pod: Json
    timeouts: Timeouts = Timeouts()
    max_memory: str | None = None
    on_finish: FinishAction = FinishAction.DELETE
    keep_when_killed: bool = False
    relaunches: Relaunches = Relaunches()
    grace: int | None = None
    follow: bool = True
    pool: Pool | None = None
    secret: Mapping[str, str] = field(default_factory=dict, repr=False)
    renewed: Callable[[], Mapping[str, str]] | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The pod's name."""
        return str(self.pod["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """The pod's namespace."""
        return str(self.pod["metadata"]["namespace"])

    @property
    def token(self) -> str:
        """What marks the pod's result."""
        return status.token_of(self.pod)

    @property
    def starts(self) -> int:
        """How often it was launched again, in one try of the task, because the cluster took the pod away."""
        return int(status.annotation(self.pod, names.STARTS_ANNOTATION) or 0)

    @property
    def memory(self) -> str:
        """The memory limit of the container; ``no limit`` without one."""
        limits = (base_container(self.pod).get("resources") or {}).get("limits") or {}
        return str(limits.get("memory", "no limit"))

    @property
    def call_bytes(self) -> int:
        """The size of the Call as it travels."""
        plain = {one["name"]: one.get("value", "") for one in base_container(self.pod).get("env") or []}
        return runtime.call_bytes({**plain, **self.secret})

    @property
    def facts(self) -> str:
        """The image, and what the container asks for and may use, for the log."""
        container = base_container(self.pod)
        resources = container.get("resources") or {}
        amounts = [
            f"{kind} {', '.join(f'{name} {amount}' for name, amount in sorted(values.items()))}"
            for kind in ("requests", "limits")
            if (values := resources.get(kind))
        ]
        return "; ".join([f"image {container.get('image')}", *(amounts or ["no requests, no limits"])])

    @property
    def secret_name(self) -> str:
        """The Secret's name: another one for each pod, so that one of an earlier pod cannot be taken for it."""
        return f"{self.name}-{self.token[:8]}"

    def body(self) -> Json:
        """The pod as it is sent."""
        return with_secret(self.pod, self.secret_name, self.secret)

    def secret_of(self, pod: Json) -> Json | None:
        """The Secret that ``pod`` owns; None where it needs none."""
        if not self.secret:
            return None
        labels = {names.ENVIRONMENT_LABEL: self.environment}
        return owned_secret(self.secret_name, pod["metadata"], self.secret, labels)

    def of_pod(self, pod: Json) -> PodRequest:
        """This request, for the ``pod`` of it that exists already, maybe with more memory and after other starts."""
        return replace(self, pod=pod)

    def with_name(self, name: str) -> PodRequest:
        """This request as the pod ``name``, which may be gone: how often it was launched again is in its name."""
        again = _AGAIN.search(name)
        return self._as(name, int(again[1]) if again else 0)

    def again(self, before: PodRequest, *, counted: bool) -> PodRequest:
        """This request after ``before``, under another name, since that pod may take a while to go."""
        name = self.name if pool.is_claimed(before.pod) else before.name  # that of an idle pod says nothing
        match = _AGAIN.search(name)
        number, stem = (int(match[1]), name[: match.start()]) if match else (0, name)
        return self._with_new_addresses()._as(f"{stem}-again{number + 1}", before.starts + counted)

    def larger(self, than: str) -> PodRequest | None:
        """This request with twice the memory ``than``, up to ``max_memory``; None if that is not more."""
        if self.max_memory is None or than == "no limit":
            return None
        before, most = quantity.to_bytes(than), quantity.to_bytes(self.max_memory)
        if before >= most:
            return None
        return self.with_memory(quantity.of_bytes(min(2 * before, most)))

    def with_memory(self, memory: str) -> PodRequest:
        """This request with another memory limit; as it is for ``no limit``."""
        if memory in (self.memory, "no limit"):
            return self
        return replace(self, pod=with_memory(self.pod, memory))

    def without_spot(self, *, last: bool) -> PodRequest:
        """This request without spot nodes, where it was launched there as often as its environment says.

        ``last``: no launch follows. Itself where it has none, or more tries there.
        """
        try:
            spot = json.loads(status.annotation(self.pod, names.SPOT_ANNOTATION) or "{}")
            over = bool(spot) and (last or self.starts >= int(spot["tries"]))
            selector, taints = dict(spot.get("nodeSelector") or {}), list(spot.get("tolerations") or [])
        except (ValueError, TypeError, KeyError, AttributeError):  # of another podenv
            return self
        if not over:
            return self
        spec = dict(self.pod["spec"])
        spec["nodeSelector"] = {k: v for k, v in (spec.get("nodeSelector") or {}).items() if selector.get(k) != v}
        spec["tolerations"] = [one for one in spec.get("tolerations") or [] if one not in taints]
        return replace(self, pod={**self.pod, "spec": spec})

    def _with_new_addresses(self) -> PodRequest:
        if self.renewed is None:
            return self
        new = self.renewed()
        if any(name in self.secret for name in new):
            kept = {name: value for name, value in self.secret.items() if not _is_of_addresses(name)}
            return replace(self, secret={**kept, **new})
        env = [{"name": name, "value": value} for name, value in new.items()]
        return replace(self, pod=merge(without_env(self.pod, addresses(self.pod)), with_base(env=env)))

    def _as(self, name: str, starts: int) -> PodRequest:
        metadata = self.pod["metadata"]
        annotations = {**(metadata.get("annotations") or {}), names.STARTS_ANNOTATION: str(starts)}
        return replace(self, pod={**self.pod, "metadata": {**metadata, "name": name, "annotations": annotations}})


def addresses(pod: Json) -> dict[str, str]:
    """The variables by which a pod gets addresses in a store, which are secret: who has them may read and write."""
    variables = base_container(pod).get("env") or []
    return {one["name"]: one["value"] for one in variables if _is_of_addresses(one["name"])}


def _is_of_addresses(variable: str) -> bool:
    return variable.startswith(f"{call.PREFIX}{ticket.KIND}_")
