"""Kinds of values that a values file is made of; each has one rule, for the model and for the JSON schema alike."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from podenv.catalogue import units
from podenv.catalogue.automemory import AUTO
from podenv.catalogue.names import PYTHON, is_python_version
from podenv.errors import ResourceError, nearest

RESOURCES = ("cpu", "memory", "ephemeral-storage")
_LABEL = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_PLAIN = "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_QUALIFIED = rf"({_SUBDOMAIN}/)?{_PLAIN}"
_HUGE_PAGES = "hugepages-[0-9]+[KMG]i"
_WITH_DOMAIN = f"{_SUBDOMAIN}/{_PLAIN}"
_RESOURCE_NAME = rf"cpu|memory|ephemeral-storage|{_HUGE_PAGES}|{_WITH_DOMAIN}"
_CLASS_STORAGE = r"\.storageclass\.storage\.k8s\.io/requests\.storage"
_QUOTA_NAME = "[a-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?"
_PORT_NAME = "[a-z0-9]{0,5}[a-z][a-z0-9]{0,9}"
_V4_BYTE = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_H = "[0-9a-fA-F]{1,4}"
# Every place that the `::` of an IPv6 address can have.
_V6 = "|".join(
    (
        f"({_H}:){{7}}{_H}",
        f"({_H}:){{1,7}}:",
        *(f"({_H}:){{1,{7 - after}}}(:{_H}){{1,{after}}}" for after in range(1, 7)),
        f":((:{_H}){{1,7}}|:)",
    )
)
_CIDR = rf"({_V4_BYTE}\.){{3}}{_V4_BYTE}/(3[0-2]|[12]?[0-9])|({_V6})/(12[0-8]|1[01][0-9]|[1-9]?[0-9])"
_IP = rf"({_V4_BYTE}\.){{3}}{_V4_BYTE}|{_V6}"


class Model(BaseModel):
    """A map of a values file: camelCase keys, no unknown ones, and no null (it removes a key before we see it).

    A null in one of ``nulls_that_say`` says something of its own; the chart has no default there.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, alias_generator=to_camel)
    nulls_that_say: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _no_null(cls, given: object) -> object:
        for field in cls.model_fields.values():
            absent = isinstance(given, dict) and given.get(field.alias, "") is None
            if absent and field.alias not in cls.nulls_that_say:
                raise ValueError(f"{field.alias} is null; in a list nothing can be removed by null: leave the key out.")
        return given

    def _exactly_one_of(self, *names: str) -> Self:
        given = [name for name in names if name in self.model_fields_set]
        if len(given) != 1:
            raise ValueError(f"give one of {' or '.join(map(to_camel, names))}, not {len(given)} of them.")
        return self


class NotReleased:
    """Marks a field that only commands and the build read: the chart does not, so no release holds its value."""


@dataclass(frozen=True)
class Form:
    """A text of the form ``pattern`` (in what Go and Python share), not of the form ``reserved``."""

    pattern: str
    what: str
    max_length: int = 253
    reserved: str | None = None
    because: str = "is set by the chart; choose another"

    def check(self, text: str) -> str:
        shown = re.sub("//[^/ ]*@", "//***@", text)  # a login in an address is for no log
        if self.reserved and re.fullmatch(self.reserved, text):
            raise ValueError(f"{shown!r} {self.because}")
        if len(text) > self.max_length or not re.fullmatch(self.pattern, text):
            raise ValueError(f"{shown!r} is not a valid {self.what}")
        return text

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        form: dict[str, Any] = {"type": "string", "pattern": f"^({self.pattern})$", "maxLength": self.max_length}
        if self.reserved:
            # A constant that no reserved text equals: it refuses them all, and Helm prints it ("value must be ...").
            form["if"] = {"type": "string", "pattern": f"^({self.reserved})$"}
            form["then"] = {"const": f"another text: this one {self.because}"}
        return form


def _python(value: object) -> str:
    if isinstance(value, float | int):
        raise ValueError('a Python version must be quoted, or 3.10 is read as 3.1; write python: "3.10"')
    if not isinstance(value, str) or not is_python_version(value):
        raise ValueError(
            f"{value!r} is not a Python version that podenv can use; "
            'write it like "3.13": 3.8 or newer, no patch release'
        )
    return value


def _quantity(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{value!r} is not a Kubernetes quantity; write it like 500m (cpu) or 2Gi (memory)")
    return value if isinstance(value, str) else repr(value + 0)  # -0.0 is 0.0


def _size(text: str) -> str:
    try:
        units.BYTES.check(text)
    except ResourceError as error:
        raise ValueError(str(error).rstrip(".")) from None
    return text


@dataclass(frozen=True)
class Amounts:
    """A map of resources to quantities, each in the unit of its resource.

    ``zero``: one may be nothing. ``quota``: the names are those of a ResourceQuota. ``auto``: memory may be learned.
    """

    zero: bool = False
    quota: bool = False
    auto: bool = False

    def check(self, amounts: dict[str, str]) -> dict[str, str]:
        for name, text in amounts.items():
            if self.auto and name == "memory" and text == AUTO:
                continue
            unit = units.of_quota(name) if self.quota else units.of(name)
            try:
                assert unit is not None, name  # the name was checked before
                unit.check(text, zero=self.zero)
            except ResourceError as error:
                raise PydanticCustomError("amount", "{why}", {"name": name, "why": str(error)}) from None
        return amounts

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        kinds = {unit: unit.schema(zero=self.zero) for unit in units.ALL}
        sized = f"memory|ephemeral-storage|{_HUGE_PAGES}"
        if self.quota:
            patterns = {
                r"^((requests|limits)\.)?cpu$": kinds[units.QUOTA_CORES],
                rf"^(((requests|limits)\.)?({sized}|storage)|.+{_CLASS_STORAGE})$": kinds[units.BYTES],
            }
            names = {"pattern": f"^({_QUOTA_NAME})$", "maxLength": 317}
            rest: dict[str, Any] = {"propertyNames": names, "additionalProperties": kinds[units.PIECES]}
        else:
            patterns = {
                "^cpu$": kinds[units.CORES],
                f"^({sized})$": kinds[units.BYTES],
                f"^({_WITH_DOMAIN})$": kinds[units.PIECES],
                f"^{_SUBDOMAIN}/gpu$": kinds[units.GPUS],  # is a piece too: both hold
            }
            rest = {"additionalProperties": False}
            if self.auto:
                patterns[f"^({sized})$".replace("memory|", "")] = patterns.pop(f"^({sized})$")
                patterns["^memory$"] = {"anyOf": [kinds[units.BYTES], {"const": AUTO}]}
        return {"type": "object", "patternProperties": patterns, **rest}


def _resource_name(value: str) -> str:
    if not re.fullmatch(_RESOURCE_NAME, value):
        raise ValueError(
            f"there is no resource {value!r}.{nearest(value, RESOURCES)} Known are {', '.join(RESOURCES)}, "
            "and names with a domain, like nvidia.com/gpu"
        )
    return value


def whole(value: object) -> object:
    """Helm reads every number as a float; 2.0 is 2."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _port(value: object) -> int | str:
    port = whole(value)
    if isinstance(port, str) and re.fullmatch(_PORT_NAME, port):
        return port
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
        raise ValueError(f"{value!r} is not a valid port; write a number from 1 to 65535, or a port's name")
    return port


Count = Annotated[int, Field(ge=1, le=2**31 - 1), BeforeValidator(whole)]
PortNumber = Annotated[int, Field(ge=1, le=65535), BeforeValidator(whole)]
Seconds = Annotated[int, Field(ge=0, le=2**31 - 1), BeforeValidator(whole)]
Python = Annotated[str, BeforeValidator(_python), WithJsonSchema({"type": "string", "pattern": f"^{PYTHON}$"})]
Quantity = Annotated[str, BeforeValidator(_quantity)]
Size = Annotated[Quantity, AfterValidator(_size), WithJsonSchema(units.BYTES.schema())]
ResourceName = Annotated[
    str, AfterValidator(_resource_name), WithJsonSchema({"type": "string", "pattern": f"^({_RESOURCE_NAME})$"})
]
Port = Annotated[
    int | str,
    BeforeValidator(_port),
    WithJsonSchema({"type": ["integer", "string"], "minimum": 1, "maximum": 65535, "pattern": f"^({_PORT_NAME})$"}),
]
QuotaName = Annotated[str, Form(_QUOTA_NAME, "resource that a quota counts", 317)]
Requests = Annotated[dict[ResourceName, Quantity], Amounts(zero=True)]
Limits = Annotated[dict[ResourceName, Quantity], Amounts()]
TaskLimits = Annotated[dict[ResourceName, Quantity], Amounts(auto=True)]
Quota = Annotated[dict[QuotaName, Quantity], Amounts(zero=True, quota=True)]
DnsLabel = Annotated[str, Form(_LABEL, "name that Kubernetes takes here (a DNS-1123 label)", 63)]
ObjectName = Annotated[str, Form(_SUBDOMAIN, "name of a Kubernetes object (a DNS-1123 subdomain)")]
OptionalName = Annotated[str, Form(f"({_SUBDOMAIN})?", "name of a Kubernetes object (a DNS-1123 subdomain)")]
DataKey = Annotated[str, Form("[-._a-zA-Z0-9]+", "key of a ConfigMap or Secret")]
EnvName = Annotated[str, Form("[-._a-zA-Z][-._a-zA-Z0-9]*", "name of an environment variable", 1024)]
LabelKey = Annotated[str, Form(_QUALIFIED, "key of a Kubernetes label", 317)]
LabelValue = Annotated[str, Form("(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?", "value of a Kubernetes label", 63)]
OwnLabelKey = Annotated[
    str,
    Form(
        _QUALIFIED,
        "key of a Kubernetes label",
        317,
        r"podenv\.dev/.*|helm\.sh/.*|app\.kubernetes\.io/(name|instance|component|managed-by)",
    ),
]
OwnAnnotationKey = Annotated[
    str, Form(_QUALIFIED, "key of a Kubernetes annotation", 317, r"podenv\.dev/.*|(meta\.)?helm\.sh/.*")
]
Cidr = Annotated[str, Form(_CIDR, "block of addresses; write it like 10.0.0.0/8 or fd00::/8", 50)]
Address = Annotated[str, Form(_IP, "IP address", 45)]
