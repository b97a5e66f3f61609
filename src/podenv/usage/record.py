"""What one run of a task used: the record that is kept of it, and the line that ends its log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from podenv.catalogue import quantity
from podenv.errors import Killed, OutOfMemory, PodenvError
from podenv.usage.text import cores_text, size_text

MESSAGE_CHARACTERS = 500
"""What is kept of a failure's words."""
_TIMED_SECONDS = 0.1  # below which the clocks of CPU and time are too coarse for each other
_THROTTLED_SECONDS = 0.05  # below which nobody waited


@dataclass(frozen=True, kw_only=True)
class TaskUsage:
    """Sizes in bytes, CPU in cores, times in seconds; None where it is not known.

    ``state`` is ``success``, ``failed``, ``out_of_memory`` or ``killed``; ``started`` a moment in ISO 8601, UTC;
    ``failure`` the type of the failure, ``message`` its words; ``growths`` counts how often the run began again with
    more memory, ``relaunches`` how often for another reason, ``reasons`` both by their reason. ``travelled`` says what
    went along with the function; ``times`` when its last ``pod`` was ``created``, ``scheduled``, ``started`` and
    ``ended``.
    """

    environment: str
    backend: str
    state: str
    started: str
    lock: str | None = None
    python: str | None = None
    image: str | None = None
    seconds: float | None = None
    waited_seconds: float | None = None
    peak_memory_bytes: int | None = None
    memory_request_bytes: int | None = None
    memory_limit_bytes: int | None = None
    cpu_seconds: float | None = None
    cpu_request_cores: float | None = None
    cpu_limit_cores: float | None = None
    throttled_seconds: float | None = None
    written_bytes: int | None = None
    out_of_memory_kills: int | None = None
    growths: int = 0
    relaunches: int = 0
    failure: str | None = None
    message: str | None = None
    travelled: str | None = None
    pod: str | None = None
    node: str | None = None
    times: Mapping[str, str] | None = None
    reasons: Mapping[str, int] | None = None

    @property
    def known(self) -> dict[str, Any]:
        """The record as JSON can hold it, without what is not known."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @property
    def line(self) -> str:
        """What a person reads of it; empty for a run whose function never began."""
        if self.seconds is None:
            return ""
        return f"{', '.join([self._memory, *self._cpu, f'{self.seconds:.1f} s'])}."

    @property
    def _memory(self) -> str:
        limit = self.memory_limit_bytes
        if self.state == "out_of_memory":
            return f"Peak at least {size_text(limit)}, its limit" if limit else "Peak beyond this machine's memory"
        if self.peak_memory_bytes is None:
            return "Peak not known"
        return f"Peak {size_text(self.peak_memory_bytes)}{f' of {size_text(limit)}' if limit else ''}"

    @property
    def _cpu(self) -> list[str]:
        seconds = self.seconds or 0.0
        if self.cpu_seconds is None or seconds < _TIMED_SECONDS:
            return []
        cores = f"{cores_text(self.cpu_seconds / seconds)} cores"
        most = f" of {cores_text(self.cpu_limit_cores)}" if self.cpu_limit_cores else ""
        throttled = self.throttled_seconds or 0.0
        waited = f" (throttled {throttled:.1f} s)" if throttled >= _THROTTLED_SECONDS else ""
        return [f"{cores}{most}{waited}"]


def usage_of(
    measured: Mapping[str, float], resources: Mapping[str, Mapping[str, Any]], error: BaseException | None, **known: Any
) -> TaskUsage:
    """The record of a run.

    ``measured`` is a Result's ``usage``, ``resources`` the requests and limits of its container, ``error`` what it
    ended with; ``known`` are further fields of `TaskUsage`.
    """
    sizes: dict[str, Any] = {
        f"{what}_{kind}_{unit}": None if (text := (resources.get(f"{kind}s") or {}).get(what)) is None else read(text)
        for what, unit, read in (("memory", "bytes", _bytes), ("cpu", "cores", _cores))
        for kind in ("request", "limit")
    }
    whole = ("peak_memory_bytes", "written_bytes", "out_of_memory_kills")
    figures: dict[str, Any] = {name: int(measured[name]) for name in whole if name in measured}
    figures |= {name: round(measured[name], 3) for name in ("cpu_seconds", "throttled_seconds") if name in measured}
    if isinstance(error, OutOfMemory):
        figures["out_of_memory_kills"] = max(1, figures.get("out_of_memory_kills", 0))
    return TaskUsage(
        state=_state(error),
        failure=None if error is None else type(error).__name__,
        message=str(error)[:MESSAGE_CHARACTERS] if isinstance(error, PodenvError) else None,
        **sizes,
        **figures,
        **known,
    )


def now() -> str:
    """The moment, as a record has it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _state(error: BaseException | None) -> str:
    if error is None:
        return "success"
    if isinstance(error, OutOfMemory):
        return "out_of_memory"
    return "failed" if isinstance(error, Exception) and not isinstance(error, Killed) else "killed"


def _bytes(text: object) -> int:
    return quantity.to_bytes(str(text))


def _cores(text: object) -> float:
    return float(quantity.parse(str(text)))
