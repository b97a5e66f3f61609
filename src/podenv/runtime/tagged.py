"""Values to tagged JSON: what JSON does not know keeps its type by a tag.

Like all of the runtime: standard library only, Python 3.8 or newer, and no import that is not needed every time.
"""

from __future__ import annotations

import binascii
import sys
from collections.abc import Mapping, Sequence

TYPE_CHECKING = False  # typing costs every task milliseconds
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime, time, timedelta, tzinfo
    from decimal import Decimal
    from typing import Any

MAX_DEPTH = 100

TAG = "$"
_INT64 = range(-(2**63), 2**64)


class Refused(ValueError):
    """A value that cannot travel: ``path`` is where it stands (``rows[3]['when']``), ``why`` ends with what to do.

    ``kind`` and ``code`` are those of the Failure that says so.
    """

    kind = "refused"
    code = "1"

    def __init__(self, why: str, path: str = "") -> None:
        super().__init__(why, path)
        self.why = why
        self.path = path

    def __str__(self) -> str:
        return self.path + ": " + self.why if self.path else self.why

    def within(self, step: str) -> Refused:
        """The same refusal, seen from the container that holds the value at ``step``."""
        self.path = step + self.path
        return self


def encode(value: Any, label: str, *, result: bool = False, keep: Callable[[Any], Any] | None = None) -> Any:
    """``value`` as what JSON can hold, types beyond it tagged; ``result`` allows only what XCom keeps.

    ``keep`` is asked for each value that JSON does not know: what to put in its place, or None.

    Lazy sequences and mappings become lists and dicts, numpy scalars numbers. Raises Refused with a path that starts at
    ``label``.
    """
    try:
        return _Encoder(result, keep).encode(value)
    except Refused as refused:
        raise refused.within(label) from None


class _Encoder:
    def __init__(self, result: bool, keep: Callable[[Any], Any] | None) -> None:
        self.result = result
        self.keep = keep
        self.verb = "return" if result else "pass"
        self.open: set[int] = set()  # the containers we are inside of

    def encode(self, value: Any) -> Any:
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind is str:
            return self._text(value)
        if kind is int:
            return self._int(value)
        if kind is float:
            return self._float(value)
        if kind is dict:
            return self._mapping(value)
        if kind is list:
            return self._items(value)
        return self._standard(value)

    def _standard(self, value: Any) -> Any:
        """Subclasses of the plain types, and the standard types that JSON does not know."""
        if isinstance(value, type(None)):  # a lazy proxy of None
            return None
        if self.keep is not None and (kept := self.keep(value)) is not None:
            return kept
        if type(value).__module__.partition(".")[0] == "numpy":
            return self._numpy(value)
        if isinstance(value, str):
            # A str Enum's own __str__ gives its name, not its value; a lazy proxy is no real str.
            return self._text(str.__str__(value) if issubclass(type(value), str) else str(value))
        if isinstance(value, int):
            return self._int(value.__index__())
        if isinstance(value, float):
            return self._float(value.__float__())
        for name in ("tuple", "set", "frozenset"):
            if isinstance(value, COLLECTIONS[name]):
                return {TAG: name, "v": self._items(value)}
        if isinstance(value, (bytes, bytearray, memoryview)):
            self._only_argument(value, "return text, or write it to storage and return its path")
            return {TAG: "bytes", "v": binascii.b2a_base64(bytes(value), newline=False).decode("ascii")}
        if isinstance(value, Mapping):
            return self._mapping(value)
        if isinstance(value, Sequence):
            return self._items(value)
        return self._imported(value)

    def _imported(self, value: Any) -> Any:
        """Types of modules that need not be loaded: where they are not, no such value exists."""
        loaded = sys.modules
        if "datetime" in loaded:
            import datetime

            if isinstance(value, datetime.datetime):
                return self._datetime(value)
            if isinstance(value, datetime.date):
                return {TAG: "date", "v": datetime.date(value.year, value.month, value.day).isoformat()}
            if isinstance(value, datetime.timedelta):
                return self._timedelta(value)
            if isinstance(value, datetime.time):
                self._only_argument(value, "return value.isoformat()")
                return self._time(value)
        if "decimal" in loaded and isinstance(value, loaded["decimal"].Decimal):
            return self._decimal(value)
        if "uuid" in loaded and isinstance(value, loaded["uuid"].UUID):
            return {TAG: "uuid", "v": str(value)}
        reference = loaded.get(f"{__package__}.reference")
        if reference and isinstance(value, reference.Reference):
            return {TAG: "exchange", "v": value.to_json()}
        if "pathlib" in loaded and isinstance(value, loaded["pathlib"].Path):
            self._only_argument(value, "return str(path)")
            return {TAG: "path", "v": str(value)}
        raise Refused(_article(value) + " cannot travel: " + self._advice(value))

    def _only_argument(self, value: Any, advice: str) -> None:
        if self.result:
            raise Refused(f"XCom does not keep {_article(value)}: {advice}")

    def _text(self, value: str) -> str:
        if self.result and not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise Refused("the text holds a lone surrogate, which is not valid UTF-8: encode it first") from None
        return value

    def _int(self, value: int) -> Any:
        if value in _INT64:
            return value
        if self.result:
            raise Refused("XCom keeps no int beyond 64 bits: return str(value)")
        return {TAG: "int", "v": hex(value)}

    def _float(self, value: float) -> Any:
        if value - value == 0:
            return value
        if self.result:
            raise Refused(f"{value!r} is not valid JSON, and XCom does not keep it: return None in its place")
        return {TAG: "float", "v": repr(value)}

    def _enter(self, value: Any) -> None:
        if id(value) in self.open:
            raise Refused(f"the container holds itself: {self.verb} one that ends")
        if len(self.open) >= MAX_DEPTH:
            raise Refused(f"nested deeper than {MAX_DEPTH} levels: {self.verb} a flatter value")
        self.open.add(id(value))

    def _items(self, value: Iterable[Any]) -> list[Any]:
        self._enter(value)
        items = []
        for index, item in enumerate(value):
            try:
                items.append(self.encode(item))
            except Refused as refused:
                raise refused.within(f"[{index}]") from None
        self.open.discard(id(value))
        return items

    def _mapping(self, value: Mapping[Any, Any]) -> dict[str, Any]:
        self._enter(value)
        pairs = []
        for key in value:
            try:
                pairs.append((self._key(key, value), self.encode(value[key])))
            except Refused as refused:
                raise refused.within(f"[{_short(key)}]") from None
        self.open.discard(id(value))
        if all(type(key) is str and key != TAG for key, _ in pairs):
            return dict(pairs)
        return {TAG: "dict", "v": [[key, item] for key, item in pairs]}

    def _key(self, key: Any, holder: Mapping[Any, Any]) -> Any:
        if not self.result:
            return self.encode(key)
        if not isinstance(key, str):
            raise Refused(f"the key is {_article(key)}, XCom keeps only text keys: use str(key)")
        if key in ("__classname__", "__id__") or (key == "__type" and "__var" in holder):
            raise Refused("Airflow keeps this key for itself: rename it")
        return self.encode(key)

    def _numpy(self, value: Any) -> Any:
        name = type(value).__name__
        if getattr(value, "ndim", None) != 0 or not hasattr(value, "item"):
            raise Refused(f"a numpy {name} cannot travel: {self.verb} value.tolist()")
        if name in ("datetime64", "timedelta64"):
            # .item() of nanoseconds is a bare int
            raise Refused(f"a numpy {name} cannot travel: {self.verb} value.astype('{name}[us]').item()")
        plain = value.item()
        if type(plain).__module__.partition(".")[0] == "numpy":  # longdouble
            raise Refused(f"a numpy {name} cannot travel: {self.verb} float(value)")
        return self.encode(plain)

    def _datetime(self, value: datetime) -> dict[str, Any]:
        from datetime import datetime, timezone

        if value != value:
            raise Refused(f"NaT, a missing time, cannot travel: {self.verb} None in its place")
        if getattr(value, "nanosecond", 0):  # pandas
            raise Refused(f"{_article(value)} with nanoseconds cannot travel: {self.verb} value.floor('us')")
        clock = datetime(
            value.year,
            value.month,
            value.day,
            value.hour,
            value.minute,
            value.second,
            value.microsecond,
            fold=value.fold,
        )
        offset = value.utcoffset()
        self._must_keep(clock, offset is None)
        encoded: dict[str, Any] = {TAG: "datetime"}
        if offset is not None:
            clock = clock.replace(tzinfo=timezone(offset))
            encoded.update(_zone(value.tzinfo))
        encoded["v"] = clock.isoformat()
        if value.fold:
            encoded["fold"] = 1
        return encoded

    def _must_keep(self, clock: datetime, naive: bool) -> None:
        """Airflow 3.3 keeps a datetime as a float of seconds since 1970, one without a zone through local time."""
        if not self.result:
            return
        from datetime import datetime, timezone

        universal = clock.replace(tzinfo=timezone.utc)
        kept = 1 < clock.year < 9999 or not naive
        if not kept or datetime.fromtimestamp(universal.timestamp(), timezone.utc) != universal:
            raise Refused(f"XCom would change the datetime {clock.isoformat()}: return value.isoformat()")

    def _timedelta(self, value: timedelta) -> dict[str, Any]:
        from datetime import timedelta

        if getattr(value, "nanoseconds", 0):  # pandas
            raise Refused(f"{_article(value)} with nanoseconds cannot travel: {self.verb} value.floor('us')")
        # The base class's division: subclasses in pendulum and pandas have their own idea of one.
        microseconds = timedelta.__floordiv__(value, timedelta(0, 0, 1))
        # Airflow 3.3 keeps it as a float of seconds: microseconds are whole below 2**53 of them, 285 years.
        if self.result and abs(microseconds) >= 2**53:
            raise Refused("XCom would change the timedelta: return value.total_seconds()")
        return {TAG: "timedelta", "v": microseconds}

    def _time(self, value: time) -> dict[str, Any]:
        if value.tzinfo is not None and value.utcoffset() is None:
            zone = _zone(value.tzinfo)
            if not zone:
                raise Refused("a time whose zone has no name cannot travel: pass a datetime")
            return {TAG: "time", "v": value.replace(tzinfo=None).isoformat(), "fold": value.fold, **zone}
        return {TAG: "time", "v": value.isoformat(), "fold": value.fold}

    def _decimal(self, value: Decimal) -> dict[str, Any]:
        if self.result:
            # Airflow 3.3 keeps a Decimal as a float, or as an int where it has no fraction (serde's bignum.py).
            exponent = value.as_tuple().exponent
            kept = isinstance(exponent, int) and (
                abs(value) < 2**63 if exponent >= 0 else type(value)(str(float(value))) == value
            )
            if not kept:
                raise Refused(f"XCom would change the Decimal {_short(str(value))}: return str(value)")
        return {TAG: "decimal", "v": str(value)}

    def _advice(self, value: Any) -> str:
        # The type alone is asked: an object may look up whatever it is asked for, as Airflow's `var` does.
        kind = type(value)
        verb = self.verb
        if kind.__name__ == "module":
            return "import it inside the function"
        if hasattr(kind, "to_dict") and kind.__name__ == "DataFrame":
            return verb + " df.to_dict('records')" + (", or set [podenv] exchange" if self.result else "")
        if hasattr(kind, "to_list"):
            return verb + " value.to_list()"
        if hasattr(kind, "__dataclass_fields__"):
            return verb + " dataclasses.asdict(value)"
        if hasattr(kind, "model_dump"):
            return verb + " value.model_dump(mode='json')"
        if hasattr(kind, "_member_map_"):
            return verb + " value.value"
        if kind.__name__ == "coroutine":
            return "await it, in an async def"
        if hasattr(kind, "__iter__"):
            return verb + " list(value)"
        if hasattr(kind, "__fspath__"):
            return verb + " str(path)"
        return verb + " numbers, text, lists, dicts, dates instead"


COLLECTIONS: dict[str, Any] = {"tuple": tuple, "set": set, "frozenset": frozenset}


def _article(value: Any) -> str:
    kind = type(value)
    module = "" if kind.__module__ in ("builtins", "__main__") else kind.__module__ + "."
    name = module + kind.__qualname__.rpartition("<locals>.")[2]
    return ("an " if name[:1] in "aeiou" else "a ") + name


def _short(value: Any) -> str:
    text = repr(value) if isinstance(value, (str, int, float, bytes, tuple)) else _article(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _zone(zone: tzinfo | None) -> dict[str, str]:
    """The zone's name: ``key`` in zoneinfo and pendulum, ``zone`` in pytz. Others travel as their offset."""
    name = getattr(zone, "key", None) or getattr(zone, "zone", None)
    return {"zone": name} if isinstance(name, str) else {}
