"""What travels: a Call goes into an environment, a Result comes back, both as tagged JSON.

This also runs inside the environment: standard library only, Python 3.8 or newer, and no import that is not needed
every time, because each task pays for it. Pickle is never used: the two sides share neither libraries nor Python.
"""

from __future__ import annotations

import binascii
import zlib

from . import text as json_text
from .revive import decode
from .tagged import Refused, encode

TYPE_CHECKING = False  # typing costs every task milliseconds
if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping, Sequence
    from typing import Any

PREFIX = "PODENV_RUN_"
CALL_LIMIT = 768 * 1024
"""Bytes that a Call may hold as it travels: compressed, in base64."""
RESULT_LIMIT = 1024 * 1024
"""Bytes that a Result may hold as JSON, which is what XCom keeps."""
MAX_JSON = 64 * 1024 * 1024

_CHUNK = 120_000  # Linux allows 131,072 bytes for one variable with its name


class TooLarge(Refused):
    """Every part can travel, together they are too much."""


class Failure:
    """Why a function brought no value.

    ``kind`` is ``raised`` (an exception left the function), ``exited`` (it called ``sys.exit``), ``refused`` (its value
    is none that XCom keeps), ``too large``, or ``call`` (the call arrived damaged). ``type`` is the exception's type
    with its module; ``code`` the exit code that the function asked for.
    """

    def __init__(self, kind: str, *, type: str, message: str, traceback: str = "", code: str = "1") -> None:
        self.kind = kind
        self.type = type
        self.message = message
        self.traceback = traceback
        self.code = code


class Result:
    """What a function returned, or its failure, with the Python version it ran on and the seconds it took."""

    def __init__(
        self, value: Any = None, *, error: Failure | None = None, python: str = "", seconds: float = 0.0
    ) -> None:
        self.value = value
        self.error = error
        self.python = python
        self.seconds = seconds

    def encode(self) -> bytes:
        """The Result, compressed. Raises Refused, or TooLarge beyond ``RESULT_LIMIT``."""
        document: dict[str, Any] = {"python": self.python, "seconds": self.seconds}
        if self.error:
            document["error"] = vars(self.error)
        else:
            document["value"] = encode(self.value, "the returned value", result=True)
        text = json_text.dumps(document).encode("utf-8", "backslashreplace")
        if len(text) > RESULT_LIMIT:
            raise TooLarge(
                f"the returned value is {_size(len(text))} as JSON, a result holds at most {_size(RESULT_LIMIT)}: "
                "write it to storage and return its path"
            )
        return zlib.compress(text, 6)

    @classmethod
    def decode(cls, data: bytes) -> Result:
        """The Result in ``data``. Raises Refused when it is damaged."""
        document = _document(data, 2 * RESULT_LIMIT)
        error = document.get("error")
        try:
            return cls(
                document.get("value"),
                error=Failure(**{name: str(text) for name, text in error.items()}) if error else None,
                python=str(document["python"]),
                seconds=float(document["seconds"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            raise Refused("this is no result of podenv") from None


class Call:
    """A function's source, where it stands, and its arguments.

    ``labels`` name the positional arguments in refusals. ``source`` keeps the indentation it has in ``filename``.
    ``postponed``: the file has ``from __future__ import annotations``.
    """

    def __init__(
        self,
        name: str,
        source: str,
        *,
        filename: str,
        first_line: int,
        postponed: bool = False,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        labels: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.source = source
        self.filename = filename
        self.first_line = first_line
        self.postponed = postponed
        self.args = list(args)
        self.kwargs = dict(kwargs or {})
        self._labels = list(labels) or [f"args[{index}]" for index in range(len(self.args))]
        self._encoded: str | None = None

    def encode(self) -> str:
        """The Call as it travels, encoded once. Raises Refused, or TooLarge beyond ``CALL_LIMIT``."""
        if self._encoded is None:
            document = {
                "name": self.name,
                "source": self.source,
                "filename": self.filename,
                "first_line": self.first_line,
                "postponed": self.postponed,
                "args": [encode(value, label) for label, value in zip(self._labels, self.args)],
                "kwargs": {name: encode(value, name) for name, value in self.kwargs.items()},
            }
            import json  # the side that sends has it loaded; it escapes lone surrogates

            text = json.dumps(document, separators=(",", ":")).encode()
            encoded = binascii.b2a_base64(zlib.compress(text, 6), newline=False).decode("ascii")
            for size, limit, what in ((len(text), MAX_JSON, "as JSON"), (len(encoded), CALL_LIMIT, "compressed")):
                if size > limit:
                    raise TooLarge(
                        f"the call to {self.name} is {_size(size)} {what}, a call holds at most {_size(limit)}: "
                        "write the data to storage and pass its path"
                    )
            self._encoded = encoded
        return self._encoded

    def to_env(self) -> dict[str, str]:
        """The Call as environment variables, each of a size that Linux allows."""
        text = self.encode()
        chunks = [text[start : start + _CHUNK] for start in range(0, len(text), _CHUNK)]
        return {f"{PREFIX}CALL_{number}": chunk for number, chunk in enumerate(chunks)}

    @classmethod
    def from_env(cls, environ: MutableMapping[str, str]) -> Call:
        """The Call in ``environ``, which no longer holds it afterwards. Raises Refused when it is damaged."""
        chunks: list[str] = []
        while (name := f"{PREFIX}CALL_{len(chunks)}") in environ:
            chunks.append(environ.pop(name))
        try:
            document = _document(binascii.a2b_base64("".join(chunks)), MAX_JSON)
            return cls(**document)
        except (TypeError, ValueError) as error:
            raise Refused(f"the call arrived damaged ({error})") from None


def is_indented(source: str) -> bool:
    """Whether a function's source stands inside something; a form feed begins the line anew."""
    blank = source[: len(source) - len(source.lstrip(" \t\f"))]
    return bool(blank.rpartition("\f")[2])


def _document(data: bytes, limit: int) -> dict[str, Any]:
    try:
        inflater = zlib.decompressobj()
        text = inflater.decompress(data, limit)
    except zlib.error as error:
        raise Refused(f"it does not decompress ({error})") from None
    if inflater.unconsumed_tail or not inflater.eof:
        raise Refused(f"it is cut, or larger than {_size(limit)}")
    document = decode(text.decode("utf-8", "replace"))
    if not isinstance(document, dict):
        raise Refused("it holds no document")
    return document


def _size(size: int) -> str:
    return f"{size / 1024**2:.1f} MiB" if size >= 1024**2 else f"{size / 1024:.0f} KiB"
