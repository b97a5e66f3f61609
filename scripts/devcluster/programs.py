"""Run a program to its end: a list, never a shell; its words are kept for the error."""

import os
import subprocess
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
    given, where, begin = (stdin or "").encode(), "", 0
    try:
        if log:
            log.parent.mkdir(parents=True, exist_ok=True)
            where = f" (whole log: {log})"
            with log.open("ab") as out:
                begin = out.tell()
                done = subprocess.run(command, cwd=cwd, env=merged, input=given, stdout=out, stderr=out, check=False)
        else:
            done = subprocess.run(command, cwd=cwd, env=merged, input=given, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise DevClusterError(f"{command[0]} could not be started: {error.strerror}: {error.filename}") from None
    if done.returncode != 0:
        words = log.read_bytes()[begin:] if log else done.stderr or done.stdout
        last = tail(words.decode(errors="replace"))
        raise DevClusterError(f"`{' '.join(command[:4])} …` ended with {done.returncode}{where}:\n{last}")
    return (done.stdout or b"").decode()


def tail(text: str, lines: int = 8) -> str:
    """The last `lines` lines that are not empty."""
    return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])
