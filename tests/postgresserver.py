"""A PostgreSQL of this machine's programs, on a Unix socket in a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def programs() -> Path | None:
    """The folder with `initdb` and `pg_ctl`, which Debian keeps off PATH; None where this machine has none."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda one: int(one.parent.name), default=None)


@contextmanager
def running(timezone: str) -> Iterator[str]:
    """The address of an empty database, whose sessions have ``timezone``, while this lasts."""
    found = programs()
    assert found is not None
    user = "postgres" if os.geteuid() == 0 else None  # it does not run as root
    folder = Path(tempfile.mkdtemp(prefix="podenv-postgres-"))
    shutil.chown(folder, user or os.geteuid())
    data, log = folder / "data", folder / "log"

    def run(program: str, *words: str) -> None:
        command = [str(found / program), "-D", str(data), *words]
        done = subprocess.run(command, user=user, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr + (log.read_text() if log.is_file() else "")

    try:
        run("initdb", "--no-sync", "--auth=trust", "--username=podenv", "--encoding=UTF8", "--locale=C.UTF-8")
        settings = f"-k {folder} -c listen_addresses= -c fsync=off -c timezone={timezone}"
        run("pg_ctl", "--wait", "--log", str(log), "--options", settings, "start")
        try:
            yield f"postgresql+psycopg2://podenv@/postgres?host={folder}"
        finally:
            run("pg_ctl", "--wait", "--mode=immediate", "stop")
    finally:
        shutil.rmtree(folder)
