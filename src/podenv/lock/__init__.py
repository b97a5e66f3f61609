"""requirements.in -> requirements.txt: every version with its hashes, for one Python, on Linux and macOS.

The first lines of a lock say what it was made from, so that a stale one is noticed without network or program:

    # This file is written by `podenv lock <name>`; edit requirements.in instead.
    # podenv-lock 1: python 3.11, inputs sha256:<64 hex digits>, body sha256:<64 hex digits>

``inputs`` is a hash over requirements.in with all it includes and the Python version, ``body`` over what follows.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from podenv import process
from podenv.catalogue.environment import Environment
from podenv.errors import LockError, LockMissing, LockStale, ProgramFailed, ResolutionFailed
from podenv.lock import requirements

FORMAT = 1
_HEADER = re.compile(
    r"# This file is written by `podenv lock [^\n]*\n"
    r"# podenv-lock (?P<format>\d+): python (?P<python>\S+), "
    r"inputs sha256:(?P<inputs>[0-9a-f]{64}), body sha256:(?P<body>[0-9a-f]{64})\n"
)
_SCRATCH = ".podenv-lock-"
_SYSTEMS = ("linux", "darwin")
# Settings of uv that would change what one requirements.in resolves to, or hide the limits set here.
_UV_IGNORED = ("UV_CONSTRAINT", "UV_EXCLUDE", "UV_NO_CONFIG", "UV_OVERRIDE", "UV_PROJECT", "UV_WORKING_DIR")
_UNREACHABLE = re.compile(r"Failed to fetch|error sending request|Network connectivity is disabled|dns error")
_NO_WHEEL = re.compile(r"no (usable |\S+-compatible )?wheels|Wheels are required")
_TIMEOUT = 1800.0  # seconds; a resolution that builds packages from source can be slow


def uv() -> Path:
    """The uv program: the one installed beside podenv, else from PATH; raises `ProgramNotFound`."""
    try:
        from uv import find_uv_bin

        return Path(find_uv_bin())
    except (ImportError, FileNotFoundError):
        return process.find_program("uv", "Install it with `pip install 'podenv[cli]'` or `pip install uv`.")


def uv_variables() -> dict[str, str]:
    """This process's variables, but for those that would let what uv does and says depend on more than the lock."""
    kept = {name: value for name, value in os.environ.items() if name not in _UV_IGNORED}
    return {**kept, "COLUMNS": "100000"}  # else uv breaks its sentences at the terminal's width


def lock_hash(environment: Environment) -> str:
    """SHA-256 of the lock's bytes, in hex; raises `LockMissing`."""
    return hashlib.sha256(_read(environment)).hexdigest()


def check(environment: Environment) -> None:
    """Return when the lock is what requirements.in and the values ask for.

    Starts no program and uses no network. Raises `RequirementsMissing`, `RequirementsInvalid`, `LockMissing`,
    `LockStale`.
    """
    requested = requirements.read(environment.requirements_in)
    why = _stale(environment, requested, _read(environment))
    if why:
        raise LockStale(f"{environment.lock_file} {why}; run `podenv lock {environment.name}`.")


def direct(environment: Environment) -> list[str]:
    """The normalised names that requirements.in asks for, each once, in its order."""
    return list(dict.fromkeys(requirements.read(environment.requirements_in).names))


def pinned(environment: Environment, *, markers: Mapping[str, str] | None = None) -> dict[str, str]:
    """Normalised name -> version of all that the lock installs where ``markers`` hold; None: on this machine.

    Raises `LockMissing`.
    """
    markers = _markers(environment.python) if markers is None else markers
    found: dict[str, str] = {}
    for _, line in requirements.logical_lines(_read(environment).decode(errors="replace")):
        with suppress(InvalidRequirement):  # an option line
            one = requirements.parse(line)
            if one.marker is None or one.marker.evaluate(dict(markers)):
                pin = next(iter(one.specifier), None)
                found[canonicalize_name(one.name)] = pin.version if pin else _version_in(one.url or "")
    return found


def resolve(environment: Environment, *, upgrade: bool = False, on_line: Callable[[str], None] | None = None) -> bool:
    """Write the lock; whether it changed.

    A lock that is fresh is left alone; else the versions in it are kept where requirements.in allows, unless
    ``upgrade``. ``on_line`` gets what uv says. Raises `LockError` and what is below it, `ProgramNotFound`.
    """
    requested = requirements.read(environment.requirements_in)
    with suppress(LockMissing):
        if not upgrade and not _stale(environment, requested, _read(environment)):
            return False
    program = uv()
    try:
        with _scratch(environment.folder) as scratch:
            body = _compile(environment, program, scratch, upgrade=upgrade, on_line=on_line)
            return _write(environment, requested, body, beside=scratch / "lock")
    except OSError as error:
        raise LockError(
            f"{environment.lock_file} cannot be written: {error.strerror}; the old lock, if any, is unchanged."
        ) from None


def _read(environment: Environment) -> bytes:
    try:
        return environment.lock_file.read_bytes()
    except FileNotFoundError:
        raise LockMissing(f"{environment.lock_file} is missing; run `podenv lock {environment.name}`.") from None
    except OSError as error:
        raise LockError(f"{environment.lock_file} cannot be read: {error.strerror}.") from None


@dataclass(frozen=True)
class _Header:
    format: int
    python: str
    inputs: str
    body: str
    intact: bool  # whether the body is the one that was written


def _header(lock: bytes) -> _Header | None:
    match = _HEADER.match(lock.decode(errors="replace"))
    if match is None:
        return None
    rest = lock.split(b"\n", 2)[2]
    intact = hashlib.sha256(rest).hexdigest() == match["body"]
    return _Header(int(match["format"]), match["python"], match["inputs"], match["body"], intact)


def _stale(environment: Environment, requested: requirements.Requested, lock: bytes) -> str:
    """Why the lock is not what is asked for; an empty text when it is."""
    header = _header(lock)
    if header is None:
        return "was not written by podenv"
    if header.format != FORMAT:
        return f"is in format {header.format}, this podenv reads and writes {FORMAT}"
    if header.python != environment.python:
        return f"is for Python {header.python}, the values ask for {environment.python}"
    if header.inputs != _inputs(environment.python, requested):
        return "is older than requirements.in or a file that it includes"
    if not header.intact:
        return "was changed by hand"
    return ""


def _inputs(python: str, requested: requirements.Requested) -> str:
    return hashlib.sha256(json.dumps([FORMAT, python, requested.lines]).encode()).hexdigest()


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
    program: Path,
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
        program, "pip", "compile", environment.requirements_in.name, "--output-file", output, "--project", scratch,
        "--format", "requirements.txt", "--universal", "--python-version", environment.python,
        "--python", sys.executable, "--no-python-downloads", "--fork-strategy", "fewest",
        "--only-binary", ":all:", "--generate-hashes", "--no-strip-markers", "--no-header",
        "--annotation-style", "split", "--no-emit-index-url", "--no-emit-find-links", "--no-emit-index-annotation",
        "--no-progress", "--color", "never",
    ]  # fmt: skip
    if upgrade:
        argv.append("--upgrade")
    try:
        process.run(argv, cwd=environment.folder, env=uv_variables(), timeout=_TIMEOUT, on_line=on_line)
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
        old = _read(environment)
    except LockMissing:
        return ""
    text = old.decode(errors="replace")
    header = _header(old)
    if header is not None and header.intact:
        return text
    pins = []
    for _, line in requirements.logical_lines(text):
        with suppress(InvalidRequirement):
            pins.append(f"{requirements.parse(line)}\n")
    return "".join(pins)


def _failure(environment: Environment, said: str) -> LockError:
    file = environment.requirements_in
    said = said.replace(" for split (markers: sys_platform == 'linux')", "").strip().removeprefix("error: ")
    what, remedy = f"uv cannot resolve {file}", ""
    if "No solution found" in said:
        what = f"no set of versions satisfies {file}"
        if "for split (markers: sys_platform == 'darwin')" in said:
            remedy = "\n\npodenv: For a package that only Linux has, write `NAME ; sys_platform == 'linux'`."
        elif _NO_WHEEL.search(said):
            remedy = (
                "\n\npodenv: Only wheels are used; a line `--no-binary NAME` lets one package be built from source."
            )
    elif _UNREACHABLE.search(said):
        what = f"the package index cannot be reached to resolve {file}; check the network and UV_DEFAULT_INDEX"
    return ResolutionFailed(f"Environment {environment.name!r}: {what}. uv says:\n{said}{remedy}")


def _options(requested: requirements.Requested) -> str:
    """Whoever installs from the lock builds nothing from source, except what requirements.in names."""
    from_source = "".join(f"--no-binary {name}\n" for name in sorted(set(requested.no_binary)))
    return f"--only-binary :all:\n{from_source}\n"


def _write(environment: Environment, requested: requirements.Requested, resolved: str, *, beside: Path) -> bool:
    body = (_options(requested) + resolved).encode()
    header = (
        f"# This file is written by `podenv lock {environment.name}`; edit requirements.in instead.\n"
        f"# podenv-lock {FORMAT}: python {environment.python}, inputs sha256:{_inputs(environment.python, requested)}, "
        f"body sha256:{hashlib.sha256(body).hexdigest()}\n"
    ).encode()
    with suppress(LockMissing):
        if _read(environment) == header + body:
            return False
    with beside.open("wb") as file:
        file.write(header + body)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(environment.lock_file)
    return True


def linux(python: str, machine: str) -> dict[str, str]:
    """The markers of a Linux with a late patch release of ``python``, whatever this machine is."""
    return {
        **_markers(python), "python_full_version": f"{python}.99", "implementation_version": f"{python}.99",
        "os_name": "posix", "sys_platform": "linux", "platform_system": "Linux", "platform_machine": machine,
        "platform_release": "", "platform_version": "",
    }  # fmt: skip


def _markers(python: str) -> dict[str, str]:
    """This machine as a lock's markers see it, with a late patch release of ``python``."""
    here = {key: str(value) for key, value in default_environment().items()}
    if here["python_version"] != python:
        here["python_version"], here["python_full_version"] = python, f"{python}.99"
    here["implementation_version"] = here["python_full_version"]
    return here


def _version_in(url: str) -> str:
    """The version in a wheel's address; the address itself for another archive."""
    try:
        return str(parse_wheel_filename(url.partition("#")[0].rpartition("/")[2])[1])
    except InvalidWheelFilename:
        return url
