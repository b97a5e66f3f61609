"""Files to storage and back, whole or not at all: by a folder of this machine, or by signed addresses (see `web`).

No message holds an address: who has it may read or write.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import time

from .storage import CHUNK, Again, StorageFailed, gone, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import IO, Any, Union

    Source = Union[str, bytes]

LIMIT = 5 * 1024**3
"""Bytes of one upload, which is what S3 takes in one."""
ATTEMPTS = 5
TIMEOUT = 60.0
"""Seconds without a byte."""


def put(
    address: Mapping[str, Any],
    source: Source,
    *,
    pause: Callable[[float], None] = time.sleep,
    timeout: float = TIMEOUT,
) -> str:
    """Bring ``source``, bytes or the path of a file, to ``address``; its SHA-256 in hexadecimal.

    A file that `beside` named is moved. Raises StorageFailed.
    """

    def attempt() -> str:
        with _opened(source) as file:
            length = os.fstat(file.fileno()).st_size if isinstance(source, str) else len(source)
            hashed = hashlib.sha256()
            chunks = _hashed(file, hashed, length, address["key"])
            path = _path(address)
            if path is None:
                from .web import send

                send(address, chunks, length, timeout)
            elif isinstance(source, str) and source.startswith(path + "."):
                for _ in chunks:
                    pass
                _place(file, source, path)
            else:
                _write(path, chunks)
            return hashed.hexdigest()

    return str(_tried(attempt, address["key"], pause, "written"))


def beside(address: Mapping[str, Any]) -> str | None:
    """A new file to write the value of ``address`` to, for `put`; None where the store is no folder of this machine.

    Raises StorageFailed.
    """
    path = _path(address)
    if path is None:
        return None
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    except OSError as error:
        raise failed(address["key"], "written", error) from None
    return f"{path}.{os.urandom(8).hex()}.part"


def in_place(address: Mapping[str, Any], size: int, sha256: str) -> str | None:
    """The file of ``address`` itself, which is what was written; None where the store is no folder of this machine.

    Raises StorageFailed.
    """
    path = _path(address)
    if path is not None:
        with _stored(path, address["key"]) as file:
            _receive(file, None, size, sha256, address["key"])
    return path


def get(
    address: Mapping[str, Any],
    path: str,
    size: int,
    sha256: str,
    *,
    pause: Callable[[float], None] = time.sleep,
    timeout: float = TIMEOUT,
) -> None:
    """Fetch the ``size`` bytes at ``address`` to ``path``, which is there only when they are what they should be.

    Raises StorageFailed.
    """

    def attempt() -> None:
        place = _path(address)
        if place is None:
            from .web import receive

            stream: Any = receive(address, timeout)
        else:
            stream = _stored(place, address["key"])
        with stream, open(path + ".part", "wb") as file:
            _receive(stream, file, size, sha256, address["key"])
        os.replace(path + ".part", path)

    _tried(attempt, address["key"], pause, "read")


def _tried(attempt: Callable[[], Any], key: str, pause: Callable[[float], None], verb: str) -> Any:
    for number in range(ATTEMPTS):
        try:
            return attempt()
        except Again as error:
            problem = str(error)
        except OSError as error:
            raise failed(key, verb, error) from None
        if number + 1 < ATTEMPTS:
            seconds = 2**number + os.urandom(1)[0] / 256  # mapped tasks do not come back all at once
            say(f"{key} is not {verb} yet: {problem}; again in {seconds:.0f} s.")
            pause(seconds)
    raise StorageFailed(
        f"{key} could not be {verb} in {ATTEMPTS} attempts: {problem}; try again when the storage works", "retry"
    )


def failed(key: str, verb: str, error: OSError) -> StorageFailed:
    """What a folder's ``error`` means."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFailed(f"{key} cannot be {verb}: no space is left on the disk, free some", "retry")
    # Not the text of the error, which may hold an address.
    why = error.strerror or type(error).__name__
    return StorageFailed(f"{key} cannot be {verb}: {why}; see to the folder of the storage", "final")


def _path(address: Mapping[str, Any]) -> str | None:
    """The place of a value in a folder; None for an address over HTTP."""
    if not str(address["url"]).startswith("file:"):
        return None
    from urllib.parse import unquote, urlsplit

    return unquote(urlsplit(address["url"]).path)


def _stored(path: str, key: str) -> IO[bytes]:
    try:
        return open(path, "rb")
    except FileNotFoundError:
        raise gone(key) from None
    except OSError as error:
        raise failed(key, "read", error) from None


def _opened(source: Source) -> IO[bytes]:
    return open(source, "rb") if isinstance(source, str) else io.BytesIO(source)


def _hashed(file: IO[bytes], hashed: Any, length: int, key: str) -> Iterator[bytes]:
    """The chunks of ``file``. Raises StorageFailed where they are not ``length`` bytes: somebody writes to it.

    That is before the last one, without which no store has the value.
    """
    left = length
    while True:
        chunk = file.read(min(CHUNK, left))
        left -= len(chunk)
        if (left and not chunk) or (not left and file.read(1)):
            raise StorageFailed(
                f"{key}: the file changed while it was sent: close it before the function returns", "final"
            )
        hashed.update(chunk)
        yield chunk
        if not left:
            return


def _write(path: str, chunks: Iterator[bytes]) -> None:
    """Write the file ``path`` beside its place, and put it there."""
    beside = f"{path}.{os.urandom(8).hex()}.part"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    try:
        with open(beside, "xb") as made:
            for chunk in chunks:
                made.write(chunk)
            made.flush()
            _place(made, beside, path)
    except BaseException:
        if os.path.exists(beside):
            os.unlink(beside)
        raise


def _place(file: IO[bytes], name: str, path: str) -> None:
    """Put ``file``, which is written whole, from ``name`` to ``path``."""
    os.fsync(file.fileno())
    os.replace(name, path)


def _receive(stream: Any, file: IO[bytes] | None, size: int, sha256: str, key: str) -> None:
    """Check what ``stream`` brings, and write it to ``file``, where there is one."""
    hashed = hashlib.sha256()
    came = 0
    while came <= size:
        chunk = stream.read(CHUNK)
        if not chunk:
            break
        came += len(chunk)
        hashed.update(chunk)
        if file is not None:
            file.write(chunk)
    if came != size or hashed.hexdigest() != sha256:
        what = "checksum" if came == size else "size"
        raise StorageFailed(
            f"{key} is not what was written, its {what} differs: run the task that made it again", "final"
        )
