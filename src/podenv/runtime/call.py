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
    from collections.abc import Callable, Mapping, MutableMapping, Sequence
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

    kind = "too large"


class Failure:
    """Why a function brought no value.

    ``kind`` is ``raised`` (an exception left the function), ``exited`` (it called ``sys.exit``), ``refused`` (its value
    is none that XCom keeps), ``too large``, ``exchange`` (an argument in storage does not fit), ``storage`` (it
    failed), or ``call`` (the call arrived damaged). ``type`` is the exception's type with its module, ``bases`` those
    that it derives from, with a blank between; ``code`` the exit code that the function asked for, and of a storage
    that failed ``retry`` or ``final``.
    """

    def __init__(
        self, kind: str, *, type: str, message: str, traceback: str = "", code: str = "1", bases: str = ""
    ) -> None:
        self.kind = kind
        self.type = type
        self.message = message
        self.traceback = traceback
        self.code = code
        self.bases = bases


class Result:
    """What a function returned, or its failure, with the Python version it ran on and the seconds it took.

    ``usage`` is what `runtime.usage` measured; ``size`` the bytes that it had when it came, compressed.
    """

    def __init__(
        self,
        value: Any = None,
        *,
        error: Failure | None = None,
        python: str = "",
        seconds: float = 0.0,
        usage: Mapping[str, float] | None = None,
    ) -> None:
        self.value = value
        self.error = error
        self.python = python
        self.seconds = seconds
        self.usage = dict(usage or {})
        self.size = 0

    def encode(self, encode_value: Callable[[Any], Any] | None = None) -> bytes:
        """The Result, compressed; ``encode_value`` makes tagged JSON of the value, where some of it goes to storage.

        Raises Refused, TooLarge beyond ``RESULT_LIMIT``, and what ``encode_value`` raises.
        """
        document: dict[str, Any] = {}
        if self.error:
            document["error"] = vars(self.error)
        elif encode_value:
            document["value"] = encode_value(self.value)
        else:
            document["value"] = encode(self.value, "the returned value", result=True)
        # After the value, whose writing is measured too.
        document.update(python=self.python, seconds=self.seconds, usage=self.usage)
        text = json_text.dumps(document).encode("utf-8", "backslashreplace")
        if len(text) > RESULT_LIMIT:
            raise TooLarge(
                f"the returned value is {size(len(text))} as JSON, a result holds at most {size(RESULT_LIMIT)}: "
                "write it to storage and return its path"
            )
        return zlib.compress(text, 6)

    @classmethod
    def decode(cls, data: bytes) -> Result:
        """The Result in ``data``. Raises Refused when it is damaged."""
        document = _document(data, 2 * RESULT_LIMIT)
        error = document.get("error")
        try:
            result = cls(
                document.get("value"),
                error=Failure(**{name: str(text) for name, text in error.items()}) if error else None,
                python=str(document["python"]),
                seconds=float(document["seconds"]),
                usage={str(name): float(value) for name, value in document["usage"].items()},
            )
            result.size = len(data)
            return result
        except (AttributeError, KeyError, TypeError, ValueError):
            raise Refused("this is not a result of podenv") from None


class Code:
    """A function with what travels with it, as text.

    ``pieces`` are statements, each a file's name, a line of it and the text from there on, with its indentation. They
    run in their order, those of ``inner`` in a function ``around``, which has ``values`` for names of its own;
    ``constants`` are names of the file. ``line`` is where the definition of ``name`` stands in ``filename``.
    ``defaults`` are those of its parameters that travel as values. ``postponed``: the file has ``from __future__ import
    annotations``.
    """

    def __init__(
        self,
        name: str,
        filename: str,
        line: int,
        pieces: Sequence[Sequence[Any]],
        *,
        inner: Sequence[Sequence[Any]] = (),
        around: str = "",
        values: Mapping[str, Any] | None = None,
        constants: Mapping[str, Any] | None = None,
        defaults: Mapping[str, Any] | None = None,
        package: str = "",
        postponed: bool = False,
    ) -> None:
        self.name = name
        self.filename = filename
        self.line = line
        self.pieces = pieces
        self.inner = inner
        self.around = around
        self.values = dict(values or {})
        self.constants = dict(constants or {})
        self.defaults = dict(defaults or {})
        self.package = package
        self.postponed = postponed

    def encode(self) -> dict[str, Any]:
        """The Code as JSON can hold it. Raises Refused."""
        document = dict(vars(self))
        for kind in ("values", "constants", "defaults"):
            document[kind] = {name: encode(value, name) for name, value in document[kind].items()}
        return document


class Call:
    """A function's Code, its arguments, and the modules that travel with it.

    ``labels`` name the positional arguments in refusals. ``modules`` is what `pack` made, ``names`` their top-level
    names. ``travels`` says for the log what travels beside the function.
    """

    def __init__(
        self,
        code: Code,
        *,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        labels: Sequence[str] = (),
        modules: str = "",
        names: Sequence[str] = (),
        travels: str = "",
    ) -> None:
        self.code = code
        self.args = list(args)
        self.kwargs = dict(kwargs or {})
        self.modules = modules
        self.names = list(names)
        self.travels = travels
        self._labels = list(labels) or [f"args[{index}]" for index in range(len(self.args))]
        self._encoded: str | None = None
        self._refers = False

    @property
    def refers(self) -> bool:
        """True if an argument holds a Reference. Raises what `encode` raises."""
        self.encode()
        return self._refers

    def encode(self) -> str:
        """The Call as it travels, encoded once. Raises Refused, or TooLarge beyond ``CALL_LIMIT``."""
        if self._encoded is None:
            document = {
                "code": self.code.encode(),
                "args": [encode(value, label) for label, value in zip(self._labels, self.args)],
                "kwargs": {name: encode(value, name) for name, value in self.kwargs.items()},
                "names": self.names,
                "travels": self.travels,
            }
            import json  # the side that sends has it loaded; it escapes lone surrogates

            text = json.dumps(document, separators=(",", ":")).encode()
            encoded = compress(text)
            self._refers = b'{"$":"exchange"' in text  # inside of a text the quotes are escaped
            self._check_size(len(text), MAX_JSON, "as JSON", ": write the data to storage and pass its path")
            remedy = ": write the data to storage and pass its path"
            if self.modules:
                share = f", {size(len(self.modules))} of it are the modules that travel"
                remedy = share + ": put large ones into `packages` of the environment"
            self._check_size(len(encoded) + len(self.modules), CALL_LIMIT, "compressed", remedy)
            self._encoded = f"{encoded}.{self.modules}" if self.modules else encoded
        return self._encoded

    def _check_size(self, count: int, limit: int, what: str, remedy: str) -> None:
        if count > limit:
            raise TooLarge(
                f"the call to {self.code.name} is {size(count)} {what}, a call holds at most {size(limit)}{remedy}"
            )

    def to_env(self) -> dict[str, str]:
        """The Call as environment variables, each of a size that Linux allows."""
        text, _, modules = self.encode().partition(".")
        return {**chunks("CALL", text), **chunks("CALL_MODULES", modules)}

    @classmethod
    def from_env(cls, environ: MutableMapping[str, str]) -> Call:
        """The Call in ``environ``, which no longer holds it afterwards. Raises Refused when it is damaged."""
        text, modules = join(environ, "CALL"), join(environ, "CALL_MODULES")
        try:
            document = _document(binascii.a2b_base64(text), MAX_JSON)
            return cls(Code(**document.pop("code")), modules=modules, **document)
        except (KeyError, TypeError, ValueError) as error:
            raise Refused(f"the call arrived damaged ({error})") from None


def pack(modules: Mapping[str, Sequence[Any]], data: Mapping[str, Mapping[str, bytes]]) -> str:
    """Modules as they travel: of each its file, True for a package, and its text; and the data files of packages."""
    import json

    document = {"modules": modules, "data": {name: encode(files, name) for name, files in data.items()}}
    return compress(json.dumps(document, separators=(",", ":")).encode())


def unpack(packed: str) -> dict[str, Any]:
    """What `pack` was given. Raises Refused when it is damaged."""
    try:
        return _document(binascii.a2b_base64(packed), MAX_JSON)
    except ValueError as error:
        raise Refused(f"what travels with the call arrived damaged ({error})") from None


def compress(text: bytes) -> str:
    """``text`` as it travels in a variable."""
    return binascii.b2a_base64(zlib.compress(text, 6), newline=False).decode("ascii")


def chunks(kind: str, whole: str) -> dict[str, str]:
    """``whole`` in variables of ``kind``, each of a size that Linux allows."""
    parts = (whole[start : start + _CHUNK] for start in range(0, len(whole), _CHUNK))
    return {f"{PREFIX}{kind}_{number}": part for number, part in enumerate(parts)}


def join(environ: MutableMapping[str, str], kind: str) -> str:
    """What `chunks` was given; ``environ`` no longer holds it."""
    parts: list[str] = []
    while (name := f"{PREFIX}{kind}_{len(parts)}") in environ:
        parts.append(environ.pop(name))
    return "".join(parts)


def _document(data: bytes, limit: int) -> dict[str, Any]:
    try:
        inflater = zlib.decompressobj()
        text = inflater.decompress(data, limit)
    except zlib.error as error:
        raise Refused(f"it does not decompress ({error})") from None
    if inflater.unconsumed_tail or not inflater.eof:
        raise Refused(f"it is cut, or larger than {size(limit)}")
    document = decode(text.decode("utf-8", "replace"))
    if not isinstance(document, dict):
        raise Refused("it holds no document")
    return document


def size(count: int) -> str:
    """``count`` bytes, for a message."""
    return f"{count / 1024**2:.1f} MiB" if count >= 1024**2 else f"{count / 1024:.0f} KiB"
