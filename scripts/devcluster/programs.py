"""Run a program to its end: a list, never a shell; its words are kept for the error."""

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from devcluster.errors import DevClusterError


def run(
    argv: Sequence[str | Path],
    *,
    log: Path | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> str:
    """Run `argv` and return its stdout; with `log`, everything it says is appended there instead.

    Raises DevClusterError with the last lines it wrote when it fails or is not installed.
    """
    command = [str(part) for part in argv]
    # `su` without a dash leaves root without the folders of iptables.
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    merged = {**os.environ, "PATH": path, "LC_ALL": "C.UTF-8", **(env or {})}
    if log:
        log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a+b") if log else tempfile.TemporaryFile() as said:
        begin, out, given = said.seek(0, os.SEEK_END), said if log else subprocess.PIPE, (stdin or "").encode()
        try:
            done = subprocess.run(command, cwd=cwd, env=merged, input=given, stdout=out, stderr=said, check=False)
        except FileNotFoundError as error:
            raise DevClusterError(f"{command[0]} could not be started: {error.strerror}: {error.filename}") from None
        said.seek(begin)
        words = said.read() or done.stdout or b""
    if done.returncode != 0:
        where = f" (whole log: {log})" if log else ""
        last = tail(words.decode(errors="replace"))
        raise DevClusterError(f"`{' '.join(command[:4])} …` ended with {done.returncode}{where}:\n{last}")
    return (done.stdout or b"").decode()


def tail(text: str, lines: int = 8) -> str:
    """The last `lines` lines that are not empty."""
    return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])
