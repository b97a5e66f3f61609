"""What lets tables, files and large values of one Call go through storage: the addresses that came with it.

It travels with a ticket only, and loads the modules that do it, `exchange` first, when there is such a value.
"""

from __future__ import annotations

import sys

from . import text as json_text
from .call import RESULT_LIMIT, TooLarge, chunks, compress, join, size, unpack
from .tagged import TAG, encode

TYPE_CHECKING = False  # typing costs every task milliseconds
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping, Sequence
    from typing import Any

    from .exchange import Exchange

KIND = "CALL_EXCHANGE"
TICKET_LIMIT = 192 * 1024  # with a Call of its limit it fits into a Secret, which holds 1 MiB
"""Bytes that the addresses may take as they travel: compressed, in base64."""
_HOMES = ("pandas", "pathlib", "polars", "pyarrow")  # of types that may go to storage
LABEL = "the returned value"


def to_env(ticket: Mapping[str, Any]) -> dict[str, str]:
    """The ticket as environment variables. Raises TooLarge beyond ``TICKET_LIMIT``."""
    import json

    packed = compress(json.dumps(ticket, separators=(",", ":")).encode())
    if len(packed) > TICKET_LIMIT:
        raise TooLarge(
            f"the addresses of the {len(ticket['get'])} values in storage that the call refers to take "
            f"{size(len(packed))}, a call brings at most {size(TICKET_LIMIT)}: pass fewer, or map the task over them"
        )
    return chunks(KIND, packed)


def of_env(environ: MutableMapping[str, str]) -> Ticket:
    """The ticket in ``environ``, which no longer holds it afterwards."""
    return Ticket(join(environ, KIND))


class Ticket:
    """The addresses that a Call may write to and read from, as `to_env` packed them.

    ``put`` is taken in order, one for each value that goes to storage; ``get`` has the address of each key that the
    arguments refer to; ``all``: every value goes there; ``outputs``: each of a dict's by itself. An address is
    ``{"url": str, "headers": {str: str}, "key": str}``; the URL, https, http or file, and the headers are secrets. All
    methods raise Refused when it is damaged.
    """

    def __init__(self, packed: str) -> None:
        self._packed = packed
        self._document: dict[str, Any] | None = None
        self._exchange: Exchange | None = None
        self._types: dict[type, bool] = {}  # True if a value of it may go to storage

    @property
    def document(self) -> dict[str, Any]:
        """``put``, ``get`` and ``all``."""
        if self._document is None:
            self._document = unpack(self._packed)
        return self._document

    @property
    def exchange(self) -> Exchange:
        """What reads and writes, loaded when it is first asked for."""
        if self._exchange is None:
            package: Any = sys.modules[__package__]
            later, package.later = getattr(package, "later", ()), ()
            if later:  # in a pod, where modules are texts
                package.add(later)
            from .exchange import Exchange

            self._exchange = Exchange(self.document["put"], self.document["get"])
        return self._exchange

    def arguments(self, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """``args`` and ``kwargs`` with what they refer to, as ``function`` annotates it.

        Raises `exchange.Unfit`, `storage.StorageFailed`.
        """
        return self.exchange.arguments(function, args, kwargs) if self.document["get"] else (args, kwargs)

    def encode(self, value: Any) -> Any:
        """``value`` as JSON can hold it, after all that is too much for XCom has gone to storage.

        Raises Refused, `storage.StorageFailed`.
        """
        encoded = encode(value, LABEL, result=True, keep=self._keep)
        everything = self.document["all"] and value is not None
        if everything or _is_large(encoded):
            least = 0 if everything else RESULT_LIMIT // 64
            if self.document.get("outputs") and isinstance(encoded, dict) and TAG not in encoded:
                encoded = {name: self.exchange.spill(one, least) for name, one in encoded.items()}
            else:
                encoded = self.exchange.spill(encoded, least)
        if self._exchange is not None:
            self._exchange.send()
        return encoded

    def _keep(self, value: Any) -> Any:
        kind = type(value)
        if kind not in self._types:
            self._types[kind] = _may_go(kind)
        return self.exchange.keep(value) if self._types[kind] else None

    def close(self) -> None:
        """Remove the temporary files."""
        if self._exchange is not None:
            self._exchange.close()


def _may_go(kind: type) -> bool:
    if issubclass(kind, (bytes, bytearray, memoryview)) or hasattr(kind, "__arrow_c_stream__"):
        return True
    return any(base.__module__.partition(".")[0] in _HOMES for base in kind.__mro__)


def _is_large(encoded: Any) -> bool:
    # As the Result counts it, which holds a little more.
    return type(encoded) in (str, list, dict) and len(json_text.dumps(encoded).encode()) > RESULT_LIMIT - 4096
