"""requirements.in -> the body of a lock, by uv: every version with its hashes, on Linux and macOS."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from packaging.requirements import InvalidRequirement

from podenv import process
from podenv.catalogue.environment import Environment
from podenv.errors import LockError, LockMissing, ProgramFailed
from podenv.lock import indexes, lockfile, platforms, program, requirements
from podenv.lock.refusal import check_body, explain
from podenv.lock.requirements import Requested

_SCRATCH = ".podenv-lock-"
_BY_PINS = re.compile(rf"^ +#(?: via|  ) {indexes.PINS} \(.*\)\n?", re.MULTILINE)
_ONLY_BY_PINS = re.compile(rf"# via {indexes.PINS} \(.*\)")
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
            check_body(environment, requested, body)
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
    environment: Environment, uv: Path, scratch: Path, *, upgrade: bool, on_line: Callable[[str], None] | None
) -> str:
    """What uv resolves requirements.in to."""
    _lay_out(environment, scratch)
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
    explicit = indexes.named(environment)
    while True:
        pins = _lay_out_pins(environment, explicit, scratch)
        try:
            run = [*argv, *pins]
            process.run(run, cwd=environment.folder, env=program.uv_variables(), timeout=_TIMEOUT, on_line=on_line)
        except ProgramFailed as error:
            raise explain(environment, _simplify(environment, error.stderr)) from None
        body = output.read_text()
        needed = [name for name in explicit if not _is_needed_by_pins_alone(body, name)]
        if needed == explicit:
            return _simplify(environment, _BY_PINS.sub("", body))
        explicit = needed  # what only the pins asked for, nothing of the environment needs


def _lay_out(environment: Environment, scratch: Path) -> None:
    """A project that says what uv resolves for, and from which indexes."""
    # Only `environments` of a project says that no other Python or system matters: without it uv resolves for every
    # later Python too, and refuses numpy 1.24 with pandas 2.1 on 3.11 because 3.12 could not have both.
    chosen = platforms.of(environment)
    possible = [f"{_below(environment.python)} and sys_platform == '{one}'" for one in platforms.systems(chosen)]
    required = [platforms.marker(one) for one in chosen]
    (scratch / "pyproject.toml").write_text(
        f"[tool.uv]\nenvironments = {json.dumps(possible)}\nrequired-environments = {json.dumps(required)}\n"
        f"{indexes.project(environment, table='tool.uv.index')}"
    )


def _lay_out_pins(environment: Environment, names: Sequence[str], scratch: Path) -> list[Path]:
    """A second input of uv's, where packages have an index of their own."""
    project = indexes.pins(environment, names)
    if not project:
        return []
    file = scratch / indexes.PINS / "pyproject.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(project)
    return [file]


def _is_needed_by_pins_alone(body: str, name: str) -> bool:
    """True if every entry of the package ends with the one reason that the pins ask for it."""
    entries = re.findall(rf"^{re.escape(name)}(?:==| @ ).*\n(?: +--hash.*\n)*((?: +#.*\n?)*)", body, re.MULTILINE)
    return bool(entries) and all(_ONLY_BY_PINS.fullmatch(reasons.strip()) for reasons in entries)


def _below(python: str) -> str:
    minor = int(python.partition(".")[2])
    return f"python_full_version < '3.{minor + 1}'"


def _simplify(environment: Environment, text: str) -> str:
    """``text`` without the conditions that hold in every environment of this Python."""
    below = _below(environment.python)
    each = [f"sys_platform == '{one}'" for one in platforms.systems(platforms.of(environment))]
    systems = f"({' or '.join(sorted(each))})" if len(each) > 1 else each[0]
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
    if lockfile.has_its_hashes(environment, old):
        return text
    pins = []
    for _, line in requirements.logical_lines(text):
        with suppress(InvalidRequirement):
            pins.append(f"{requirements.parse(line)}\n")
    return "".join(pins)


def _options(requested: Requested) -> str:
    """Whoever installs from the lock builds nothing from source, except what requirements.in names."""
    from_source = "".join(f"--no-binary {name}\n" for name in sorted(set(requested.no_binary)))
    return f"--only-binary :all:\n{from_source}\n"
