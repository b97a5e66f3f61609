"""What a values file may hold: the one source from which its JSON schema is generated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from podenv import quantity
from podenv.errors import ResourceError, nearest
from podenv.names import is_python_version

RESOURCES = ("cpu", "memory", "ephemeral-storage")


def _python(value: object) -> str:
    if isinstance(value, float | int):
        raise ValueError('a Python version must be quoted, or 3.10 is read as 3.1; write python: "3.10"')
    if not isinstance(value, str) or not is_python_version(value):
        raise ValueError(f'{value!r} is no Python version; write it like "3.13" (no patch release)')
    return value


def _quantity(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{value!r} is no Kubernetes quantity; write it like 500m (cpu) or 2Gi (memory)")
    text = value if isinstance(value, str) else f"{value:.15g}"
    try:
        quantity.parse(text)
    except ResourceError as error:
        raise ValueError(str(error).rstrip(".")) from None
    return text


def _resource_name(value: str) -> str:
    if value not in RESOURCES and "/" not in value and not value.startswith("hugepages-"):
        raise ValueError(
            f"there is no resource {value!r}.{nearest(value, RESOURCES)} Known are {', '.join(RESOURCES)}, "
            "and names with a domain, like nvidia.com/gpu"
        )
    return value


Python = Annotated[
    str, BeforeValidator(_python), WithJsonSchema({"type": "string", "pattern": "^3\\.(0|[1-9][0-9]?)$"})
]
Quantity = Annotated[str, BeforeValidator(_quantity), WithJsonSchema({"type": ["string", "number"]})]
ResourceName = Annotated[str, BeforeValidator(_resource_name)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ResourcesSpec(_Model):
    """What a task of this environment asks for and may use, unless the task says otherwise."""

    requests: dict[ResourceName, Quantity] = Field(
        default={}, description="Reserved for the task: cpu in cores, memory in bytes."
    )
    limits: dict[ResourceName, Quantity] = Field(default={}, description="The most the task may use.")


class EnvironmentSpec(_Model):
    """What `envs/<name>/values.yaml` may hold, laid upon `envs/defaults.yaml`."""

    python: Python = Field(description='Version of Python, quoted: "3.13".')
    description: str = Field(default="", description="One line for people.")
    resources: ResourcesSpec = Field(default=ResourcesSpec(), description="Default requests and limits of a task.")
    env: dict[str, str] = Field(default={}, description="Environment variables of every task; nothing secret.")


def json_schema() -> dict[str, Any]:
    """The JSON schema of a values file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **EnvironmentSpec.model_json_schema()}


def explain(error: ValidationError) -> tuple[tuple[int | str, ...], str]:
    """Where in the values the first error stands, and what to say of it."""
    # A mistyped key often is the missing one as well: it comes first.
    first = min(error.errors(include_url=False), key=lambda one: one["type"] != "extra_forbidden")
    path = tuple(step for step in first["loc"] if step != "[key]")
    kind, given = first["type"], first["input"]
    if kind == "extra_forbidden":
        known = _known_keys(EnvironmentSpec, path[:-1])
        hint = nearest(str(path[-1]), known) or f" Known here: {', '.join(known)}."
        return path, f"there is no such key.{hint}"
    if kind == "missing":
        return path, "it is missing; set it here or in defaults.yaml."
    if kind in ("model_type", "dict_type"):
        return path, f"it must be a map of keys to values, not {given!r}."
    if kind == "string_type":
        return path, f"it must be a text, not {given!r}; put it in quotes."
    why = first["msg"].removeprefix("Value error, ")
    return path, why if kind == "value_error" else f"{why[0].lower()}{why[1:]}, not {given!r}."


def _known_keys(model: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    for step in path:
        annotation = model.model_fields[str(step)].annotation
        assert isinstance(annotation, type)
        assert issubclass(annotation, BaseModel)
        model = annotation
    return list(model.model_fields)
