"""Spans of a task's pods, and the trace that its environment goes on with, where Airflow traces (3.2 and newer).

A task process of Airflow then has a span open. Where OpenTelemetry is not loaded nothing traces, and nothing is loaded.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from podenv.airflow import settings
from podenv.airflow.compat import TaskDeferred
from podenv.pods import status
from podenv.pods.manifest import CONTAINER, Json, image_digest

if TYPE_CHECKING:
    from opentelemetry.trace import Span

VARIABLE = "TRACEPARENT"
"""The environment variable with the span that the function's own are below (W3C Trace Context)."""


def variables() -> dict[str, str]:
    """What the environment gets of the trace; empty where none is active."""
    if _active() is None:
        return {}
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return {VARIABLE: carrier["traceparent"]}


class Spans:
    """The spans ``podenv.launch``, ``podenv.wait`` and ``podenv.run`` of each pod of one execution.

    Launching is until the pod exists, with the wait for a quota; waiting until its container runs; running until it
    brought a result, or never will. They are siblings below the span that is open. What a deferred task did meanwhile
    is told, once it goes on, by the times in its pod.
    """

    def __init__(self, environment: str) -> None:
        self._environment = environment
        self._step: str | None = None
        self._since = 0
        self._resumed = False
        self._pod: Json | None = None

    @contextmanager
    def during(self, step: str | None) -> Iterator[None]:
        """The execution, which begins with ``step``; an error ends the span of the step that it came to."""
        self._begin(step, time.time_ns())
        try:
            yield
        except TaskDeferred:
            raise
        except BaseException as error:
            self._end(type(error).__name__)
            raise

    def created(self, pod: Json) -> None:
        """The pod exists."""
        if self._step is None:  # it follows another one
            self._step = "launch"
        self._pod = pod
        self._end()
        self._begin("wait", time.time_ns())

    def resumed(self, pod: Json) -> None:
        """The task goes on with a pod that it had launched."""
        self._pod, self._resumed = pod, True
        self._begin("wait", _nanoseconds(status.moment(pod["metadata"]["creationTimestamp"])))

    def started(self, pod: Json) -> None:
        """The container runs, or has ended."""
        self._pod = pod
        began = _nanoseconds(status.began(pod, CONTAINER) if self._resumed else None)
        self._end(at=began)
        self._begin("run", began)

    def ended(self, pod: Json, *, failed: bool) -> None:
        """The pod brought a result, or never will."""
        self._pod = pod
        ended = status.terminated(pod, CONTAINER) or {}
        over = status.moment(ended.get("finishedAt")) if self._resumed else None
        self._end("it failed" if failed else "", at=_nanoseconds(over))

    def cleaned(self) -> None:
        """The pod was deleted or left; another one may follow."""
        self._end("it was ended")
        self._resumed = False
        self._begin(None, time.time_ns())

    def _begin(self, step: str | None, at: int) -> None:
        self._step, self._since = step, at

    def _end(self, error: str = "", *, at: int | None = None) -> None:
        step, self._step = self._step, None
        if step is None or _active() is None:
            return
        try:
            self._send(step, error, at or time.time_ns())
        except Exception as problem:  # noqa: BLE001 - what takes the spans must not fail the task
            settings.log.warning("A step of the pod cannot be traced: %s.", problem)

    def _send(self, step: str, error: str, at: int) -> None:
        from opentelemetry.trace import Status, StatusCode, get_tracer

        span = get_tracer("podenv").start_span(f"podenv.{step}", start_time=self._since, attributes=self._attributes())
        if error:
            span.set_status(Status(StatusCode.ERROR, error))
        span.end(end_time=max(self._since, at))

    def _attributes(self) -> dict[str, str]:
        """In OpenTelemetry's words, where it has some."""
        known = {"podenv.environment": self._environment}
        if self._pod is not None:
            metadata = self._pod["metadata"]
            known |= {"k8s.pod.name": metadata["name"], "k8s.namespace.name": metadata["namespace"]}
            known |= {
                "k8s.node.name": self._pod["spec"].get("nodeName") or "",
                "podenv.image_digest": image_digest(self._pod),
            }
        return {name: value for name, value in known.items() if value}


def _active() -> Span | None:
    """The span that is open, if it is recorded: Airflow hands one on even where it traces nothing."""
    if "opentelemetry.trace" not in sys.modules:
        return None
    from opentelemetry.trace import get_current_span

    span = get_current_span()
    return span if span.is_recording() else None


def _nanoseconds(moment: datetime | None) -> int:
    """Since 1970; now where it is not known."""
    return int(moment.timestamp() * 1e9) if moment else time.time_ns()
