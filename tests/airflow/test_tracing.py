"""Where Airflow traces, a task's pods have spans below the task's, and the function goes on with the trace."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler
from tests.airflow.conftest import IMAGE, NAMESPACE
from tests.airflowtask import execute
from tests.local.conftest import add_environment
from tests.pods import functions, statuses
from tests.pods.apiserver import ApiServer
from tests.pods.engine import until
from tests.pods.nodepod import NodePod

from podenv import run_in_env

Make = Callable[..., Any]


def environ(name: str) -> str | None:
    import os

    return os.environ.get(name)


class Traced:
    """What was traced: ``span`` is the task's own, as Airflow opens it."""

    def __init__(self, sampler: Sampler) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=sampler)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    @contextmanager
    def task(self) -> Iterator[str]:
        """The span of a task is open; the traceparent that its children get."""
        with self.provider.get_tracer("airflow").start_as_current_span("worker.t") as span:
            where = span.get_span_context()
            yield f"00-{where.trace_id:032x}-{where.span_id:016x}-{where.trace_flags:02x}"

    @property
    def spans(self) -> list[ReadableSpan]:
        """podenv's own, in the order in which they ended."""
        return [span for span in self._exporter.get_finished_spans() if span.name.startswith("podenv.")]

    @property
    def steps(self) -> list[tuple[str, str, bool]]:
        """Name and pod of each, and whether it ended well."""
        return [
            (span.name, str((span.attributes or {}).get("k8s.pod.name", "")).partition("-again")[2], span.status.is_ok)
            for span in self.spans
        ]


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Traced:
    """OpenTelemetry with spans in memory."""
    made = Traced(ALWAYS_ON)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", made.provider)
    return made


def sent(server: ApiServer) -> list[Any]:
    """The traceparent in each pod that was asked for."""
    bodies = [asked.body["spec"]["containers"][0]["env"] for asked in server.asked("POST .*/pods$")]
    return [next((one["value"] for one in env if one["name"] == "TRACEPARENT"), None) for env in bodies]


def test_launch_wait_and_run_are_spans_below_the_tasks_one_after_the_other(
    server: ApiServer, make: Make, traced: Traced
) -> None:
    with traced.task() as parent:
        outcome = execute(make(environ, "TRACEPARENT"))
    assert outcome.value == parent
    assert traced.steps == [(f"podenv.{step}", "", True) for step in ("launch", "wait", "run")]
    launch, wait, run = traced.spans
    assert {f"{span.parent.span_id:016x}" for span in traced.spans if span.parent} == {parent.split("-")[2]}
    assert (launch.end_time, wait.end_time) <= (wait.start_time, run.start_time)
    (asked,) = server.asked("POST .*/pods$")
    assert dict(run.attributes or {}) == {
        "podenv.environment": "plain",
        "podenv.image_digest": IMAGE.partition("@")[2],
        "k8s.pod.name": asked.body["metadata"]["name"],
        "k8s.namespace.name": NAMESPACE,
        "k8s.node.name": "node-1",
    }


def test_a_function_that_raises_ends_its_run_in_error(server: ApiServer, make: Make, traced: Traced) -> None:
    with traced.task():
        execute(make(functions.raises, "on purpose"))
    assert traced.steps == [("podenv.launch", "", True), ("podenv.wait", "", True), ("podenv.run", "", False)]


def test_a_pod_that_is_never_made_ends_its_launch_in_error(server: ApiServer, make: Make, traced: Traced) -> None:
    server.trouble("POST .*/pods", refuse=statuses.refusal(403, "Forbidden", "pods is forbidden"))
    with traced.task():
        execute(make(functions.double, 1))
    assert traced.steps == [("podenv.launch", "", False)]


@pytest.mark.parametrize("deferrable", [False, True])
def test_each_pod_has_its_own_spans_and_the_same_trace(
    server: ApiServer, make: Make, traced: Traced, deferrable: bool
) -> None:
    def killed(pod: NodePod) -> None:
        pod.schedule()
        pod.start()
        pod.end(137, "OOMKilled")

    server.kubelet.plans = [killed]
    with traced.task() as parent:
        outcome = execute(make(environ, "TRACEPARENT", memory="64Mi", max_memory="128Mi", deferrable=deferrable))
    assert outcome.value == parent
    assert traced.steps == [
        ("podenv.launch", "", True),
        ("podenv.wait", "", True),
        ("podenv.run", "", False),
        ("podenv.launch", "1", True),
        ("podenv.wait", "1", True),
        ("podenv.run", "1", True),
    ]
    assert sent(server) == [parent, parent]


def test_a_deferred_task_has_the_times_that_its_pod_says(server: ApiServer, make: Make, traced: Traced) -> None:
    seen: list[dict[str, Any]] = []
    with traced.task():
        execute(
            make(functions.sleeps, 1.5, deferrable=True), deferred=lambda event: seen.extend(server.pods(NAMESPACE))
        )
    (pod,) = seen
    _, wait, run = traced.spans
    state = pod["status"]["containerStatuses"][0]["state"]["terminated"]

    def seconds(text: str) -> float:
        return datetime.fromisoformat(text).timestamp()

    assert wait.start_time == pytest.approx(seconds(pod["metadata"]["creationTimestamp"]) * 1e9)
    assert wait.end_time == run.start_time == pytest.approx(seconds(state["startedAt"]) * 1e9)
    assert run.end_time == pytest.approx(seconds(state["finishedAt"]) * 1e9)


def test_without_a_trace_nothing_is_traced_and_nothing_sent(server: ApiServer, make: Make, traced: Traced) -> None:
    assert execute(make(environ, "TRACEPARENT")).value is None
    assert (traced.spans, sent(server)) == ([], [None])


def test_a_trace_that_is_not_recorded_is_none(server: ApiServer, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    unsampled = Traced(ALWAYS_OFF)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", unsampled.provider)
    with unsampled.task():  # as Airflow opens one where it does not trace
        assert execute(make(environ, "TRACEPARENT")).value is None
    assert sent(server) == [None]


@pytest.mark.usefixtures("server")
def test_spans_that_nobody_takes_do_not_fail_the_task(make: Make, traced: Traced) -> None:
    class Broken(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            if span.name.startswith("podenv."):
                raise OSError("no route to the collector")

    traced.provider.add_span_processor(Broken())
    with traced.task():
        outcome = execute(make(functions.double, 21))
    assert outcome.value == 42
    assert outcome.log.count("A step of the pod cannot be traced: no route to the collector.") == 3


def test_what_the_task_says_itself_wins(server: ApiServer, make: Make, traced: Traced) -> None:
    with traced.task():
        outcome = execute(make(environ, "TRACEPARENT", env_vars={"TRACEPARENT": "mine"}))
    assert (outcome.value, sent(server)) == ("mine", ["mine"])


def test_what_the_environment_says_itself_wins(server: ApiServer, make: Make, traced: Traced) -> None:
    def say(item: dict[str, Any]) -> None:
        item["template"]["spec"]["containers"][0]["env"] = [{"name": "TRACEPARENT", "value": "theirs"}]

    server.objects.edit(("podtemplates", NAMESPACE, "plain"), say)
    with traced.task():
        assert execute(make(environ, "TRACEPARENT")).value == "theirs"


def test_a_pod_of_another_trace_is_adopted(server: ApiServer, make: Make, traced: Traced) -> None:
    operator = make(environ, "TRACEPARENT")
    with traced.task() as first:
        execute(operator)
    (asked,) = server.asked("POST .*/pods$")
    until(lambda: server.pods(NAMESPACE) == [])
    server.core().create_namespaced_pod(NAMESPACE, asked.body)  # as a worker left it
    with traced.task() as second:
        outcome = execute(operator)
    assert first != second
    assert outcome.value == first
    assert len(server.asked("POST .*/pods$")) == 2


@pytest.mark.parametrize("backend", ["kubernetes", "local"])
def test_what_a_plain_task_calls_in_an_environment_goes_on_with_its_trace(
    server: ApiServer, traced: Traced, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, backend: str
) -> None:
    if backend == "local":
        add_environment(tmp_path / "envs", "plain", f"{sys.version_info.major}.{sys.version_info.minor}")
        monkeypatch.setenv("PODENV_CATALOGUE", str(tmp_path / "envs"))
    monkeypatch.setenv("PODENV_BACKEND", backend)
    with traced.task() as parent:
        assert run_in_env("plain", environ, "TRACEPARENT") == parent
    assert run_in_env("plain", environ, "TRACEPARENT") is None
