"""What the process that started a task gets for a value in a store: facts about it, and ways to read it."""

from __future__ import annotations

import os
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import IO, Any, Self

from podenv.errors import ExchangeRefused, StorageError
from podenv.exchange.address import parse
from podenv.exchange.store import Store
from podenv.runtime import files, reference, tables, transfer
from podenv.runtime.reference import TABLES
from podenv.runtime.revive import decode
from podenv.runtime.storage import StorageFailed
from podenv.runtime.tagged import Refused

_READING = timedelta(hours=1)


class Reference(reference.Reference):
    """A table, a file, a folder, bytes or a large value in a store.

    ``store`` is the store's address, without credentials; ``key`` where in it. ``kind`` is what was returned:
    ``pandas.DataFrame``, ``polars.DataFrame``, ``pyarrow.Table``, ``arrow``, ``file``, ``folder``, ``bytes`` or
    ``json``. ``rows`` and ``schema`` (name and type of each column) are a table's, else None; ``bytes`` is its size in
    the store, ``sha256`` in hexadecimal, ``name`` the own name of a file or a folder, else None.

    What reads raises `StorageError`, and `ExchangeRefused` where the value is of another kind or this Python lacks the
    library.
    """

    __slots__ = ("store",)

    def __init__(self, key: str, kind: str, *, store: str, **known: Any) -> None:
        super().__init__(key, kind, **known)
        self.store = store

    @classmethod
    def of(cls, value: reference.Reference, store: Store) -> Self:
        """What a task's result refers to, with the store that it is in."""
        return cls(**value.to_json(), store=str(store))

    def to_pandas(self) -> Any:
        """The table as a pandas.DataFrame."""
        return self._table("pandas")

    def to_polars(self) -> Any:
        """The table as a polars.DataFrame."""
        return self._table("polars")

    def to_arrow(self) -> Any:
        """The table as a pyarrow.Table."""
        return self._table("pyarrow")

    def open(self) -> IO[bytes]:
        """The object's bytes as they are in the store, as a file that is gone when it is closed.

        A table is Parquet, a folder an archive as `tarfile` reads it.
        """
        handle, path = tempfile.mkstemp(prefix="podenv-")
        os.close(handle)
        try:
            self.download(path)
            return Path(path).open("rb")
        finally:
            Path(path).unlink()

    def download(self, path: str | Path) -> Path:
        """Write the object to the file ``path``, whole or not at all; of a folder its files, below ``path``."""
        target = Path(path)
        address = self._store().to_read([self.key], _READING)[self.key]
        archive = target.with_name(f"{target.name}.part.tar") if self.kind == "folder" else target
        try:
            transfer.get(address, str(archive), self.bytes, self.sha256)
            if self.kind == "folder":
                files.unpack(str(archive), str(target))
        except StorageFailed as failed:
            raise StorageError(f"{failed}.", retry=failed.code == "retry") from None
        except Refused as refused:
            raise ExchangeRefused(f"{self.key}: {refused}.") from None
        finally:
            if archive != target:
                archive.unlink(missing_ok=True)
        return target

    def read(self) -> Any:
        """The value of kind ``json`` or ``bytes``."""
        if self.kind not in ("json", "bytes"):
            ways = "to_pandas(), to_polars() or to_arrow()" if self.kind in TABLES else "download(path)"
            raise ExchangeRefused(f"{self.key} is a {self.kind}: read it with {ways}.")
        with self.open() as file:
            data = file.read()
        return decode(data.decode()) if self.kind == "json" else data

    def _store(self) -> Store:
        return Store(parse(self.store, "the reference"))

    def _table(self, library: str) -> Any:
        if self.kind not in TABLES:
            raise ExchangeRefused(f"{self.key} is a {self.kind}, not a table; read it with read() or download(path).")
        if not tables.has(library):
            raise ExchangeRefused(f"{library} is not installed where {self.key} is read; install it, or use open().")
        with tempfile.TemporaryDirectory(prefix="podenv-") as folder:
            path = self.download(Path(folder, "table.parquet"))
            try:
                return tables.read(str(path), library)
            except Refused as refused:
                raise ExchangeRefused(f"{self.key}: {refused}.") from None
