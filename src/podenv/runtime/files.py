"""Files and folders that a function returns, and those that it is given."""

from __future__ import annotations

import os
import stat
import tarfile
import tempfile

from .storage import CHUNK
from .tagged import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

MAX_FILES = 10_000


def temporary() -> str:
    """A new folder for temporary files. Raises Refused where none can be made."""
    try:
        return tempfile.mkdtemp(prefix="podenv-")
    except OSError:
        raise Refused(
            "no folder for temporary files can be written: give the container an emptyDir volume at /tmp, or set TMPDIR"
        ) from None


def checked(path: Any) -> str:
    """The real place of ``path``, a file or a folder in the task's own folders. Raises Refused."""
    real = str(os.path.realpath(path))
    try:
        mode = os.stat(real).st_mode
    except OSError:
        raise Refused(f"{path} does not exist: return the path of what the function has written") from None
    _check_mode(mode, path, "")
    roots = [os.path.realpath(one) for one in (os.curdir, tempfile.gettempdir())]
    if not any(real == root or real.startswith(root.rstrip("/") + "/") for root in roots):
        leads = f" leads to {real}, which" if real != os.path.abspath(path) else ""
        raise Refused(
            f"{path}{leads} lies outside of the task's folders {roots[0]} and {roots[1]}: write it to one of them"
        )
    return real


def is_folder(real: str) -> bool:
    """True if it is one, False for a file."""
    return os.path.isdir(real)


def pack(folder: str, target: str) -> None:
    """Write the tar of ``folder`` to ``target``. Raises Refused for an entry of another kind, and for too many."""
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        for count, (name, path, status) in enumerate(_walk(folder, ""), 1):
            if count > MAX_FILES:
                raise Refused(
                    f"{folder} holds more than {MAX_FILES:,} files: make an archive of them, and return its path"
                )
            entry = tarfile.TarInfo(name)
            entry.mode, entry.mtime = stat.S_IMODE(status.st_mode), int(status.st_mtime)
            if stat.S_ISDIR(status.st_mode):
                entry.type = tarfile.DIRTYPE
                archive.addfile(entry)
                continue
            entry.size = status.st_size
            with open(path, "rb") as file:
                archive.addfile(entry, file)


def unpack(archive: str, target: str) -> None:
    """Make the folder ``target`` of a tar that `pack` wrote. Raises Refused for one that it did not."""
    os.makedirs(target)
    with tarfile.open(archive) as opened:
        for entry in opened:
            path = os.path.join(target, entry.name)
            inside = os.path.normpath(path).startswith(target + os.sep)
            if not inside or not (entry.isreg() or entry.isdir()):
                raise Refused(f"{entry.name!r} of the folder in storage is not a plain file: podenv did not write it")
            if entry.isdir():
                os.makedirs(path, exist_ok=True)
                continue
            os.makedirs(os.path.dirname(path), exist_ok=True)
            source: Any = opened.extractfile(entry)
            with open(path, "wb") as made:
                while chunk := source.read(CHUNK):
                    made.write(chunk)
            os.chmod(path, entry.mode & 0o777 | stat.S_IRUSR | stat.S_IWUSR)
            os.utime(path, (entry.mtime, entry.mtime))


def _walk(folder: str, above: str) -> Iterator[tuple[str, str, os.stat_result]]:
    """Name in the tar, path and status of all that ``folder`` holds."""
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        status = entry.stat(follow_symlinks=False)
        _check_mode(status.st_mode, entry.path, " in the folder")
        yield above + entry.name, entry.path, status
        if stat.S_ISDIR(status.st_mode):
            yield from _walk(entry.path, f"{above}{entry.name}/")


def _check_mode(mode: int, path: Any, where: str) -> None:
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return
    kinds = (
        (stat.S_ISLNK, "a symbolic link"), (stat.S_ISFIFO, "a FIFO"), (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"),
    )  # fmt: skip
    kind = next((text for test, text in kinds if test(mode)), "not a plain file")
    raise Refused(f"{path}{where} is {kind}, which does not travel: return plain files and folders")
