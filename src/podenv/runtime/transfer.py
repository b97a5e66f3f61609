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

    Source = Union[str, bytes, memoryview]

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
    """Bring ``source``, the path of a file or bytes, to ``address``; its SHA-256 in hexadecimal.

    Raises StorageFailed.
    """

    def attempt() -> str:
        with _opened(source) as file:
            length = file.seek(0, io.SEEK_END)
            file.seek(0)
            hashed = hashlib.sha256()
            chunks = _hashed(file, hashed, length)
            if _is_file(address):
                _write(_path(address), chunks)
            else:
                from .web import send

                send(address, chunks, length, timeout)
            return hashed.hexdigest()

    return str(_tried(attempt, address["key"], pause, "written"))


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
        if _is_file(address):
            try:
                stream: Any = open(_path(address), "rb")  # noqa: SIM115
            except FileNotFoundError:
                raise gone(address["key"]) from None
        else:
            from .web import receive

            stream = receive(address, timeout)
        with stream:
            _receive(stream, path, size, sha256, address["key"])

    _tried(attempt, address["key"], pause, "read")


def _tried(attempt: Callable[[], Any], key: str, pause: Callable[[float], None], verb: str) -> Any:
    for number in range(ATTEMPTS):
        try:
            return attempt()
        except Again as error:
            problem = str(error)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageFailed(
                    f"{key} cannot be {verb}: no space is left on the disk, free some", "retry"
                ) from None
            # Not the text of the error, which may hold an address.
            why = error.strerror or type(error).__name__
            raise StorageFailed(f"{key} cannot be {verb}: {why}; see to the folder of the storage", "final") from None
        if number + 1 < ATTEMPTS:
            seconds = 2**number + os.urandom(1)[0] / 256  # mapped tasks do not come back all at once
            say(f"{key} is not {verb} yet: {problem}; again in {seconds:.0f} s.")
            pause(seconds)
    raise StorageFailed(
        f"{key} could not be {verb} in {ATTEMPTS} attempts: {problem}; try again when the storage works", "retry"
    )


def _is_file(address: Mapping[str, Any]) -> bool:
    return str(address["url"]).startswith("file:")


def _path(address: Mapping[str, Any]) -> str:
    from urllib.parse import unquote, urlsplit

    return unquote(urlsplit(address["url"]).path)


def _opened(source: Source) -> IO[bytes]:
    return open(source, "rb") if isinstance(source, str) else io.BytesIO(source)


def _hashed(file: IO[bytes], hashed: Any, length: int) -> Iterator[bytes]:
    """The chunks of ``file``. Raises StorageFailed where they are not ``length`` bytes: somebody writes to it."""
    left = length
    while left:
        chunk = file.read(min(CHUNK, left))
        if not chunk:
            break
        left -= len(chunk)
        hashed.update(chunk)
        yield chunk
    if left or file.read(1):
        raise StorageFailed("the file changed while it was sent: close it before the function returns", "final")


def _write(path: str, chunks: Iterator[bytes]) -> None:
    """Write the file ``path`` beside its place, and put it there."""
    beside = f"{path}.{os.urandom(8).hex()}.part"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    try:
        with open(beside, "xb") as made:
            for chunk in chunks:
                made.write(chunk)
            made.flush()
            os.fsync(made.fileno())
        os.replace(beside, path)
    except BaseException:
        if os.path.exists(beside):
            os.unlink(beside)
        raise


def _receive(stream: Any, path: str, size: int, sha256: str, key: str) -> None:
    """What ``stream`` brings, to ``path``."""
    hashed = hashlib.sha256()
    came = 0
    with open(path + ".part", "wb") as file:
        while came <= size:
            chunk = stream.read(CHUNK)
            if not chunk:
                break
            came += len(chunk)
            hashed.update(chunk)
            file.write(chunk)
    if came != size or hashed.hexdigest() != sha256:
        what = "checksum" if came == size else "size"
        raise StorageFailed(
            f"{key} is not what was written, its {what} differs: run the task that made it again", "final"
        )
    os.replace(path + ".part", path)
