"""requirements.in -> the body of a lock, by uv: every version with its hashes, on Linux and macOS."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from packaging.requirements import InvalidRequirement

from podenv import causes, process
from podenv.catalogue.environment import Environment
from podenv.errors import LockError, LockMissing, ProgramFailed, ResolutionFailed
from podenv.lock import lockfile, program, requirements
from podenv.lock.requirements import Requested

_SCRATCH = ".podenv-lock-"
_SYSTEMS = ("linux", "darwin")
_TIMEOUT = 1800.0  # seconds; a resolution that builds packages from source can be slow


def resolve(environment: Environment, *, upgrade: bool = False, on_line: Callable[[str], None] | None = None) -> bool:
    """Write the lock; whether it changed.

    A lock that is fresh is left alone; else the versions in it are kept where requirements.in allows, unless
    ``upgrade``. ``on_line`` gets what uv says. Raises `LockError` and what is below it, `ProgramNotFound`.
    """
    requested = requirements.read(environment.requirements_in)
    with suppress(LockMissing):
        if not upgrade and not lockfile.stale(environment, requested, lockfile.read(environment)):
            return False
    uv = program.uv()
    try:
        with _scratch(environment.folder) as scratch:
            body = _compile(environment, uv, scratch, upgrade=upgrade, on_line=on_line)
            return lockfile.write(
                environment, requested, (_options(requested) + body).encode(), beside=scratch / "lock"
            )
    except OSError as error:
        raise LockError(
            f"{environment.lock_file} cannot be written: {error.strerror}; the old lock, if any, is unchanged."
        ) from None


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder inside ``folder`` for one process at a time; what a killed one left behind is removed."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems have no locks; the rename is safe without
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        for leftover in folder.glob(f"{_SCRATCH}*"):
            shutil.rmtree(leftover)
        with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=folder) as scratch:
            yield Path(scratch)
    finally:
        os.close(descriptor)


def _compile(
    environment: Environment,
    uv: Path,
    scratch: Path,
    *,
    upgrade: bool,
    on_line: Callable[[str], None] | None,
) -> str:
    """What uv resolves requirements.in to."""
    # Only `environments` of a project says that no other Python or system matters: without it uv resolves for every
    # later Python too, and refuses numpy 1.24 with pandas 2.1 on 3.11 because 3.12 could not have both.
    wanted = [f"{_below(environment.python)} and sys_platform == '{system}'" for system in _SYSTEMS]
    (scratch / "pyproject.toml").write_text(f"[tool.uv]\nenvironments = {json.dumps(wanted)}\n")
    output = scratch / "requirements.txt"
    output.write_text(_preferences(environment))
    argv: list[str | Path] = [
        uv, "pip", "compile", environment.requirements_in.name, "--output-file", output, "--project", scratch,
        "--format", "requirements.txt", "--universal", "--python-version", environment.python,
        "--python", sys.executable, "--no-python-downloads", "--fork-strategy", "fewest",
        "--only-binary", ":all:", "--generate-hashes", "--no-strip-markers", "--no-header",
        "--annotation-style", "split", "--no-emit-index-url", "--no-emit-find-links", "--no-emit-index-annotation",
        "--no-progress", "--color", "never",
    ]  # fmt: skip
    if upgrade:
        argv.append("--upgrade")
    try:
        process.run(argv, cwd=environment.folder, env=program.uv_variables(), timeout=_TIMEOUT, on_line=on_line)
    except ProgramFailed as error:
        raise _failure(environment, _simplify(environment.python, error.stderr)) from None
    body = _simplify(environment.python, output.read_text())
    for _, line in requirements.logical_lines(body):
        if "--hash=" not in line:
            raise ResolutionFailed(
                f"Environment {environment.name!r}: {line!r} has no hash, so nothing could check what is installed; "
                f"replace what asks for it in {environment.requirements_in} by a published release."
            )
    return body


def _below(python: str) -> str:
    minor = int(python.partition(".")[2])
    return f"python_full_version < '3.{minor + 1}'"


def _simplify(python: str, text: str) -> str:
    """``text`` without the conditions that hold in every environment of this Python."""
    below = _below(python)
    systems = "(sys_platform == 'darwin' or sys_platform == 'linux')"
    for always in (f" ; {below} and {systems}", f"{below} and ", f" and {systems}"):
        text = text.replace(always, "")
    return text


def _preferences(environment: Environment) -> str:
    """The old lock for uv to begin from; only its versions where somebody else has written in it.

    uv takes hashes over from there without asking the index, so a wrong one would stay for ever.
    """
    try:
        old = lockfile.read(environment)
    except LockMissing:
        return ""
    text = old.decode(errors="replace")
    if lockfile.is_intact(old):
        return text
    pins = []
    for _, line in requirements.logical_lines(text):
        with suppress(InvalidRequirement):
            pins.append(f"{requirements.parse(line)}\n")
    return "".join(pins)


def _failure(environment: Environment, said: str) -> LockError:
    file = environment.requirements_in
    said = said.replace(" for split (markers: sys_platform == 'linux')", "").strip().removeprefix("error: ")
    kind = causes.find(causes.UV, said).kind
    what, remedy = f"uv cannot resolve {file}", ""
    if kind in ("network", "offline"):
        what = f"the package index cannot be reached to resolve {file}; check the network and UV_DEFAULT_INDEX"
    elif kind == "credentials":
        what = f"a package index wants other credentials to resolve {file}; check those in UV_DEFAULT_INDEX or ~/.netrc"
    elif "No solution found" in said:
        what = f"no set of versions satisfies {file}"
        if "for split (markers: sys_platform == 'darwin')" in said:
            remedy = "\n\npodenv: For a package that only Linux has, write `NAME ; sys_platform == 'linux'`."
        elif kind == "wheel":
            remedy = (
                "\n\npodenv: Only wheels are used; a line `--no-binary NAME` lets one package be built from source."
            )
    return ResolutionFailed(f"Environment {environment.name!r}: {what}. uv says:\n{said}{remedy}")


def _options(requested: Requested) -> str:
    """Whoever installs from the lock builds nothing from source, except what requirements.in names."""
    from_source = "".join(f"--no-binary {name}\n" for name in sorted(set(requested.no_binary)))
    return f"--only-binary :all:\n{from_source}\n"
