"""The way through this Airflow's store, for one call; loaded when a task executes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from podenv.airflow import settings
from podenv.airflow.connections import store, store_at
from podenv.airflow.reference import Reference
from podenv.errors import SettingError, StoreUnreachable
from podenv.exchange import keys
from podenv.exchange.calls import Exchange
from podenv.exchange.keys import Place
from podenv.exchange.store import LONGEST, Store

if TYPE_CHECKING:
    from podenv.airflow.task import EnvTask

_SLACK = timedelta(hours=1)  # for the transfers themselves, and clocks that differ


def of_task(task: EnvTask, context: Mapping[str, Any], *, waits: float = 0) -> Exchange | None:
    """The exchange of one execution of ``task``, which may wait ``waits`` seconds; None where no store is set."""
    timeout = task.execution_timeout
    lifetime = LONGEST if timeout is None else timeout + timedelta(seconds=waits) + _SLACK
    everything = not task.decides and (task.results or settings.results()) == "exchange"
    made = _exchange(_place(context), lifetime, everything=everything)
    return made and replace(made, outputs=bool(getattr(task, "multiple_outputs", False)))


def of_call(function: Callable[..., Any], context: Mapping[str, Any] | None) -> Exchange | None:
    """The exchange of one call of ``function`` by `run_in_env`; None where no store is set."""
    place = _place(context) if context else keys.of_call(function)
    return _exchange(place, LONGEST, everything=settings.results() == "exchange")


def _place(context: Mapping[str, Any]) -> Place:
    ti = context["ti"]
    return Place(ti.dag_id, ti.run_id, ti.task_id, ti.map_index, max(ti.try_number, 1))


def _exchange(place: Place, lifetime: timedelta, *, everything: bool) -> Exchange | None:
    address = settings.exchange()
    found = store(address) if address is not None else default_store()
    if found is not None:
        return Exchange(found, place, lifetime, everything, store_at=store_at, kind=Reference)
    if everything:
        raise SettingError("results = exchange needs a store; set [podenv] exchange.")
    return None


def default_store() -> Store | None:
    """The store that stands in where none is set, if addresses can be signed for it: nobody asked for it."""
    try:
        address = settings.exchange_of_others()
        found = None if address is None else store(address)
        if found is not None:
            found.to_read(["podenv"], _SLACK)
        return found
    except (SettingError, StoreUnreachable) as error:
        settings.log.info("Values that are too much for XCom are refused: %s", error)
        return None
