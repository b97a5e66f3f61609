"""Rules about limits: what a task asks for, beside what its namespace and the nodes allow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from podenv.catalogue import quantity
from podenv.catalogue.automemory import Defaults
from podenv.catalogue.request import Resources, TaskRequest
from podenv.catalogue.spec.warm import beyond_quota
from podenv.check.findings import Finding
from podenv.check.graph import Graph
from podenv.check.sources import shown
from podenv.check.subject import Subject
from podenv.check.tasks import Task
from podenv.errors import ResourceError

_SHORT = {"nvidia.com/gpu": "gpu"}
_MANY_CORES = 256  # few nodes have more
_RESOURCES = frozenset({"cpu", "memory", "max_memory", "gpu", "container_resources"})


@dataclass(frozen=True)
class Room:
    """What its cluster allows an environment, beside what the values say.

    ``range``: the ``max`` for a container of the namespace's limit ranges; ``quota``: its hard limits; ``nodes``: what
    each node has for pods.
    """

    range: Mapping[str, str] = field(default_factory=dict)
    quota: Mapping[str, str] = field(default_factory=dict)
    nodes: tuple[Mapping[str, str], ...] = ()


def above(subject: Subject, room: Room | None = None) -> Iterator[Finding]:
    """Tasks that ask for more than they can ever get, and values that no task could have."""
    room = room or Room()
    given = subject.environment.resources
    for task in subject.tasks:
        if task.kind == "call" or not _RESOURCES & set(task.arguments):
            continue
        try:
            own = _request(task)
            resources = own.resources(subject.environment, f"`{task.task}`")
        except (ResourceError, TypeError) as error:
            yield _of_task(subject, task, str(error), "")
            continue
        for message, remedy in _refusals(subject, resources, room):
            yield _of_task(subject, task, f"`{task.task}` {message}", remedy)
        for message, remedy in _slips(resources, but=given):
            yield replace(_of_task(subject, task, f"`{task.task}` {message}", remedy), weight="warning")
    own_of_values = Resources(dict(given.requests), dict(given.limits))
    for message, remedy in _refusals(subject, own_of_values, room):
        yield subject.about("limit", subject.values_file, f"A task of {subject.name!r} {message}", remedy)
    for message, remedy in _slips(own_of_values):
        found = subject.about("limit", subject.values_file, f"A task of {subject.name!r} {message}", remedy)
        yield replace(found, weight="warning")
    # A quota of the values themselves is held against them where they are read.
    idle = subject.environment.spec.warm.idle or 0
    for figures in beyond_quota(idle, given.requests, given.limits, room.quota):
        message = f"Of {subject.name!r}, {figures} (the namespace's ResourceQuota)."
        yield subject.about("limit", subject.values_file, message, "Lower warm.idle, or raise the quota.")


def mapped(subject: Subject, graph: Graph, room: Room | None = None) -> Iterator[Finding]:
    """The same for tasks whose limits are mapped or computed, as Airflow loaded them."""
    known = {(task.dag, task.task) for task in subject.tasks if _RESOURCES & set(task.arguments)}
    own = subject.environment.resources.limits
    for environment, dag, task, asked in graph.limits:
        # The environment's own limits are told once.
        more = {name: value for name, value in asked.items() if name not in own or _more(value, own[name])}
        if environment == subject.name and (dag, task) not in known:
            for message, remedy in _refusals(subject, Resources({}, more), room or Room()):
                found = subject.about("limit", subject.values_file, f"`{task}` {message}", remedy)
                yield replace(found, dag=dag, task=task)


def _request(task: Task) -> TaskRequest:
    return replace(TaskRequest.of(task.arguments), env=task.environment)


def _slips(asked: Resources, *, but: Defaults | None = None) -> Iterator[tuple[str, str]]:
    """Amounts of cpu that look as if they were meant in thousandths, those of ``but`` left out."""
    known = set() if but is None else {but.requests.get("cpu"), but.limits.get("cpu")}
    for cores in sorted({asked.requests.get("cpu", ""), asked.limits.get("cpu", "")} - known):
        if cores.isdecimal() and int(cores) > _MANY_CORES:
            yield (
                f"asks for cpu {cores}, which is {cores} cores.",
                f"Did you mean {cores}m, {int(cores) / 1000:g} cores?",
            )


def _of_task(subject: Subject, task: Task, message: str, remedy: str) -> Finding:
    return Finding(
        "limit", task.file.name, task.line, task.column, message, remedy, task.dag, task.task, subject.name
    )  # fmt: skip


def _refusals(subject: Subject, asked: Resources, room: Room) -> Iterator[tuple[str, str]]:
    """What of ``asked`` can never be had: the rest of a sentence that begins with the task, and what to do."""
    spec, file = subject.environment.spec, shown(subject.values_file)
    ranges = (spec.limit_range.max, f"limitRange.max in {file}"), (room.range, "the namespace's LimitRange")
    for allowed, where in ranges:
        for name, limit in asked.limits.items():
            if name in allowed and _more(limit, allowed[name]):
                yield _sentence("may use", name, limit, f"{where} allows {allowed[name]}")
    quotas = (spec.resource_quota.hard, f"resourceQuota.hard in {file}"), (room.quota, "the namespace's ResourceQuota")
    for allowed, where in quotas:
        yield from _beyond_quota(asked, allowed, where)
    nodes = [spec.check.largest_node] if spec.check.largest_node else []
    for node in [_largest(room.nodes)] if room.nodes else nodes:
        where = "the largest node has" if room.nodes else f"check.largestNode in {file} says"
        for name, request in asked.requests.items():
            if name in node and _more(request, node[name]):
                yield _sentence("asks for", name, request, f"{where} {node[name]}")


def _beyond_quota(asked: Resources, allowed: Mapping[str, str], where: str) -> Iterator[tuple[str, str]]:
    for kind, values, verb in (("requests", asked.requests, "asks for"), ("limits", asked.limits, "may use")):
        for name, value in values.items():
            keys = [f"{kind}.{name}"] + ([name] if kind == "requests" else [])
            for key in keys:
                if key in allowed and _more(value, allowed[key]):
                    yield _sentence(verb, name, value, f"{where} has {key} {allowed[key]}")


def _largest(nodes: tuple[Mapping[str, str], ...]) -> dict[str, str]:
    """The most that any node has of each resource: more than that fits on none."""
    found: dict[str, str] = {}
    for node in nodes:
        for name, value in node.items():
            if name not in found or _more(value, found[name]):
                found[name] = value
    return found


def _more(one: Any, other: Any) -> bool:
    try:
        return quantity.parse(str(one)) > quantity.parse(str(other))
    except ResourceError:
        return False


def _sentence(verb: str, name: str, value: str, allowed: str) -> tuple[str, str]:
    short = _SHORT.get(name, name)
    return f"{verb} {short} {value}, and {allowed}.", f"Lower its {short}, or raise what is allowed."
