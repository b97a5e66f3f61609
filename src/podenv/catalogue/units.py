"""What each resource is counted in, and how much of it makes sense: ``512m`` of memory is half a byte.

The rule of a unit is a regular expression, in what Go and Python share, so that the values' JSON schema and podenv
decide alike. The bounds:

- bytes (memory, ephemeral-storage, huge pages, the size of a volume): at least a megabyte. The smallest container needs
  several, and everything that people write by mistake (``512m``, ``4``, ``512k``) lies below.
- cores: at least ``1m``, the finest that Kubernetes keeps, and below 1000 for one container. Machines with more are
  rarer than ``1000`` written for ``1000m``, and ``2Gi`` cores exist nowhere. A quota may have ten million.
- GPUs: a whole number below 1000. Other resources with a domain: a whole number.

Zero is a request or a quota of nothing; as a limit of cpu or memory Kubernetes reads it as no limit at all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from podenv.catalogue import quantity
from podenv.errors import ResourceError

_FROM_ONE = r"0*[1-9][0-9]*(?:\.[0-9]*)?"
_FROM_THOUSANDTH = r"0*\.0{0,2}[1-9][0-9]*"
_SIZE = "|".join((
    r"0*[1-9][0-9]{9,}(?:\.[0-9]*)?m",  # how Kubernetes writes 1.2Gi: 1288490188800m
    r"0*[1-9][0-9]{6,}(?:\.[0-9]*)?",
    r"0*[1-9][0-9]{3,}(?:\.[0-9]*)?(?:k|Ki|[eE]\+?0?0?3)",
    rf"{_FROM_ONE}(?:[MGTPE]i?|[eE]\+?(?:0?0?[6-9]|0?[1-9][0-9]|[1-9][0-9]{{2}}))",
    rf"{_FROM_THOUSANDTH}[GTPE]i?",
))  # fmt: skip
_ZERO = r"0+(?:\.0*)?(?:[mkMGTPE]|[KMGTPE]i)?"


@dataclass(frozen=True, eq=False)
class Unit:
    """What one kind of resource is counted in.

    ``pattern`` matches the texts that make sense, ``bounds`` is JSON schema for plain numbers. What is ``whole`` is not
    divided, and may always be nothing.
    """

    name: str
    example: str
    pattern: str
    bounds: Mapping[str, Any]
    whole: bool = False

    def schema(self, *, zero: bool = False) -> dict[str, Any]:
        """JSON schema of a quantity in this unit; with ``zero`` it may be nothing."""
        number = "integer" if self.whole else "number"
        pattern = f"^({self.pattern}|{_ZERO})$" if zero else f"^({self.pattern})$"
        one = {"type": ["string", number], "pattern": pattern, **self.bounds}
        if not zero or self.whole:
            return one
        return {"anyOf": [one, {"type": "number", "minimum": 0, "maximum": 0}]}

    def check(self, text: str, *, zero: bool = False) -> None:
        """Raise `ResourceError` where ``text`` makes no sense; the message says what was probably meant."""
        try:
            value = quantity.parse(text)
        except ResourceError as error:
            raise ResourceError(_misspelt(self, text) or str(error)) from None
        if re.fullmatch(self.pattern, text) or (zero and re.fullmatch(_ZERO, text)):
            return
        raise ResourceError(_nonsense(self, text, value))


BYTES = Unit("bytes", "512Mi", _SIZE, {"minimum": 10**6})
CORES = Unit(
    "cores",
    "500m or 2",
    rf"0*[1-9][0-9]{{0,2}}(?:\.[0-9]*)?|{_FROM_THOUSANDTH}|0*[1-9][0-9]{{0,5}}(?:\.[0-9]*)?m",
    {"minimum": 0.001, "exclusiveMaximum": 1000},
)
QUOTA_CORES = Unit(
    "cores",
    "64",
    rf"0*[1-9][0-9]{{0,6}}(?:\.[0-9]*)?|{_FROM_THOUSANDTH}|0*[1-9][0-9]{{0,9}}(?:\.[0-9]*)?m|"
    r"0*[1-9][0-9]{0,3}(?:\.[0-9]*)?k",
    {"minimum": 0.001, "exclusiveMaximum": 10**7},
)
GPUS = Unit("gpus", "1", r"[0-9]{1,3}(?:\.0*)?", {"minimum": 0, "maximum": 999}, whole=True)
PIECES = Unit(
    "pieces",
    "1",
    r"[0-9]{1,12}(?:\.0*)?(?:[kMGTPE]|[KMGTPE]i)?",
    {"minimum": 0, "maximum": 10**12 - 1},
    whole=True,
)
ALL = (BYTES, CORES, QUOTA_CORES, GPUS, PIECES)


def of(resource: str) -> Unit | None:
    """The unit of a container's resource; None for a name that Kubernetes does not have."""
    if resource == "cpu":
        return CORES
    if resource in ("memory", "ephemeral-storage") or resource.startswith("hugepages-"):
        return BYTES
    if "/" not in resource:
        return None
    return GPUS if resource.endswith("/gpu") else PIECES


def of_quota(name: str) -> Unit:
    """The unit of what a ResourceQuota counts, like ``requests.cpu`` or ``pods``."""
    prefix, _, rest = name.partition(".")
    resource = rest if prefix in ("requests", "limits") else name
    if resource == "cpu":
        return QUOTA_CORES
    if resource == "storage" or name.endswith(".storageclass.storage.k8s.io/requests.storage"):
        return BYTES
    return BYTES if of(resource) is BYTES else PIECES


def check_resources(requests: Mapping[str, str], limits: Mapping[str, str], where: str) -> None:
    """Raise `ResourceError`, beginning with ``where``, for a value that makes no sense or a request above its limit."""
    for kind, values in (("request", requests), ("limit", limits)):
        for name, value in values.items():
            check(name, value, f"{where}: {kind} of {name}", zero=kind == "request")
    for name, request in requests.items():
        limit = limits.get(name)
        if limit is not None and quantity.parse(request) > quantity.parse(limit):
            raise ResourceError(
                f"{where}: the request of {name} ({request}) is above its limit ({limit}); "
                "lower the request or raise the limit."
            )


def check(resource: str, text: str, where: str, *, zero: bool = False) -> None:
    """Raise `ResourceError`, beginning with ``where``, where so much of a container's resource makes no sense."""
    try:
        unit = of(resource)
        if unit is None:
            quantity.parse(text)
        else:
            unit.check(text, zero=zero)
    except ResourceError as error:
        raise ResourceError(f"{where}: {error}") from None


def check_pod(spec: Mapping[str, Any], where: str) -> None:
    """As `check_resources`, for what a pod's ``spec`` has beside its containers: init containers, empty folders."""
    for container in spec.get("initContainers") or ():
        resources = container.get("resources") or {}
        inside = f"{where}: init container {container.get('name')!r}"
        check_resources(_texts(resources.get("requests")), _texts(resources.get("limits")), inside)
    for volume in spec.get("volumes") or ():
        size = (volume.get("emptyDir") or {}).get("sizeLimit")
        if size is not None:
            check("memory", str(size), f"{where}: sizeLimit of the volume {volume.get('name')!r}")


def _texts(amounts: Mapping[str, object] | None) -> dict[str, str]:
    return {name: str(amount) for name, amount in (amounts or {}).items()}


def _misspelt(unit: Unit, text: str) -> str | None:
    """What a text that is not a quantity probably means."""
    size = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt])i?b?\s*", text, re.IGNORECASE)
    if unit is not BYTES or size is None:
        return None
    return f"{text!r} is not a Kubernetes quantity; did you mean {size[1]}{size[2].upper()}i?"


def _nonsense(unit: Unit, text: str, value: Decimal) -> str:
    """Why a quantity makes no sense, and what it probably means."""
    number, suffix = quantity.split(text)
    like = f"write it like {unit.example}."
    if value == 0:
        return f"a limit of {text} means no limit to Kubernetes; leave it out, or {like}"
    if unit is BYTES and value < 10**6:
        likely = "Gi" if suffix in ("M", "Mi") or (not suffix and value <= 64) else "Mi"
        return f"{text} is {_bytes(value)}; did you mean {_sensible(unit, number, likely)}?"
    if unit.name == "cores" and value < Decimal("0.001"):
        return f"{text} is less than a thousandth of a core; did you mean {_sensible(unit, number, 'm')}?"
    if unit.name == "cores" and value >= unit.bounds["exclusiveMaximum"]:
        memory = " Was it meant as memory?" if suffix[:1] in tuple("KMGTPE") else ""
        hint = f"did you mean {number}m?" if not suffix else f"{like}{memory}"
        return f"{text} is {value:,f} cores; {hint}"
    is_whole = value == value.to_integral_value()
    if unit is GPUS and is_whole:
        return f"{text} is {value:,f} GPUs; they are counted, not their memory: {like}"
    if unit.whole and not is_whole:
        return f"{text} is not a whole number; {like}"
    return f"{text} is an unusual way to write a quantity; {like}"


def _sensible(unit: Unit, number: str, suffix: str) -> str:
    """The number with this suffix where that makes sense, else an example."""
    text = f"{number}{suffix}"
    return text if re.fullmatch(unit.pattern, text) else unit.example.partition(" ")[0]


def _bytes(value: Decimal) -> str:
    if value < 1:
        return "half a byte" if Decimal("0.4") <= value <= Decimal("0.6") else "less than a byte"
    return "one byte" if value == 1 else f"{value.normalize():,f} bytes"
