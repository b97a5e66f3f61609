"""A value that is in storage: what stands for it where values are JSON.

Where it is read and how it is written: `transfer` and `exchange`, which are loaded only where there is such a value.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing costs every task milliseconds
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

TABLES = ("pandas.DataFrame", "polars.DataFrame", "pyarrow.Table", "arrow")
"""Kinds that are Parquet; ``arrow`` is whatever else has ``__arrow_c_stream__``."""
KINDS = (*TABLES, "file", "folder", "bytes", "json")


class Reference:
    """A value in storage.

    ``key`` is where, relative to the store; ``kind`` one of `KINDS`, what was returned; ``rows`` and ``schema`` (name
    and type of each column) those of a table, else None; ``bytes`` its size in storage; ``sha256`` in hexadecimal;
    ``name`` the own name of a file or a folder, else None.
    """

    __slots__ = ("bytes", "key", "kind", "name", "rows", "schema", "sha256")

    def __init__(
        self,
        key: str,
        kind: str,
        *,
        bytes: int,
        sha256: str,
        rows: int | None = None,
        schema: Sequence[Sequence[str]] | None = None,
        name: str | None = None,
    ) -> None:
        self.key = key
        self.kind = kind
        self.rows = rows
        self.schema = None if schema is None else [(column, kind) for column, kind in schema]
        self.bytes = bytes
        self.sha256 = sha256
        self.name = name

    def to_json(self) -> dict[str, Any]:
        """What JSON can hold, as `of_json` takes it."""
        return {
            "key": self.key,
            "kind": self.kind,
            "rows": self.rows,
            "schema": None if self.schema is None else [list(column) for column in self.schema],
            "bytes": self.bytes,
            "sha256": self.sha256,
            "name": self.name,
        }

    @classmethod
    def of_json(cls, document: Mapping[str, Any]) -> Reference:
        """The Reference in ``document``. Raises ValueError where it is none."""
        try:
            known = {name: document[name] for name in Reference.__slots__}
            schema = known["schema"]
            right = (
                all(type(known[name]) is str for name in ("key", "kind", "sha256"))
                and known["kind"] in KINDS
                and type(known["bytes"]) is int
                and (known["rows"] is None or type(known["rows"]) is int)
                and (known["name"] is None or type(known["name"]) is str)
                and (schema is None or all(len(one) == 2 and type(one[0]) is type(one[1]) is str for one in schema))
            )
            if right:
                return cls(**known)
        except (KeyError, TypeError, ValueError):
            pass
        raise ValueError("not a reference to a value in storage")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reference) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash((self.key, self.sha256))

    def __repr__(self) -> str:
        table = "" if self.rows is None else f", {self.rows} rows"
        return f"<{self.kind} in storage: {self.key}{table}, {self.bytes} bytes>"


def references(value: Any) -> list[Reference]:
    """All that ``value`` refers to, at any depth, each key once."""
    found: dict[str, Reference] = {}
    _collect(value, found)
    return list(found.values())


def _collect(value: Any, found: dict[str, Reference]) -> None:
    if isinstance(value, Reference):
        found.setdefault(value.key, value)
    elif isinstance(value, dict):
        for one in value.values():
            _collect(one, found)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for one in value:
            _collect(one, found)
