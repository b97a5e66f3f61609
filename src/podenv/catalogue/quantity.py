"""Kubernetes quantities: ``500m``, ``1.5``, ``2Gi``, ``1e3``.

Source of the grammar: k8s.io/apimachinery/pkg/api/resource, type Quantity.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from math import ceil

from podenv.errors import ResourceError

_GRAMMAR = re.compile(
    r"\+?(?P<number>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:(?P<suffix>[numkMGTPE]|[KMGTPE]i)|[eE](?P<exponent>[+-]?[0-9]{1,3}))?"
)
# The grammar without named groups: for JSON schemas.
PATTERN = re.sub(r"\?P<\w+>", "", _GRAMMAR.pattern)
_FACTORS = {
    **{suffix: Decimal(10) ** (3 * power) for power, suffix in enumerate(("n", "u", "m", "", "k", *"MGTPE"), start=-3)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", start=1)},
}


def parse(text: str) -> Decimal:
    """The quantity in its base unit (cores for cpu, bytes for memory, pieces for gpu).

    Raises `ResourceError` when ``text`` is no quantity that a resource can have; a negative one cannot.
    """
    match = _GRAMMAR.fullmatch(text)
    if match is None:
        raise ResourceError(f"{text!r} is no Kubernetes quantity; write it like '500m' (cpu) or '2Gi' (memory).")
    number = Decimal(match["number"])
    if match["exponent"]:
        return number * Decimal(10) ** int(match["exponent"])
    return number * _FACTORS[match["suffix"] or ""]


def to_bytes(text: str) -> int:
    """The quantity as whole bytes, rounded up as Kubernetes does."""
    return ceil(parse(text))


def of_bytes(size: int) -> str:
    """Bytes as the shortest exact quantity: ``1536Mi``, ``2Gi``, ``1000``."""
    for suffix in ("Ti", "Gi", "Mi", "Ki"):
        whole, rest = divmod(size, int(_FACTORS[suffix]))
        if whole and not rest:
            return f"{whole}{suffix}"
    return str(size)


def check_resources(requests: Mapping[str, str], limits: Mapping[str, str], where: str) -> None:
    """Raise `ResourceError`, beginning with ``where``, for a value that is no quantity or a request above its limit."""
    for kind, values in (("request", requests), ("limit", limits)):
        for name, value in values.items():
            try:
                parse(value)
            except ResourceError as error:
                raise ResourceError(f"{where}: {kind} of {name}: {error}") from None
    for name, request in requests.items():
        limit = limits.get(name)
        if limit is not None and parse(request) > parse(limit):
            raise ResourceError(
                f"{where}: the request of {name} ({request}) is above its limit ({limit}); "
                "lower the request or raise the limit."
            )
