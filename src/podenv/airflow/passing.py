"""What passes between Airflow and an environment: a task's context goes in, a value comes out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from pendulum.tz.timezone import FixedTimezone

# Context values that reach into Airflow when they are asked; a function that names one is told so, and asks nothing.
_ACCESSORS = (
    "asset_state_store", "conn", "dag", "dag_run", "inlet_events", "macros", "outlet_events", "task", "task_instance",
    "task_state_store", "ti", "triggering_asset_events", "var",
)  # fmt: skip


def context_values(context: Mapping[str, Any]) -> dict[str, Any]:
    """What a function can name in its signature; ``try_number`` stands for ``ti``, which cannot travel."""
    return {**context, **dict.fromkeys(_ACCESSORS, _Stays()), "try_number": context["ti"].try_number}


class _Stays:
    """Takes the place of what belongs to Airflow's process; it cannot travel."""


def readable(value: Any) -> Any:
    """``value``, a Result's, with pendulum's fixed offsets in place of the standard library's.

    Airflow 3.3.2 writes a ``datetime.timezone`` as an XCom and cannot read it: "ZoneInfo keys must be normalized".
    """
    if isinstance(value, list | tuple | set | frozenset):
        return type(value)(map(readable, value))
    if isinstance(value, dict):
        return {key: readable(item) for key, item in value.items()}
    if isinstance(value, datetime) and type(value.tzinfo) is timezone:
        return _with_pendulums_offset(value)
    return value


def _with_pendulums_offset(moment: datetime) -> datetime:
    offset = moment.utcoffset()
    assert offset is not None
    if offset % timedelta(seconds=1):  # pendulum keeps whole seconds
        return moment.astimezone(UTC)
    return moment.replace(tzinfo=FixedTimezone(int(offset.total_seconds())))
