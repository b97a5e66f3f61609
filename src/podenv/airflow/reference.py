"""A value in a store as XCom keeps it."""

from __future__ import annotations

from typing import Any, ClassVar

from podenv.airflow.connections import store_at
from podenv.exchange import reference
from podenv.exchange.store import Store


class Reference(reference.Reference):
    __doc__ = reference.Reference.__doc__
    __slots__ = ()
    __version__: ClassVar[int] = 1

    def serialize(self) -> dict[str, Any]:
        """What XCom keeps, and shows."""
        return {**self.to_json(), "store": self.store}

    @staticmethod
    def deserialize(data: dict[str, Any], version: int) -> Reference:
        """The Reference that `serialize` gave."""
        if version > Reference.__version__:
            raise TypeError(f"a newer podenv wrote this reference (version {version}); update podenv here")
        return Reference(**data)

    def _store(self) -> Store:
        return store_at(self.store)
