"""What the tasks hand to each other, as the code sees it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar


class Size(Enum):
    SMALL = 1
    LARGE = 2


@dataclass(order=True)
class Order:
    name: str
    pieces: int
    unit: str = "piece"
    known: ClassVar[int] = 2
