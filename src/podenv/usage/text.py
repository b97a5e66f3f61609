"""Figures as a person reads them."""

from __future__ import annotations


def size_text(size: float) -> str:
    """Bytes: ``612 MiB``, ``1.5 GiB``."""
    return f"{size / 2**20:.0f} MiB" if size < 2**30 else f"{size / 2**30:.3g} GiB"


def cores_text(cores: float) -> str:
    """Cores: ``0.04``, ``1.5``."""
    return f"{cores:.2f}".rstrip("0").rstrip(".") if cores < 10 else f"{cores:.0f}"


def sizes_text(sizes: list[float]) -> str:
    """Several sizes in the unit of the largest: ``310 / 402 / 512 MiB``."""
    unit, divisor, form = ("MiB", 2**20, ".0f") if max(sizes) < 2**30 else ("GiB", 2**30, ".2f")
    return " / ".join(f"{size / divisor:{form}}" for size in sizes) + f" {unit}"


def seconds_text(seconds: list[float]) -> str:
    """Several durations in the unit of the largest: ``0.4 / 1.2 / 3.0 s``, ``2 / 3 / 15 min``."""
    most = max(seconds)
    unit, divisor, form = ("s", 1, ".1f") if most < 100 else ("s", 1, ".0f")
    if most >= 600:
        unit, divisor, form = ("min", 60, ".0f") if most < 6 * 3600 else ("h", 3600, ".1f")
    return " / ".join(f"{one / divisor:{form}}" for one in seconds) + f" {unit}"
