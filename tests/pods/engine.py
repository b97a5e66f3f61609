"""The pod engine against the simulated API server, as a caller that is not Airflow uses it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kubernetes.client import CoreV1Api
from tests.pods.apiserver import ApiServer

from podenv.call import source
from podenv.call.outcome import value_of
from podenv.catalogue import names
from podenv.catalogue.request import TaskRequest
from podenv.pods import compose
from podenv.pods.client import KubernetesClient
from podenv.pods.compose import Identity
from podenv.pods.events import PodEvents
from podenv.pods.life import PodLife
from podenv.pods.request import PodRequest, Timeouts
from podenv.pods.template import EnvironmentTemplate

Json = dict[str, Any]
IMAGE = "registry.example/etl@sha256:0123"
OWNER = {names.OWNER_LABEL: "this-task-in-this-run"}
SELECTOR = f"{names.OWNER_LABEL}=this-task-in-this-run"


@dataclass
class Told(PodEvents):
    """What the engine told, in order; ``fail``: where to raise instead."""

    lines: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    fail: str = ""
    on_line: Callable[[str], None] = lambda line: None
    wants_end: bool = False

    def line(self, line: str) -> None:
        self.lines.append(line)
        self.on_line(line)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def created(self, pod: Json) -> None:
        self._step("created", pod)

    def started(self, pod: Json) -> None:
        self._step("started", pod)

    def ended(self, pod: Json, *, failed: bool) -> None:
        self._step("failed" if failed else "succeeded", pod)

    def cleaned(self, pod: Json) -> None:
        self._step("cleaned", pod)

    def _step(self, what: str, pod: Json) -> None:
        self.steps.append(f"{what} {pod['metadata']['name']}")
        if what == self.fail:
            raise RuntimeError(f"an error in {what}")


class Engine:
    """One execution: a client of its own, what it was told, and its pods. ``token``: its credentials."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server
        self.token = "t"
        self.told = Told()
        self.renewals = 0
        self._core: CoreV1Api | None = None
        self.client = KubernetesClient("etl", self._make, renew=self._renew)
        self.life = PodLife(self.client, self.told)

    def request(self, function: Callable[..., Any], *args: Any, **fields: Any) -> PodRequest:
        """What calls ``function``; ``memory`` and ``name`` are the pod's, all else is the request's."""
        memory, name = fields.pop("memory", None), fields.pop("name", "etl-task")
        pool = fields.get("pool")
        template = pool.template if pool else {"spec": {"containers": [{"name": "base", "image": IMAGE}]}}
        whole = compose.pod(
            EnvironmentTemplate("etl", "s", template, {}),
            source.build_call(function, args, {}),
            fields.pop("overrides", []),
            request=TaskRequest(env="etl", memory=memory),
            identity=Identity(name, OWNER, b"key"),
            where="the test",
        )
        given = {
            one: fields.pop(f"{one}_timeout") for one in ("schedule", "start", "room") if f"{one}_timeout" in fields
        }
        secret: dict[str, str] = {}
        if fields.pop("payload", "env") == "secret":
            whole, secret = compose.split_secret(whole)
        return PodRequest(environment="etl", pod=whole, timeouts=Timeouts(**given), secret=secret, **fields)

    def call(self, function: Callable[..., Any], *args: Any, **fields: Any) -> Any:
        """The value of the function in a pod. Raises a `TaskFailure`."""
        return self.run(self.request(function, *args, **fields))

    def run(self, request: PodRequest, *, adopted: Json | None = None) -> Any:
        """The value that the request's pods bring. Raises a `TaskFailure`."""
        return value_of(self.life.run(request, adopted=adopted), "etl")

    def start(self, function: Callable[..., Any], *args: Any, **fields: Any) -> InBackground:
        """`call` in a thread of its own."""
        return InBackground(lambda: self.call(function, *args, **fields))

    def close(self) -> None:
        """Close the connections."""
        if self._core is not None:
            self._core.api_client.rest_client.pool_manager.clear()

    def _make(self) -> CoreV1Api:
        if self._core is None:
            self._core = self.server.core(self.token)
        return self._core

    def _renew(self) -> None:
        self.renewals += 1
        self.close()
        self._core = None


class InBackground:
    """A call in a thread of its own."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self._value: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def value(self, seconds: float = 30) -> Any:
        """What the call returned. Raises what it raised."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), f"it still runs after {seconds} s"
        if self._error is not None:
            raise self._error
        return self._value

    def _run(self) -> None:
        try:
            self._value = self._work()
        except BaseException as error:
            self._error = error


def until(condition: Callable[[], Any], seconds: float = 20) -> Any:
    """The first true answer of ``condition``."""
    end = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.01)
    return answer
