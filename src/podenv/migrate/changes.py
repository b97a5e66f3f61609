"""One edited file: what the edit changes, as a diff, and the file in the place of the old one."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from podenv.call.tree import syntax_tree
from podenv.catalogue import scaffold
from podenv.errors import DagFileInvalid
from podenv.migrate.findings import FileChange


def diff(change: FileChange, name: str) -> str:
    """What the edit changes, as a unified diff of the file ``name``."""
    return "".join(unified(change.before.decode(errors="replace"), change.after.decode(errors="replace"), name, name))


def put(change: FileChange, *, again: str) -> None:
    """Put the edited file in the place of the old one, at once.

    Raises `DagFileInvalid` if that was changed meanwhile (``again`` is what to do then), or cannot be written.
    """
    if change.file.suffix == ".py":
        syntax_tree(change.after, str(change.file))
    try:
        if change.file.read_bytes() != change.before:
            raise DagFileInvalid(f"{change.file} was changed while it was read; {again}.")
        scaffold.put(change.file, change.after)
    except OSError as error:
        raise DagFileInvalid(f"{change.file} cannot be written: {error.strerror}; it is unchanged.") from None
    change.written = True


def unified(before: str, after: str, old: str, new: str) -> Iterator[str]:
    """The lines of a unified diff of two texts."""
    lines = difflib.unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), old, new)
    for line in lines:
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
