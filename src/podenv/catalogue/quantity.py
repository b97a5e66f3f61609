"""Kubernetes quantities: ``500m``, ``1.5``, ``2Gi``, ``1e3``; `podenv.catalogue.units` knows which of them make sense.

Source of the grammar: k8s.io/apimachinery/pkg/api/resource, type Quantity.
"""

from __future__ import annotations

import re
from decimal import Decimal
from math import ceil

from podenv.errors import ResourceError

_GRAMMAR = re.compile(
    r"\+?(?P<number>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:(?P<suffix>[numkMGTPE]|[KMGTPE]i)|[eE](?P<exponent>[+-]?[0-9]{1,3}))?"
)
_FACTORS = {
    **{suffix: Decimal(10) ** (3 * power) for power, suffix in enumerate(("n", "u", "m", "", "k", *"MGTPE"), start=-3)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", start=1)},
}


def parse(text: str) -> Decimal:
    """The quantity in its base unit (cores for cpu, bytes for memory, pieces for gpu).

    Raises `ResourceError` where ``text`` is not a quantity that a resource can have; a negative one cannot.
    """
    match = _GRAMMAR.fullmatch(text)
    if match is None:
        raise ResourceError(f"{text!r} is not a Kubernetes quantity; write it like '500m' (cpu) or '2Gi' (memory).")
    number = Decimal(match["number"])
    if match["exponent"]:
        return number * Decimal(10) ** int(match["exponent"])
    return number * _FACTORS[match["suffix"] or ""]


def split(text: str) -> tuple[str, str]:
    """A quantity's number and its suffix; an exponent is a part of the suffix."""
    match = _GRAMMAR.fullmatch(text)
    assert match is not None, text
    return match["number"], text.removeprefix("+").removeprefix(match["number"])


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
