"""What uv puts into a virtual environment: what the lock names, then the project's own packages."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path

from podenv import lock, process
from podenv.catalogue.environment import Environment
from podenv.errors import LocalEnvironmentError
from podenv.lock import installation, packages, platforms, wheels
from podenv.venv.explain import add_platform


def check_system(environment: Environment) -> None:
    """Raise `LocalEnvironmentError` on another system: a lock for Linux alone lacks what only macOS needs."""
    chosen = platforms.of(environment)
    if sys.platform not in platforms.systems(chosen):
        raise LocalEnvironmentError(
            f"The lock of {environment.name!r} holds for {' and '.join(chosen)}, and this machine is "
            f"{platforms.here()}; {add_platform(environment)}."
        )


def install(
    environment: Environment, folder: Path, base: Path, *, log: Callable[[str], None], pass_fds: Collection[int]
) -> None:
    """Make ``folder`` a virtual environment of the interpreter ``base`` with all that the environment names.

    Raises `ProgramFailed`, `PackageUnusable`.
    """
    uv = lock.uv()
    variables = {"UV_COMPILE_BYTECODE": "1", **lock.uv_variables()}  # else the first task of many would compile it

    def run(*words: str | Path) -> None:
        argv = [uv, *words, "--color=never", "--no-progress"]
        process.run(argv, cwd=environment.folder, env=variables, pass_fds=pass_fds)

    own = [wheels.build(environment, package, log=log) for package in packages.of(environment)]
    run("venv", "--no-project", "--no-config", "--no-python-downloads", "--python", base, folder)
    target = ("--python", folder / "bin" / "python")
    with tempfile.TemporaryDirectory(prefix="podenv-sync-") as scratch:
        run("pip", "sync", *target, *installation.words(environment, Path(scratch)))
        if own:
            run("pip", "install", "--no-deps", "--no-index", "--project", scratch, *target, *own)
