"""`podenv exchange list` and `podenv exchange prune`: the values of tasks that are in the store."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from typing import Annotated, Any

import typer

from podenv.cli import output
from podenv.cli.choice import AsJson
from podenv.cli.prune import age
from podenv.cli.target import Yes
from podenv.errors import SettingError
from podenv.exchange.address import StoreAddress, parse
from podenv.exchange.calls import VARIABLE, plain_store
from podenv.exchange.keys import PART, Place, folder_of, place_of
from podenv.exchange.store import Entry, Store, older
from podenv.local import exchange_folder

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    add_completion=False,
    help="Show or delete the values of tasks that are in the store.",
)

Address = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="ADDRESS",
        help="Like s3://bucket/prefix. Default: PODENV_EXCHANGE, else Airflow's, else this machine's.",
    ),
]
Dag = Annotated[str | None, typer.Option("--dag", metavar="DAG", help="Only values of this DAG.")]


@dataclass(frozen=True)
class Value:
    """A value in the store and whose it is."""

    place: Place
    entry: Entry


@app.command("list")
def list_(store: Address = None, dag: Dag = None, json: AsJson = False) -> None:
    """Show the values in the store, the newest first.

    \b
    Example:  podenv exchange list --dag multi_env_dag
    """
    found, values = _values(store, dag)
    if json:
        output.as_json([_document(one) for one in values])
        return
    if not values:
        output.say(f"{found}: no values")
        return
    output.table(("DAG", "RUN", "TASK", "MAP", "TRY", "SIZE", "AGE"), [_cells(one) for one in values])
    output.say(f"{found}: {_count(values)}, {output.size(sum(one.entry.bytes for one in values))}")


@app.command()
def prune(
    older_than: Annotated[
        Any,
        typer.Option("--older", metavar="AGE", parser=age, help="Only values that are at least so old: 90m, 24h, 30d."),
    ] = "30d",
    store: Address = None,
    dag: Dag = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show them, and delete none.")] = False,
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Delete old values from the store.

    A task that is cleared reads the values of the tasks before it again: let them be older than any run that is still
    to be repeated. What podenv has not written stays.

    \b
    Example:  podenv exchange prune --older 30d --dry-run
    """
    found, values = _values(store, dag)
    old = set(older((one.entry for one in values), timedelta(seconds=older_than)))
    chosen = [one for one in values if one.entry in old]
    size = output.size(sum(one.entry.bytes for one in chosen))
    if chosen and not dry_run:
        if not (yes or json):
            output.agree(f"Delete {_count(chosen)} ({size}) from {found}?")
        found.delete(one.entry.key for one in chosen)
    if json:
        deleted = [_document(one) for one in chosen]
        output.as_json({"deleted": deleted, "kept": len(values) - len(chosen), "dry_run": dry_run})
        return
    what = "would be deleted" if dry_run else "deleted"
    output.say(f"{found}: {_count(chosen)} {what} ({size}); {len(values) - len(chosen)} left.")


def _count(values: Sequence[Value]) -> str:
    return f"{len(values)} {'value' if len(values) == 1 else 'values'}"


def _values(address: str | None, dag: str | None) -> tuple[Store, list[Value]]:
    found = _store(address)
    with output.waiting(f"reading {found}"):
        values = list(_of(found, dag))
    return found, sorted(values, key=lambda one: (one.entry.written, one.entry.key), reverse=True)


def _of(store: Store, dag: str | None) -> Iterator[Value]:
    for entry in store.entries("" if dag is None else folder_of(dag)):
        place = place_of(entry.key.removesuffix(PART))
        if place is not None and dag in (None, place.dag):
            yield Value(place, entry)


def _store(address: str | None) -> Store:
    chosen, where = (address, "--store") if address else (os.environ.get(VARIABLE), VARIABLE)
    known = parse(chosen, where) if chosen else None
    return _of_airflow(known) if known is None or known.connection else Store(known)


def _of_airflow(chosen: StoreAddress | None) -> Store:
    """The store with the credentials of Airflow's Connection, or Airflow's own, or else this machine's."""
    if find_spec("airflow") is not None:
        from podenv.airflow import connections, settings

        known = chosen or settings.exchange() or settings.exchange_of_others()
        if known is not None:
            return connections.store(known)
    elif chosen:
        raise SettingError(f"{chosen} needs a Connection of Airflow, which is not installed here; leave it out.")
    return plain_store(exchange_folder().as_uri())


def _cells(one: Value) -> tuple[str, ...]:
    place, entry = one.place, one.entry
    index = "-" if place.map_index < 0 else str(place.map_index)
    old = (datetime.now(UTC) - entry.written).total_seconds() / 3600
    shown = f"{old:.1f} h" if old < 48 else f"{old / 24:.0f} d"
    return place.dag, place.run, place.task, index, str(place.try_number), output.size(entry.bytes), shown


def _document(one: Value) -> dict[str, Any]:
    entry = one.entry
    return {**asdict(one.place), "key": entry.key, "bytes": entry.bytes, "written": entry.written.isoformat()}
