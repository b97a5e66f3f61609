"""What a task asks for: its environment and resources, checked when the DAG file is parsed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from podenv.catalogue import automemory, quantity, units
from podenv.catalogue.automemory import AUTO, AutoMemory, Defaults
from podenv.catalogue.environment import Catalogue, Environment
from podenv.catalogue.names import check_environment_name
from podenv.errors import ResourceError, nearest

GPU = "nvidia.com/gpu"


@dataclass(frozen=True)
class Resources:
    """Requests and limits by resource name, as Kubernetes quantities; ``max_memory`` is the last resort's limit.

    ``is_auto``: the memory is learned; it is the one of a first run here.
    """

    requests: dict[str, str]
    limits: dict[str, str]
    max_memory: str | None = None
    is_auto: bool = False


@dataclass(frozen=True)
class TaskRequest:
    """The arguments of a task that choose its environment and resources, as they were given."""

    env: str | None = None
    cpu: str | float | None = None
    memory: str | None = None
    max_memory: str | None = None
    gpu: str | int | None = None
    container_resources: Any = None  # a V1ResourceRequirements, or a mapping of its shape

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> TaskRequest:
        """Pick this request out of all ``arguments`` of an operator."""
        return cls(**{name: arguments[name] for name in ARGUMENTS if name in arguments})

    def variants(self, mapped: object) -> Iterator[TaskRequest]:
        """This request with each literal value that ``.expand()`` or ``.expand_kwargs()`` maps it over."""
        yield self
        known = set(ARGUMENTS)
        if isinstance(mapped, Mapping):
            for name in known & mapped.keys():
                # An XComArg has ``__iter__`` too, and only says there that it cannot be iterated.
                if isinstance(mapped[name], Collection) and not isinstance(mapped[name], str):
                    yield from (replace(self, **{name: value}) for value in mapped[name])
        elif isinstance(mapped, list | tuple):
            for item in mapped:
                if isinstance(item, Mapping):
                    yield replace(self, **{name: item[name] for name in known & item.keys()})

    def check(self, where: str, catalogue: Callable[[], Catalogue | None]) -> None:
        """Raise a `PodenvError` beginning with ``where`` when this cannot run.

        Where there is no ``catalogue`` only the form of the name and the task's own quantities are checked.
        """
        environment = None
        if self.env is not None:
            if not isinstance(self.env, str):
                raise TypeError(f"{where}: env is the name of an environment, not {self.env!r}.")
            check_environment_name(self.env)
            if (known := catalogue()) is not None:
                environment = known[self.env]
        self.resources(environment, where)

    def resources(self, environment: Environment | None, where: str) -> Resources:
        """The environment's resources with the task's laid upon them, key by key.

        A value that is still a template is left out. Raises `ResourceError`.
        """
        base = environment.resources if environment else None
        auto = self.auto(base, where)
        request = self if auto is None else self.with_memory(auto.first, auto.cap)
        found = request.upon(base.requests if base else {}, base.limits if base else {}, where, whole=base is not None)
        return found if auto is None else replace(found, is_auto=True)

    def auto(self, base: Defaults | None, where: str) -> AutoMemory | None:
        """What holds for the memory before it is learned; None where it is given, here or by the environment.

        Raises `ResourceError` where it has no cap; without ``base``, the environment's own, that is not known.
        """
        if self.memory != AUTO:
            if self.memory is not None or base is None or base.first is None:
                return None
            if any("memory" in own for own in _container_resources(self.container_resources, where)):
                return None
        if self.max_memory is not None:
            units.check("memory", _text("max_memory", self.max_memory, where), f"{where}: max_memory")
        found = automemory.settled(base or Defaults({}, {}), self.max_memory)
        if found.cap is None and base is not None:
            raise ResourceError(f"{where}: {automemory.NEEDS_CAP}")
        return found

    def with_memory(self, memory: int, cap: int | None) -> TaskRequest:
        """This request with so many bytes in the place of what was to be learned."""
        most = None if cap is None else quantity.of_bytes(cap)
        return replace(self, memory=quantity.of_bytes(memory), max_memory=most)

    def upon(
        self, requests: Mapping[str, str], limits: Mapping[str, str], where: str, *, whole: bool = True
    ) -> Resources:
        """``requests`` and ``limits`` with the task's own laid upon them, key by key.

        ``whole``: what is not in them does not exist. Raises `ResourceError`.
        """
        own = self._own(where)
        merged = Resources({**requests, **own.requests}, {**limits, **own.limits}, self.max_memory)
        units.check_resources(merged.requests, merged.limits, where)
        if self.max_memory is not None:
            self._check_max_memory(merged.limits, whole, where)
        return merged

    def _check_max_memory(self, limits: Mapping[str, str], whole: bool, where: str) -> None:
        units.check("memory", _text("max_memory", self.max_memory, where), f"{where}: max_memory")
        limit = limits.get("memory")
        if limit is None:
            if whole:
                raise ResourceError(f"{where}: max_memory needs a memory limit to start from; set memory too.")
        elif quantity.parse(str(self.max_memory)) < quantity.parse(limit):
            raise ResourceError(
                f"{where}: max_memory ({self.max_memory}) is below memory ({limit}); raise it or leave it out."
            )

    def _own(self, where: str) -> Resources:
        requests, limits = _container_resources(self.container_resources, where)
        for name, argument in (("cpu", self.cpu), ("memory", self.memory), (GPU, self.gpu)):
            if argument is None:
                continue
            short = "gpu" if name == GPU else name
            for kind, values in (("requests", requests), ("limits", limits)):
                if name in values:
                    raise ResourceError(
                        f"{where}: {name} is set twice, by {short} ({argument}) and by container_resources.{kind} "
                        f"({values[name]}); pass one of them."
                    )
            requests[name] = limits[name] = _text(short, argument, where)
        return Resources(requests, limits)


ARGUMENTS = tuple(field.name for field in fields(TaskRequest))


def _text(name: str, value: object, where: str) -> str:
    """The quantity as Kubernetes writes it."""
    number = int if name == "gpu" else int | float
    if isinstance(value, str):
        return value
    if name in ("cpu", "gpu") and isinstance(value, number) and not isinstance(value, bool):
        return f"{value:.15g}"
    example = {"cpu": "'500m' or 1.5", "gpu": "1"}.get(name, "'512Mi'")
    raise ResourceError(f"{where}: {name} cannot be {value!r}; write it like {example}.")


def _container_resources(given: object, where: str) -> tuple[dict[str, str], dict[str, str]]:
    """Requests and limits of ``container_resources``, without what is still a template or an XCom."""
    if not isinstance(given, Mapping) and hasattr(given, "requests") and hasattr(given, "limits"):
        given = {"requests": given.requests, "limits": given.limits}
    if not isinstance(given, Mapping):
        return {}, {}
    known = ("requests", "limits", "claims")
    for key in given:
        if key not in known:
            raise ResourceError(
                f"{where}: container_resources has no {key!r}.{nearest(str(key), known)} "
                "It holds requests and limits, each a mapping of resource names to quantities."
            )
    requests, limits = (
        {name: str(value) for name, value in (given.get(kind) or {}).items() if not _is_template(value)}
        for kind in ("requests", "limits")
    )
    return requests, limits


def _is_template(value: object) -> bool:
    return not isinstance(value, str | int | float) or (isinstance(value, str) and ("{{" in value or "{%" in value))
