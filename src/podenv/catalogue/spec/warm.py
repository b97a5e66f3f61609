"""The values for idle pods, one of which a task takes instead of a new one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from podenv.catalogue import quantity
from podenv.catalogue.automemory import AUTO
from podenv.catalogue.spec.fields import Form, Model, whole

MOST_IDLE = 1000
_MOST_IMPORTS = 100
_MODULE = r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*"

NO_INIT_CONTAINERS = (
    "its pods would run initContainers hours before their task comes; remove initContainers, or set warm.idle to 0"
)
NO_AUTO_MEMORY = (
    "its pods have the memory of maxMemory, which no task with memory: auto asks for; give resources.limits.memory, "
    "or set warm.idle to 0"
)

NO_QUEUE = (
    "a task that takes an idle pod would not wait in the queue of kueue.queue; remove kueue.queue, or set warm.idle "
    "to 0"
)


class Warm(Model):
    """Idle pods with podenv's runtime loaded: a task takes one, runs in it alone, and it is replaced."""

    nulls_that_say = frozenset({"idle"})

    idle: Annotated[int, Field(ge=0, le=MOST_IDLE), BeforeValidator(whole)] | None = Field(
        default=0,
        description="How many; each reserves a task's requests all the time. null: KEDA or a schedule sets the number.",
    )
    imports: list[Annotated[str, Form(_MODULE, "name of a module; write it like pandas or sklearn.linear_model")]] = (
        Field(default=[], max_length=_MOST_IMPORTS, description="Modules that are loaded before a task comes.")
    )

    @property
    def is_asked_for(self) -> bool:
        """True if the release has a pool, be it empty for the moment."""
        return self.idle != 0


def beyond_quota(
    idle: int, requests: Mapping[str, str], limits: Mapping[str, str], hard: Mapping[str, str]
) -> Iterator[str]:
    """What ``idle`` pods take that a quota does not have, each in words with the figures."""
    asked = {"pods": "1", "count/pods": "1"}
    asked |= {f"limits.{name}": amount for name, amount in limits.items()}
    for name, amount in {**limits, **requests}.items():  # what has a limit alone reserves as much
        asked |= {name: amount, f"requests.{name}": amount}
    for name, amount in asked.items():
        if name in hard and idle * quantity.parse(amount) > quantity.parse(hard[name]):
            yield f"{idle} idle pods take {idle} x {amount} of {name}, and the quota has {hard[name]}"


def _rule(given: dict[str, Any], why: str) -> dict[str, Any]:
    """A JSON schema that refuses idle pods where ``given`` holds. No value equals its constant; Helm prints that."""
    idle = {"required": ["idle"], "properties": {"idle": {"not": {"const": 0}}}}
    asked_for = {"required": ["warm"], "properties": {"warm": {"type": "object", **idle}}}
    return {"if": {"allOf": [asked_for, given]}, "then": {"properties": {"warm": {"const": f"without idle: {why}"}}}}


# What `EnvironmentSpec._idle_pods_fit` says.
RULES = [
    _rule(
        {"required": ["initContainers"], "properties": {"initContainers": {"type": "array", "minItems": 1}}},
        NO_INIT_CONTAINERS,
    ),
    _rule(
        {
            "required": ["kueue"],
            "properties": {
                "kueue": {
                    "type": "object",
                    "required": ["queue"],
                    "properties": {"queue": {"type": "string", "minLength": 1}},
                }
            },
        },
        NO_QUEUE,
    ),
    _rule(
        {
            "required": ["resources"],
            "properties": {
                "resources": {
                    "type": "object",
                    "required": ["limits"],
                    "properties": {
                        "limits": {
                            "type": "object",
                            "required": ["memory"],
                            "properties": {"memory": {"const": AUTO}},
                        }
                    },
                }
            },
        },
        NO_AUTO_MEMORY,
    ),
]
