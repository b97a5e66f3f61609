"""What a values file may hold: the one source from which its JSON schema is generated."""

from __future__ import annotations

from collections.abc import Sequence
from types import NoneType
from typing import Annotated, Any, Self, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from podenv.catalogue.automemory import AUTO, NEEDS_CAP
from podenv.catalogue.spec.check import CheckSpec
from podenv.catalogue.spec.dependencies import DependencySettings
from podenv.catalogue.spec.fields import Model, NotReleased, Python, Requests, Size, TaskLimits, whole
from podenv.catalogue.spec.helmschema import for_helm
from podenv.catalogue.spec.image import ImageSettings
from podenv.catalogue.spec.pod import PodSettings
from podenv.catalogue.spec.release import SHARED_NAMESPACE_RULE, ReleaseSettings
from podenv.catalogue.spec.warm import NO_AUTO_MEMORY, NO_INIT_CONTAINERS, NO_QUEUE, Warm
from podenv.catalogue.spec.warm import RULES as IDLE_RULES
from podenv.errors import nearest

# What `ResourcesSpec._check` says, in JSON schema.
_CAP_RULE: dict[str, Any] = {
    "if": {
        "required": ["limits"],
        "properties": {"limits": {"type": "object", "required": ["memory"], "properties": {"memory": {"const": AUTO}}}},
    },
    "then": {"required": ["maxMemory"], "properties": {"maxMemory": {"type": ["string", "number"]}}},
}


class ResourcesSpec(Model):
    """What a task of this environment asks for and may use, unless the task says otherwise."""

    model_config = ConfigDict(json_schema_extra=_CAP_RULE)

    requests: Requests = Field(default={}, description="Reserved for the task: cpu in cores, memory in bytes.")
    limits: TaskLimits = Field(default={}, description="The most the task may use. memory: auto is learned from runs.")
    max_memory: Size | None = Field(
        default=None, description="The most that memory which is auto grows to, in bytes; auto limits need it."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.limits.get("memory") == AUTO and self.max_memory is None:
            raise ValueError(NEEDS_CAP.rstrip("."))
        return self


_MOST_RELAUNCHES = 100
_Seconds = Annotated[int, Field(ge=1, le=7 * 86_400), BeforeValidator(whole)]


class Timeouts(Model):
    """How many seconds a task's pod may wait; what the task says of it goes before."""

    room: _Seconds | None = Field(
        default=None, description="Until the namespace's quota, its queue and the nodes have room for it (3600)."
    )
    schedule: _Seconds | None = Field(
        default=None, description="Until a node has it, where it is not room that it waits for (120)."
    )
    start: _Seconds | None = Field(default=None, description="From then on until its container runs (120).")


class EnvironmentSpec(DependencySettings, ImageSettings, PodSettings, ReleaseSettings):
    """What `envs/<name>/values.yaml` may hold, laid upon `envs/defaults.yaml`."""

    python: Python = Field(description='Version of Python, quoted: "3.13".')
    description: str = Field(default="", description="One line for people.")
    resources: ResourcesSpec = Field(default=ResourcesSpec(), description="Default requests and limits of a task.")
    check: Annotated[CheckSpec, NotReleased] = Field(
        default=CheckSpec(), description="What `podenv check` leaves out, or cannot know."
    )
    relaunch: Annotated[int, Field(ge=0, le=_MOST_RELAUNCHES, strict=True)] | None = Field(
        default=None, description="How often a task's pod that the cluster took away is launched again in the same try."
    )
    timeouts: Timeouts = Field(default=Timeouts(), description="How many seconds a task's pod may wait.")
    warm: Warm = Field(default=Warm(), description="Idle pods, one of which a task takes instead of a new one.")

    @field_validator("warm")
    @classmethod
    def _idle_pods_fit(cls, value: Warm, info: ValidationInfo) -> Warm:
        if value.is_asked_for and info.data.get("init_containers"):
            raise ValueError(NO_INIT_CONTAINERS)
        if value.is_asked_for and "kueue" in info.data and info.data["kueue"].queue:
            raise ValueError(NO_QUEUE)
        if value.is_asked_for and "resources" in info.data and info.data["resources"].limits.get("memory") == AUTO:
            raise ValueError(NO_AUTO_MEMORY)
        return value


def json_schema() -> dict[str, Any]:
    """The JSON schema of a values file, as Helm takes it."""
    return for_helm(EnvironmentSpec.model_json_schema()) | {"allOf": [SHARED_NAMESPACE_RULE, *IDLE_RULES]}


def validate(merged: dict[str, Any]) -> EnvironmentSpec:
    """The typed form of merged values; a null stands for a key that is not there. Raises pydantic's ValidationError."""
    return EnvironmentSpec.model_validate(present(merged))


def present(merged: dict[str, Any]) -> dict[str, Any]:
    """Merged values as the chart sees them: without the keys that a null removes."""
    kept: dict[str, Any] = _present(merged, EnvironmentSpec)
    return kept


def released(merged: dict[str, Any]) -> dict[str, Any]:
    """Merged values without those that only commands and the build read: what a release is made from."""
    kept: dict[str, Any] = _released(merged, EnvironmentSpec)
    return kept


# Keys that values files of an earlier podenv may still hold -> what to say of them.
_REMOVED = {
    ("access", "exec"): (
        "it is gone: no task needs a shell in its pod any more, and the right to open one is the right to read "
        "all that the pod holds; remove the key."
    ),
}


def explain(error: ValidationError) -> tuple[tuple[int | str, ...], str]:
    """Where in the values the first error stands, and what to say of it."""
    # A mistyped key often is the missing one as well: it comes first.
    first = min(error.errors(include_url=False), key=lambda one: one["type"] != "extra_forbidden")
    path = tuple(step for step in first["loc"] if step != "[key]")
    kind, given = first["type"], first["input"]
    if kind == "amount":
        return (*path, first["ctx"]["name"]), first["ctx"]["why"].rstrip(".")
    if path in _REMOVED:
        return path, _REMOVED[path]
    if kind == "extra_forbidden":
        known = _known_keys(EnvironmentSpec, path[:-1])
        few = f"Known here: {', '.join(known)}." if len(known) <= 10 else "`podenv schema` shows all that there are."
        hint = nearest(str(path[-1]), known) or f" {few}"
        return path, f"there is no such key.{hint}"
    if kind == "missing":
        return path, "it is missing; set it here or in defaults.yaml."
    if kind in ("model_type", "dict_type"):
        return path, f"it must be a map of keys to values, not {given!r}."
    if kind == "list_type":
        return path, f"it must be a list, not {given!r}."
    if kind == "bool_type":
        return path, f"it must be true or false, not {given!r}."
    if kind == "literal_error":
        return path, f"it must be {first['ctx']['expected']}, not {given!r}."
    if kind == "string_type":
        return path, f"it must be a text, not {given!r}; put it in quotes."
    why = first["msg"].removeprefix("Value error, ")
    return path, why if kind == "value_error" else f"{why[0].lower()}{why[1:]}, not {given!r}."


def _known_keys(model: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    place: Any = model
    for step in path:
        place = _inside(place, step)
    return _keys(place) or []


def _keys(place: Any) -> list[str] | None:
    """The keys that ``place`` in the model has; None where any may stand."""
    if isinstance(place, type) and issubclass(place, BaseModel):
        return [str(field.alias) for field in place.model_fields.values()]
    return None


def _inside(place: Any, step: int | str) -> Any:
    """What the model says of ``step`` in ``place``: a key of a map, or a list's item; None where it says nothing."""
    if _keys(place) is None:
        below = get_args(place)[-1:]
    else:
        below = tuple(field.annotation for field in place.model_fields.values() if field.alias == step)
    kinds = [kind for one in below for kind in (get_args(one) if NoneType in get_args(one) else [one])]
    return next((kind for kind in kinds if kind is not NoneType), None)


def _present(tree: Any, place: Any) -> Any:
    """``tree`` without the keys that a null removes; one that may not stand there stays, to be refused."""
    if not isinstance(tree, dict):
        return tree
    return {
        key: _present(value, _inside(place, key))
        for key, value in tree.items()
        if value is not None or not _is_removed_by_null(place, key)
    }


def _released(tree: Any, place: Any) -> Any:
    if not isinstance(tree, dict) or _keys(place) is None:
        return tree
    left_out = {field.alias for field in place.model_fields.values() if NotReleased in field.metadata}
    return {key: _released(value, _inside(place, key)) for key, value in tree.items() if key not in left_out}


def _is_removed_by_null(place: Any, key: str) -> bool:
    """True if ``place`` takes ``key``, and a null says no more there than that there is none."""
    known = _keys(place)
    if known is not None:
        return key in known and key not in getattr(place, "nulls_that_say", ())
    if get_origin(place) is not dict:
        return True
    try:
        TypeAdapter(get_args(place)[0]).validate_python(key)
    except ValidationError:
        return False
    return True
