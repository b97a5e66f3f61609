"""One call whose values may take the way through a store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from podenv.errors import CallError
from podenv.exchange.address import parse
from podenv.exchange.keys import Place
from podenv.exchange.reference import Reference
from podenv.exchange.store import LONGEST, Store
from podenv.runtime.call import Call
from podenv.runtime.reference import Reference as Known
from podenv.runtime.reference import references

VARIABLE = "PODENV_EXCHANGE"
"""The environment variable with the store's address, which goes before a setting."""


def plain_store(address: str) -> Store:
    """The store at ``address`` with the credentials of this machine. Raises `SettingError`."""
    return Store(parse(address, VARIABLE))


@dataclass(frozen=True)
class Exchange:
    """``store`` takes what the call returns, under keys of ``place``; its addresses are good for ``lifetime``.

    ``everything``: all values take this way; ``outputs``: those of a returned dict one by one. ``store_at`` finds the
    store of an argument by its address; ``kind`` is the class of what the caller gets for a value in a store.
    """

    store: Store
    place: Place
    lifetime: timedelta = LONGEST
    everything: bool = False
    outputs: bool = False
    store_at: Callable[[str], Store] = plain_store
    kind: type[Reference] = Reference

    def ticket(self, call: Call) -> dict[str, Any]:
        """Addresses for one launch of ``call``. Raises `StoreUnreachable`, `SettingError`, `CallError`."""
        by_store: dict[str, list[str]] = {}
        for one in references([*call.args, *call.kwargs.values()]):
            if not isinstance(one, Reference):
                raise CallError(f"{call.code.name}: {one!r} says of no store that it is there; pass what the task got.")
            by_store.setdefault(one.store, []).append(one.key)
        readable: dict[str, Any] = {}
        for where, keys in by_store.items():
            source = self.store if where == str(self.store) else self.store_at(where)
            readable |= source.to_read(keys, self.lifetime)
        return self.store.ticket(
            self.place.launch(),
            lifetime=self.lifetime,
            readable=readable,
            everything=self.everything,
            outputs=self.outputs,
        )

    def found(self, value: Any) -> Any:
        """``value``, a Result's, with `kind` in place of what the runtime knows of a value in the store."""
        if isinstance(value, Known):
            return self.kind.of(value, self.store)
        if isinstance(value, list | tuple | set | frozenset):
            return type(value)(map(self.found, value))
        if isinstance(value, dict):
            return {key: self.found(item) for key, item in value.items()}
        return value
