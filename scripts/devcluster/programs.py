"""Run a program to its end: a list, never a shell; its words are kept for the error."""

import contextlib
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
    stdin: str = "",
) -> str:
    """Run `argv` and return its stdout; with `log`, everything it says is appended there instead.

    Raises DevClusterError with the last lines it wrote when it fails or is not installed.
    """
    # `su` without a dash leaves root without the folders of iptables.
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    merged = {**os.environ, "PATH": path, "LC_ALL": "C.UTF-8", **(env or {})}
    if log:
        log.parent.mkdir(parents=True, exist_ok=True)
    try:
        with log.open("a+b") if log else contextlib.nullcontext() as file:
            out = file or subprocess.PIPE
            begin = file.tell() if file else 0
            done = subprocess.run(argv, cwd=cwd, env=merged, input=stdin.encode(), stdout=out, stderr=out, check=False)
    except FileNotFoundError as error:
        raise DevClusterError(f"{argv[0]} could not be started: {error.strerror}: {error.filename}") from None
    if done.returncode != 0:
        words = log.read_bytes()[begin:] if log else done.stderr or done.stdout
        where = f" (whole log: {log})" if log else ""
        what = f"`{' '.join(map(str, argv[:4]))} …` ended with {done.returncode}{where}"
        raise DevClusterError(f"{what}:\n{tail(words.decode(errors='replace'))}")
    return (done.stdout or b"").decode()


def tail(text: str, lines: int = 8) -> str:
    """The last `lines` lines that are not empty."""
    return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])
