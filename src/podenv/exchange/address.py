"""Where a store is, as a setting says it; pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from podenv.errors import SettingError, nearest

# What people write -> the kind of store.
SCHEMES = {"file": "file", "s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "abfs": "abfss", "abfss": "abfss"}
_FORM = "write it like s3://conn_id@bucket/prefix, gs://…, abfss://conn_id@container/prefix or file:///folder"


@dataclass(frozen=True)
class StoreAddress:
    """A store: ``scheme`` is ``file``, ``s3``, ``gs`` or ``abfss``; ``bucket`` a bucket or a container.

    ``prefix`` is what all keys begin with, without a slash at either end, or the absolute folder of ``file``;
    ``connection`` the id of the Airflow Connection with the credentials, empty for those of the machine.
    """

    scheme: str
    bucket: str
    prefix: str
    connection: str = ""

    def __str__(self) -> str:
        if self.scheme == "file":
            return f"file://{self.prefix}"
        login = f"{self.connection}@" if self.connection else ""
        return f"{self.scheme}://{login}{self.bucket}{'/' if self.prefix else ''}{self.prefix}"

    def below(self, folder: str) -> StoreAddress:
        """The same store, in a ``folder`` of it."""
        return replace(self, prefix=f"{self.prefix.rstrip('/')}/{folder}" if self.prefix else folder)


def parse(text: str, where: str) -> StoreAddress:
    """The store at ``text``; ``where`` is the setting that says it. Raises `SettingError`."""
    try:
        parts = urlsplit(text)
    except ValueError as error:  # what it holds is not said: it may be a password
        raise SettingError(f"{where} is not a valid address of a store: {error}; {_FORM}.") from None
    login, _, bucket = parts.netloc.rpartition("@")
    if ":" in login:
        raise SettingError(
            f"{where}: an address holds no password; keep it in an Airflow Connection, and write its id before the @."
        )
    scheme = SCHEMES.get(parts.scheme)
    if scheme is None:
        hint = nearest(parts.scheme, SCHEMES) if parts.scheme else ""
        raise SettingError(f"{where}: {text!r} is not a valid address of a store.{hint} {_FORM[0].upper()}{_FORM[1:]}.")
    if parts.query or parts.fragment:
        raise SettingError(f"{where}: {text!r} has a query or a fragment, which no store takes; {_FORM}.")
    path = unquote(parts.path)
    if "\0" in path:
        raise SettingError(f"{where}: {text!r} holds a null character, which no folder's name does; {_FORM}.")
    if ".." in PurePosixPath(path).parts:
        raise SettingError(f"{where}: {text!r} leads upwards; name the folder itself.")
    if scheme == "file":
        if parts.netloc or not path.startswith("/"):
            raise SettingError(f"{where}: {text!r} is not an absolute folder; write it like file:///var/podenv.")
        return StoreAddress(scheme, "", path.rstrip("/") or "/")
    if not bucket or ":" in bucket:
        raise SettingError(f"{where}: {scheme}://… names no bucket; {_FORM}.")
    return StoreAddress(scheme, bucket, path.strip("/"), login)
