"""A store: addresses for tasks, signed where it is a bucket, and what is in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from podenv.errors import PodenvError, SettingError, StoreUnreachable
from podenv.exchange.address import StoreAddress

if TYPE_CHECKING:
    from obstore.store import AzureStore, GCSStore, LocalStore, S3Store

    Bucket = AzureStore | GCSStore | LocalStore | S3Store

MOST_VALUES = 32
"""Values that one call may bring to the store."""
LONGEST = timedelta(days=7)
"""What S3 and Google sign for at most."""
# What Azure wants to know of an upload.
_UPLOAD_HEADERS = {"abfss": {"x-ms-blob-type": "BlockBlob"}}
_AT_ONCE = 1000  # keys in one request


@dataclass(frozen=True)
class Entry:
    """One object: its key, size in bytes, and when it was written."""

    key: str
    bytes: int
    written: datetime


class Store:
    """The store at ``address``. ``options`` are obstore's for its kind, credentials among them."""

    def __init__(self, address: StoreAddress, options: Mapping[str, Any] | None = None) -> None:
        self.address = address
        self._options = dict(options or {})

    def __str__(self) -> str:
        return str(self.address)

    def ticket(
        self,
        launch: str,
        *,
        lifetime: timedelta,
        readable: Mapping[str, Any],
        everything: bool = False,
        outputs: bool = False,
    ) -> dict[str, Any]:
        """What `runtime.travel_env` takes: addresses that begin with ``launch``, good for ``lifetime``.

        ``readable`` are those of the values that the call refers to, as `to_read` gave them; ``everything``: all that
        the function returns goes to the store; ``outputs``: each value of a dict by itself. Raises `StoreUnreachable`,
        `SettingError`.
        """
        keys = [f"{launch}/{number}" for number in range(MOST_VALUES)]
        put = self._addresses("PUT", keys, lifetime)
        return {"put": put, "get": dict(readable), "all": everything, "outputs": outputs}

    def to_read(self, keys: Sequence[str], lifetime: timedelta) -> dict[str, Any]:
        """By key, the address of each value. Raises `StoreUnreachable`, `SettingError`."""
        return {one["key"]: one for one in self._addresses("GET", keys, lifetime)}

    def entries(self, below: str = "") -> Iterator[Entry]:
        """All that is in it, or in the folder ``below``, by key. Raises `StoreUnreachable`, `SettingError`."""
        if self.address.scheme == "file" and not Path(self.address.prefix).is_dir():
            return
        with _reaching(self):
            for batch in self._obstore.list(self._bucket, prefix=below or None, chunk_size=_AT_ONCE):
                for one in batch:
                    yield Entry(one["path"], one["size"], one["last_modified"])

    def delete(self, keys: Iterable[str]) -> int:
        """Delete these objects; how many there were. Raises `StoreUnreachable`, `SettingError`."""
        chosen = list(keys)
        with _reaching(self):
            for start in range(0, len(chosen), _AT_ONCE):
                self._obstore.delete(self._bucket, chosen[start : start + _AT_ONCE])
        if self.address.scheme == "file":
            for key in chosen:
                _remove_empty(Path(self.address.prefix), Path(self.address.prefix, key).parent)
        return len(chosen)

    def _addresses(self, method: Any, keys: Sequence[str], lifetime: timedelta) -> list[dict[str, Any]]:
        if not keys:
            return []
        if self.address.scheme == "file":
            urls: Sequence[str] = [Path(self.address.prefix, key).as_uri() for key in keys]
        else:
            with _reaching(self):
                urls = self._obstore.sign(self._bucket, method, list(keys), min(lifetime, LONGEST))
        headers = _UPLOAD_HEADERS.get(self.address.scheme, {}) if method == "PUT" else {}
        return [{"url": url, "headers": headers, "key": key} for url, key in zip(urls, keys, strict=True)]

    @cached_property
    def _obstore(self) -> Any:
        """The library, loaded when it is needed. Raises `SettingError` where it is not installed."""
        try:
            import obstore.store
        except ImportError:
            raise SettingError(
                f"The store {self} needs the package obstore; install podenv[exchange] where tasks are started."
            ) from None
        return obstore

    @cached_property
    def _bucket(self) -> Bucket:
        stores, address, options = self._obstore.store, self.address, self._options
        kinds: dict[str, Callable[..., Bucket]] = {
            "s3": stores.S3Store,
            "gs": stores.GCSStore,
            "abfss": stores.AzureStore,
            "file": stores.LocalStore,
        }
        made = kinds[address.scheme]
        with _reaching(self):
            if address.scheme == "file":
                return made(prefix=address.prefix)
            return made(address.bucket, prefix=address.prefix or None, **options)


def older(entries: Iterable[Entry], age: timedelta) -> Iterator[Entry]:
    """Those that were written at least ``age`` ago."""
    now = datetime.now(UTC)
    return (one for one in entries if now - one.written >= age)


@contextmanager
def _reaching(store: Store) -> Iterator[None]:
    """Let what obstore raises end as one error that names the store and no credential."""
    try:
        yield
    except PodenvError:
        raise
    except Exception as error:
        from obstore.exceptions import BaseError

        if not isinstance(error, BaseError | OSError):
            raise
        raise StoreUnreachable(str(store), _said(error)) from None


def _said(error: Exception) -> str:
    """The store's own words in a message of obstore, which goes on with the whole error as Rust writes it."""
    text = " ".join(str(error).partition("\n\nDebug source")[0].split())
    told = [found[1] for tag in ("Code", "Message") if (found := re.search(f"<{tag}>(.*?)</{tag}>", text))]
    return ": ".join(told) if told else text.rpartition(" - ")[2].rstrip(".")


def _remove_empty(root: Path, folder: Path) -> None:
    while folder != root and root in folder.parents:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent
