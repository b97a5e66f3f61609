"""Values that go through storage: what a function returns is written and sent, what it is given is fetched and read."""

from __future__ import annotations

import os
import shutil
import sys
import time

from . import files, tables
from . import text as json_text
from .annotation import Wanted
from .annotation import read as read_annotation
from .call import size as shown
from .reference import TABLES, Reference, references
from .revive import decode
from .storage import say
from .tagged import TAG, Refused
from .transfer import LIMIT, beside, failed, get, in_place, put

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from .transfer import Source

SIDE_BY_SIDE = 4
"""Transfers at the same time."""

_TAGGED = "exchange"
_LIBRARIES = {
    "pandas.DataFrame": "pandas", "polars.DataFrame": "polars", "pyarrow.Table": "pyarrow", "arrow": "pyarrow",
}  # fmt: skip
# The annotation that fits a kind, of those that are not tables.
_TYPES = {"file": "pathlib.Path", "folder": "pathlib.Path", "bytes": "bytes"}


class Unfit(Refused):
    """An argument is in storage, and its parameter or this environment does not fit it."""

    kind = "exchange"


class _Part:
    """A value on its way to storage: ``source`` is a file or bytes, ``document`` the Reference as JSON."""

    def __init__(self, value: Any, address: Mapping[str, Any], source: Source, document: dict[str, Any]) -> None:
        self.value = value  # held, so that no other gets its id
        self.address = address
        self.source = source
        self.document = document


class Exchange:
    """The values of one Call: ``addresses`` for what it returns, and by key for what it is given."""

    def __init__(self, addresses: Sequence[Mapping[str, Any]], by_key: Mapping[str, Mapping[str, Any]]) -> None:
        self._put = addresses
        self._get = by_key
        self._parts: list[_Part] = []
        self._kept: dict[int, _Part] = {}
        self._folder = ""
        self._beside: list[str] = []

    def close(self) -> None:
        """Remove the temporary files."""
        for path in self._beside:
            if os.path.exists(path):
                os.unlink(path)
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    # What a function returns

    def keep(self, value: Any) -> Any:
        """What stands for ``value`` in JSON where it goes to storage, which `send` does; else None. Raises Refused."""
        if id(value) not in self._kept:
            part = self._written(value)
            if part is None:
                return None
            self._kept[id(value)] = part
        return {TAG: _TAGGED, "v": self._kept[id(value)].document}

    def spill(self, encoded: Any, least: int) -> Any:
        """``encoded``, tagged JSON, with References in place of what is larger than ``least`` bytes as JSON.

        It is cut as little as can be: a part that refers to storage itself stays, for the reader asks by its key.
        """
        if not _refers(encoded):
            text = json_text.dumps(encoded).encode()
            return encoded if len(text) < least else {TAG: _TAGGED, "v": self._add(encoded, "json", text).document}
        if isinstance(encoded, list):
            return [self.spill(one, least) for one in encoded]
        if TAG not in encoded:
            return {name: self.spill(one, least) for name, one in encoded.items()}
        if encoded[TAG] == "dict":
            return {TAG: "dict", "v": [[key, self.spill(one, least)] for key, one in encoded["v"]]}
        return encoded if encoded[TAG] == _TAGGED else {TAG: encoded[TAG], "v": self.spill(encoded["v"], least)}

    def send(self) -> None:
        """Bring to storage what `keep` and `spill` took. Raises Refused, StorageFailed."""
        _side_by_side([lambda part=part: self._send(part) for part in self._parts])  # type: ignore[misc]
        self._parts = []

    def _send(self, part: _Part) -> None:
        started = time.perf_counter()
        part.document["sha256"] = put(part.address, part.source)
        _log(part.document, "to storage", started)

    def _written(self, value: Any) -> _Part | None:
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._add(value, "bytes", value if isinstance(value, bytes) else bytes(value))
        paths = sys.modules.get("pathlib")
        if paths and isinstance(value, paths.Path):
            real = files.checked(value)
            name = value.name or os.path.basename(real)
            if not files.is_folder(real):
                return self._add(value, "file", real, name=name)
            return self._file(value, "folder", lambda target: files.pack(real, target), name=name)
        kind = tables.kind_of(value)
        return None if kind is None else self._table(value, kind)

    def _table(self, value: Any, kind: str) -> _Part:
        made: list[tables.Written] = []
        part = self._file(value, kind, lambda target: made.append(tables.write(value, kind, target)))
        part.document.update(rows=made[0].rows, schema=[list(column) for column in made[0].schema])
        return part

    def _file(self, value: Any, kind: str, write: Callable[[str], None], name: str | None = None) -> _Part:
        address = self._address()
        target = beside(address)
        if target is not None:
            self._beside.append(target)
        try:
            write(target or os.path.join(self._temporary(), str(len(self._parts))))
        except OSError as error:
            if target is not None:
                raise failed(address["key"], "written", error) from None
            raise Refused(
                f"the temporary file of this {kind} cannot be written ({error.strerror}): free space in "
                f"{os.path.dirname(self._folder)}, or set TMPDIR to where there is more"
            ) from None
        return self._add(value, kind, target or os.path.join(self._folder, str(len(self._parts))), name=name)

    def _address(self) -> Mapping[str, Any]:
        """That of the next part."""
        if len(self._parts) == len(self._put):
            raise Refused(
                f"a task brings at most {len(self._put)} tables and files to storage, and this is one more: put them "
                "together, or return a folder"
            )
        return self._put[len(self._parts)]

    def _add(self, value: Any, kind: str, source: Source, name: str | None = None) -> _Part:
        address = self._address()
        length = os.stat(source).st_size if isinstance(source, str) else len(source)
        if length > LIMIT:
            raise Refused(
                f"this {kind} is {length / 1024**3:.1f} GiB, and storage takes at most {LIMIT // 1024**3} GiB in one: "
                "return it in parts, as a list"
            )
        document = Reference(address["key"], kind, bytes=length, sha256="", name=name).to_json()
        part = _Part(value, address, source, document)
        self._parts.append(part)
        return part

    # What it is given

    def arguments(self, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """``args`` and ``kwargs`` with the values that their References stand for.

        Raises Unfit, StorageFailed.
        """
        given = _Given(function)
        found = {one.key: one for one in references([*args, *kwargs.values()])}
        for key in found:
            if key not in self._get:
                raise Unfit(f"the call refers to {key} in storage, and brings no address for it: run it again")
        try:
            folder = self._temporary()
        except Refused as refused:
            raise Unfit(refused.why) from None
        places = {key: os.path.join(folder, f"get{number}") for number, key in enumerate(found)}
        fetched: dict[str, str] = {}

        def fetch(one: Reference) -> None:
            fetched[one.key] = self._fetched(one, places[one.key])

        _side_by_side([lambda one=one: fetch(one) for one in found.values()])  # type: ignore[misc]
        reader = _Reader(fetched, folder)
        positional = [reader.value(value, *given.positional(number)) for number, value in enumerate(args)]
        named = {name: reader.value(value, *given.named(name)) for name, value in kwargs.items()}
        for path in places.values():
            if os.path.exists(path):
                os.unlink(path)
        return positional, named

    def _fetched(self, reference: Reference, place: str) -> str:
        """The file with the value of ``reference``: ``place``, or that of a store which is a folder."""
        started = time.perf_counter()
        address, facts = self._get[reference.key], (reference.bytes, reference.sha256)
        # A file becomes the function's own, which may write to it.
        path = None if reference.kind == "file" else in_place(address, *facts)
        if path is None:
            get(address, place, *facts)
        _log(reference.to_json(), "from storage", started)
        return path or place

    def _temporary(self) -> str:
        if not self._folder:
            self._folder = files.temporary()
        return self._folder


class _Given:
    """What a function's parameters are called in messages, and what their annotations ask for."""

    def __init__(self, function: Any) -> None:
        import inspect

        try:
            self._parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):  # whatever a decorator has made of it
            self._parameters = []
        plain = inspect.unwrap(function)
        self._annotations = dict(getattr(plain, "__annotations__", {}))
        self._names = getattr(plain, "__globals__", {})

    def positional(self, number: int) -> tuple[str, Wanted]:
        own = [one for one in self._parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
        if number < len(own):
            return self._of(own[number].name, own[number].name)
        rest = next((one.name for one in self._parameters if one.kind is one.VAR_POSITIONAL), "args")
        return self._of(rest, f"{rest}[{number - len(own)}]")

    def named(self, name: str) -> tuple[str, Wanted]:
        if any(one.name == name and one.kind is not one.VAR_KEYWORD for one in self._parameters):
            return self._of(name, name)
        return self._of(next((one.name for one in self._parameters if one.kind is one.VAR_KEYWORD), name), name)

    def _of(self, name: str, label: str) -> tuple[str, Wanted]:
        return label, read_annotation(self._annotations.get(name), self._names)


class _Reader:
    """Makes values of the files that were ``fetched``, by their keys; files and folders in folders in ``folder``."""

    def __init__(self, fetched: Mapping[str, str], folder: str) -> None:
        self._fetched = fetched
        self._folder = folder
        self._paths: dict[str, Any] = {}

    def value(self, value: Any, label: str, wanted: Wanted) -> Any:
        """``value`` with what its References stand for. Raises Unfit, whose path begins with ``label``."""
        try:
            return self._read(value, wanted)
        except Refused as refused:
            unfit = refused if refused.kind != "refused" else Unfit(refused.why, refused.path)
            raise unfit.within(label) from None

    def _read(self, value: Any, wanted: Wanted) -> Any:
        if isinstance(value, Reference):
            return self._load(value, wanted)
        if isinstance(value, dict):
            return {name: self.value(one, f"[{name!r}]", wanted.element(0)) for name, one in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return type(value)(
                self.value(one, f"[{number}]", wanted.element(number)) for number, one in enumerate(value)
            )
        return value

    def _load(self, reference: Reference, wanted: Wanted) -> Any:
        path = self._fetched[reference.key]
        if reference.kind == "json":
            with open(path, "rb") as file:
                return decode(file.read().decode())
        if reference.kind in TABLES:
            return tables.read(path, _library(reference, wanted))
        fitting = _TYPES[reference.kind]
        if wanted.names and fitting not in wanted.names:
            raise _misfit(reference, wanted, fitting)
        if reference.kind == "bytes":
            with open(path, "rb") as file:
                return file.read()
        if reference.key not in self._paths:
            own = os.path.join(self._folder, f"own{len(self._paths)}")
            self._paths[reference.key] = _placed(reference, path, own)
        return self._paths[reference.key]


def _placed(reference: Reference, path: str, own: str) -> Any:
    """The file or the folder, under its own name in the new folder ``own``."""
    from pathlib import Path

    target = os.path.join(own, os.path.basename(reference.name or "") or "data")
    os.mkdir(own)
    if reference.kind == "folder":
        files.unpack(path, target)
    else:
        os.rename(path, target)
    return Path(target)


def _library(reference: Reference, wanted: Wanted) -> str:
    """What reads the table: the first that the annotation names, else that which it was. Raises Refused."""
    own = _LIBRARIES[reference.kind]
    if not wanted.names:
        if tables.has(own):
            return own
        others = [f"{name!r}" for name, library in _LIBRARIES.items() if name != "arrow" and tables.has(library)]
        advice = f"annotate the parameter with {' or '.join(others)}, or add" if others else "add"
        raise Refused(f"a {_named(reference)} is in storage, and this environment has no {own}: {advice} {own} to it")
    named = [_LIBRARIES[name] for name in _whole(wanted.names) if name in _LIBRARIES]
    if not named:
        raise _misfit(reference, wanted, "pandas.DataFrame, polars.DataFrame or pyarrow.Table")
    for library in [own, *named] if own in named else named:
        if tables.has(library):
            return library
    raise Refused(f"its annotation names {named[0]}, which this environment has not: add {named[0]} to it")


def _whole(names: Sequence[str]) -> Iterator[str]:
    """``names``, with its library for a DataFrame or a Table that has none. Raises Refused where two are there."""
    for name in names:
        if name == "Table":
            yield "pyarrow.Table"
        elif name == "DataFrame":
            there = [one for one in ("pandas", "polars") if tables.has(one)]
            if len(there) != 1:
                raise Refused(
                    "its annotation DataFrame names no library: write 'pandas.DataFrame' or 'polars.DataFrame'"
                )
            yield f"{there[0]}.DataFrame"
        else:
            yield name


def _misfit(reference: Reference, wanted: Wanted, fitting: str) -> Refused:
    return Refused(
        f"a {_named(reference)} is in storage, and its annotation names {' or '.join(wanted.names)}: annotate {fitting}"
    )


def _named(reference: Reference) -> str:
    return "table" if reference.kind == "arrow" else reference.kind


def _refers(encoded: Any) -> bool:
    if isinstance(encoded, list):
        return any(map(_refers, encoded))
    if isinstance(encoded, dict):
        return encoded.get(TAG) == _TAGGED or any(map(_refers, encoded.values()))
    return False


def _side_by_side(jobs: list[Callable[[], None]]) -> None:
    """Run ``jobs``, a few at a time. Raises what the first that failed raised."""
    if len(jobs) < 2:
        for job in jobs:
            job()
        return
    import threading

    left = list(reversed(jobs))
    errors: list[BaseException] = []

    def work() -> None:
        while left and not errors:
            try:
                job = left.pop()
            except IndexError:
                return
            try:
                job()
            except BaseException as error:  # noqa: BLE001 - raised again below
                errors.append(error)

    # Daemons: a task that is told to end does not wait for them.
    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(SIDE_BY_SIDE, len(jobs)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def _log(document: Mapping[str, Any], way: str, started: float) -> None:
    rows = "" if document["rows"] is None else f", {document['rows']:,} rows"
    seconds = time.perf_counter() - started
    say(f"{document['kind']}{rows}, {shown(document['bytes'])}, {way} in {seconds:.1f} s: {document['key']}")
