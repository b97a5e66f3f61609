"""JSON by CPython's own scanner and encoder: the module json loads re as well, which costs each task 8 ms."""

from __future__ import annotations

TYPE_CHECKING = False  # typing costs every task milliseconds
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def _by_json_dumps(document: Any) -> str:
    import json

    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _by_json_loads(text: str, object_hook: Callable[[dict[str, Any]], Any]) -> Any:
    import json

    return json.loads(text, object_hook=object_hook)


try:
    from _json import encode_basestring, make_encoder, make_scanner  # what json itself uses, the same from 3.8 to 3.14
except ImportError:  # another Python
    dumps, loads = _by_json_dumps, _by_json_loads
else:

    class _Settings:
        """What json.JSONDecoder tells the scanner."""

        strict = True
        object_pairs_hook = None
        parse_float = float
        parse_int = int
        parse_constant = float

        def __init__(self, object_hook: Callable[[dict[str, Any]], Any]) -> None:
            self.object_hook = object_hook

    def dumps(document: Any) -> str:
        """``document`` as compact JSON; characters stay as they are."""
        return "".join(make_encoder({}, _refuse, encode_basestring, None, ":", ",", False, False, True)(document, 0))

    def loads(text: str, object_hook: Callable[[dict[str, Any]], Any]) -> Any:
        """The value in ``text``, each object passed through ``object_hook``. Raises ValueError."""
        try:
            value, end = make_scanner(_Settings(object_hook))(text, 0)  # type: ignore[arg-type]
        except StopIteration:
            raise ValueError("no JSON") from None
        if end != len(text):
            raise ValueError("more than one value")
        return value

    def _refuse(value: Any) -> Any:
        raise TypeError(f"no JSON: {type(value).__name__}")
