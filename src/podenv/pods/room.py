"""Room for a pod: a task waits in line for what will be free again, and fails at once for what can never be."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from kubernetes.client import ApiException

from podenv.catalogue import quantity
from podenv.errors import PodRefused, QuotaExceeded
from podenv.pods import status
from podenv.pods.client import Json, KubernetesClient, words_of
from podenv.pods.events import PodEvents
from podenv.pods.request import PodRequest

TELL_SECONDS = 60.0  # between two lines of the log on what a task waits for
PAUSE_SECONDS = (1.0, 30.0)  # between two requests for a pod where the quota is full: at first, at most
DEFERRED_PAUSE_SECONDS = (15.0, 120.0)
SCALE_UP_SECONDS = 10.0  # for an autoscaler to say that it adds a node
_SHORT = re.compile(r"Insufficient |Too many pods|triggered scale-up", re.IGNORECASE)
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
_KUEUE = "kueue.x-k8s.io/"  # how its scheduling gates begin
_SCALES = ("TriggeredScaleUp", "Nominated")  # the cluster autoscaler's word and Karpenter's
_AMOUNT = re.compile(r"([a-z][-a-z0-9./]*)=([0-9][0-9.A-Za-z]*)")


@dataclass
class Wait:
    """The wait of a pod for a node, in monotonic seconds: from ``turn`` on, the first moment that it could have one.

    It may last for ``schedule`` seconds, and for ``room`` where it is room or a queue that it waits for.
    """

    turn: float
    schedule: float
    room: float
    gated: bool = False
    """True while something holds it back from the scheduler."""
    reason: str = ""
    """What it waits for, in words; empty where nothing is known that will pass."""
    larger: str = ""
    """What the pod asks for and no node has, were it empty."""
    _short: float = 0.0

    def see(self, pod: Json, now: float) -> bool:
        """The pod has no node yet. True if it is to be found out now whether a node is large enough (`larger`)."""
        if held := gates(pod):
            self.gated, self.reason = True, held
            return False
        if self.gated:  # the queue let it in, and the time of the scheduler begins
            self.gated, self.reason, self.turn = False, "", now
        if not is_short(pod):
            return False
        began, self.reason = not self.reason, f"room ({status.unschedulable(pod)})"
        self._short = now if began else self._short
        return began

    @property
    def end(self) -> float:
        """When it has lasted long enough: soon where no node is large enough."""
        if self.larger:
            return self._short + SCALE_UP_SECONDS
        return self.turn + (max(self.schedule, self.room) if self.reason else self.schedule)


class Line:
    """The wait of one task for room; ``since`` it began (monotonic)."""

    def __init__(self, client: KubernetesClient, events: PodEvents, request: PodRequest) -> None:
        self._client = client
        self._events = events
        self._request = request
        self._pause = PAUSE_SECONDS[0]
        self._told: float | None = None
        self.since: float | None = None

    @property
    def seconds(self) -> float:
        """For how long it has waited."""
        return 0.0 if self.since is None else time.monotonic() - self.since

    def see(self, pod: Json, wait: Wait) -> None:
        """No node has the pod yet."""
        if wait.see(pod, time.monotonic()):
            wait.larger = beyond_nodes(pod, self._client.nodes())
        self.remind(wait)

    def remind(self, wait: Wait) -> None:
        """Say what the pod waits for, once a minute, and look whether a node is added."""
        if wait.larger and self._grows():
            wait.larger = ""
        if wait.reason:
            self.since = wait.turn if self.since is None else self.since
            self.tell(wait.reason)

    def _grows(self) -> bool:
        events = self._client.events_of(self._request.namespace, self._request.name)
        return any(event.get("reason") in _SCALES for event in events)

    def tell(self, words: str) -> None:
        """Say what it waits for, once a minute."""
        now = time.monotonic()
        self.since = self.since if self.since is not None else now
        if self._told is None or now >= self._told + TELL_SECONDS:
            self._told = now
            most = f"{self._request.timeouts.room:.0f}"
            self._events.note(f"It waits for {words}; {self.seconds:.0f} s of at most {most} s so far.")

    def outlive(self, error: ApiException) -> None:
        """Wait until a pod may be asked for again, which the quota had no room for.

        Raises `QuotaExceeded` once it has waited long enough, `PodRefused` where the quota is smaller than the pod.
        """
        words, request = words_of(error), self._request
        if larger := beyond_quota(words):
            raise PodRefused(
                f"Environment {request.environment!r}: the pod is larger than the quota of its namespace ({larger}); "
                "ask for less, or raise resourceQuota in the values."
            ) from None
        if self.seconds >= request.timeouts.room:  # 0: something else waits
            raise QuotaExceeded(
                f"Environment {request.environment!r}: the namespace's quota had no room for {self.seconds:.0f} s "
                f"({words}); wait for other tasks, ask for less, raise resourceQuota in the values, or raise "
                "room_timeout."
            ) from None
        self.tell(f"room ({words})")
        # Jitter: many tasks wait for the same room.
        self._client.pause(min(self._pause * random.uniform(0.75, 1.25), request.timeouts.room - self.seconds + 0.1))  # noqa: S311
        self._pause = min(1.5 * self._pause, PAUSE_SECONDS[1])


def deferred_pause(tries: int) -> float:
    """Seconds until a task that waits in the triggerer asks again: each time costs a worker its start."""
    first, most = DEFERRED_PAUSE_SECONDS
    return float(min(first * 1.5 ** (tries - 1), most)) * random.uniform(0.75, 1.25)  # noqa: S311


def is_full(error: ApiException) -> bool:
    """True if the API server refused a pod because the namespace's quota has no room."""
    return error.status == 403 and "exceeded quota" in words_of(error)


def beyond_quota(words: str) -> str:
    """Of a quota's refusal, what the pod alone has more of than the quota holds in all; empty where it would fit."""
    parts = dict(re.findall(r"(requested|limited): ((?:[^ ,]+=[^ ,]+,?)+)", words))
    asked, most = (dict(_AMOUNT.findall(parts.get(name, ""))) for name in ("requested", "limited"))
    over = [name for name in asked if name in most and quantity.parse(asked[name]) > quantity.parse(most[name])]
    return ", ".join(f"{name} {asked[name]}, and the quota holds {most[name]}" for name in over)


def gates(pod: Json) -> str:
    """What holds the pod back from the scheduler, in words; empty where nothing does."""
    names = [str(one["name"]) for one in pod["spec"].get("schedulingGates") or []]
    if any(name.startswith(_KUEUE) for name in names):
        return f"the queue {status.label(pod, QUEUE_LABEL) or 'default'!r} of Kueue"
    return f"whoever removes the scheduling gate {', '.join(names)}" if names else ""


def is_short(pod: Json) -> bool:
    """True if the scheduler waits for something that may become free, or may be added."""
    return bool(_SHORT.search(status.unschedulable(pod)))


def beyond_nodes(pod: Json, nodes: Iterable[Json]) -> str:
    """What the pod asks for and no node has, were it empty; empty where one has, or where no node is known."""
    asked = requests(pod)
    sizes = [(one.get("status") or {}).get("allocatable") or {} for one in nodes]
    short = {
        name: max((quantity.parse(str(size.get(name, "0"))) for size in sizes), default=Decimal(0)) for name in asked
    }
    if not sizes or any(all(quantity.parse(str(size.get(n, "0"))) >= asked[n] for n in asked) for size in sizes):
        return ""
    return ", ".join(
        f"{name} {_text(name, amount)}, and the largest node has {_text(name, short[name])}"
        for name, amount in sorted(asked.items())
        if amount > short[name]
    )


def requests(pod: Json) -> dict[str, Decimal]:
    """What the containers of a pod ask for together; an init container runs alone."""
    spec = pod["spec"]
    total: dict[str, Decimal] = {}
    for container in spec.get("containers") or []:
        for name, amount in _requests(container).items():
            total[name] = total.get(name, Decimal(0)) + amount
    for container in spec.get("initContainers") or []:
        for name, amount in _requests(container).items():
            total[name] = max(total.get(name, Decimal(0)), amount)
    return total


def _requests(container: Any) -> dict[str, Decimal]:
    resources = container.get("resources") or {}
    asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {name: quantity.parse(str(amount)) for name, amount in asked.items()}


def _text(name: str, amount: Decimal) -> str:
    return quantity.of_bytes(int(amount)) if name in ("memory", "ephemeral-storage") else f"{amount.normalize():f}"
