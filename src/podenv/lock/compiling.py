"""The body of a lock, by uv: every version with its hashes, on every platform that the lock holds for."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from packaging.requirements import InvalidRequirement
from packaging.utils import canonicalize_name

from podenv import process
from podenv.catalogue.environment import Environment
from podenv.errors import LockMissing, ProgramFailed
from podenv.lock import exports, indexes, lockfile, platforms, program, requirements, sources, toml
from podenv.lock.refusal import explain
from podenv.lock.requirements import Requested

_COMMITS = "commits.txt"
# Reasons that are podenv's own: they name a folder that is gone.
_BY_PINS = re.compile(rf"^ +#(?: via|  ) (?:{indexes.PINS} \(.*\)|--override \S+{_COMMITS})\n?", re.MULTILINE)
_REF = "    # asked for: "
_ONLY_BY_PINS = re.compile(rf"# via {indexes.PINS} \(.*\)")
_EXPORTED = "exported.in"
_TIMEOUT = 1800.0  # seconds; a resolution that builds packages from source can be slow
Word = str | Path


def body(
    environment: Environment,
    requested: Requested,
    scratch: Path,
    *,
    upgrade: bool,
    on_line: Callable[[str], None] | None,
) -> str:
    """What uv resolves the source of the lock to; ``scratch`` is a folder beside it.

    Raises `LockError` and what is below it, `ProgramNotFound`.
    """
    uv = program.uv()
    _lay_out(environment, scratch)
    output = scratch / "requirements.txt"
    output.write_text(_preferences(environment))
    exported = exports.lines(environment) if sources.kind(environment) in ("uv.lock", "pylock.toml") else ""
    argv: list[Word] = [
        uv, "pip", "compile", *_inputs(environment, scratch, exported), "--output-file", output,
        "--project", scratch, "--format", "requirements.txt", "--universal", "--python-version", environment.python,
        "--python", sys.executable, "--no-python-downloads", "--fork-strategy", "fewest",
        "--only-binary", ":all:", "--generate-hashes", "--no-strip-markers", "--no-header",
        "--annotation-style", "split", "--no-emit-index-url", "--no-emit-find-links", "--no-emit-index-annotation",
        "--no-progress", "--color", "never", *(word for name in requested.git for word in ("--no-binary", name)),
    ]  # fmt: skip
    if upgrade:
        argv.append("--upgrade")
    else:
        argv += _kept_commits(environment, requested, scratch)
    explicit = indexes.named(environment)
    while True:
        run = [*argv, *_lay_out_pins(environment, explicit, scratch)]
        try:
            process.run(run, cwd=environment.folder, env=program.uv_variables(), timeout=_TIMEOUT, on_line=on_line)
        except ProgramFailed as error:
            raise explain(environment, _simplify(environment, error.stderr)) from None
        text = output.read_text()
        needed = [name for name in explicit if not _is_needed_by_pins_alone(text, name)]
        if needed == explicit:
            break
        explicit = needed  # what only the pins asked for, nothing of the environment needs
    text = _with_refs(_simplify(environment, _BY_PINS.sub("", text)), requested)
    if not exported:
        return text
    text = text.replace(f"-r {scratch.name}/{_EXPORTED}", os.path.relpath(environment.source, environment.folder))
    return exports.with_hashes_of(text, exported, environment)


def _inputs(environment: Environment, scratch: Path, exported: str) -> list[Word]:
    """What uv is to read: files as seen from the environment's folder, since it names them in the lock."""
    own = environment.requirements_in
    options: list[Word] = [own.name] if own.exists() else []  # beside a source, only options stand in it
    chosen = environment.spec.source
    if chosen is None:
        return [own.name]
    if exported:
        (scratch / _EXPORTED).write_text(exported)
        return [f"{scratch.name}/{_EXPORTED}", *options, "--no-deps"]
    file = os.path.relpath(environment.source, environment.folder)
    extras = [word for extra in chosen.extras for word in ("--extra", extra)]
    groups = [word for group in chosen.groups for word in ("--group", f"{file}:{group}")]
    return [file, *options, *extras, *groups]


def _lay_out(environment: Environment, scratch: Path) -> None:
    """A project that says what uv resolves for, and from which indexes."""
    # Only `environments` of a project says that no other Python or system matters: without it uv resolves for every
    # later Python too, and refuses numpy 1.24 with pandas 2.1 on 3.11 because 3.12 could not have both.
    chosen = platforms.of(environment)
    possible = [f"{_below(environment.python)} and sys_platform == '{one}'" for one in platforms.systems(chosen)]
    required = [platforms.marker(one) for one in chosen]
    (scratch / "pyproject.toml").write_text(
        f"[tool.uv]\nenvironments = {json.dumps(possible)}\nrequired-environments = {json.dumps(required)}\n"
        f"{_settings(environment)}{indexes.project(environment, table='tool.uv.index')}"
    )


def _settings(environment: Environment) -> str:
    """What the project of the source tells uv of its dependencies."""
    if sources.kind(environment) != "pyproject.toml":
        return ""
    told = sources.project(environment)
    return "".join(f"{key} = {toml.value(told[key])}\n" for key in sources.RESOLUTION if key in told)


def _lay_out_pins(environment: Environment, names: Sequence[str], scratch: Path) -> list[Path]:
    """A second input of uv's, where packages have an index of their own."""
    project = indexes.pins(environment, names)
    if not project:
        return []
    file = scratch / indexes.PINS / "pyproject.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(project)
    return [file]


def _kept_commits(environment: Environment, requested: Requested, scratch: Path) -> list[Word]:
    """Options that keep the commits of the old lock where the same is asked for; uv keeps only versions itself."""
    try:
        old = lockfile.read(environment).decode(errors="replace")
    except LockMissing:
        return []
    kept = []
    for line, asked in re.findall(rf"^(\S.*)\n{re.escape(_REF)}(.*)$", old, re.MULTILINE):
        with suppress(InvalidRequirement):
            one = requirements.parse(line)
            if requested.git.get(canonicalize_name(one.name)) == asked:
                kept.append(f"{one}\n")
    (scratch / _COMMITS).write_text("".join(kept))
    return ["--override", scratch / _COMMITS] if kept else []


def _with_refs(text: str, requested: Requested) -> str:
    """``text`` with what was asked for below each commit, so that a later lock can keep it."""
    lines = []
    for line in text.splitlines(keepends=True):
        lines.append(line)
        name, at, url = line.partition(" @ ")
        if at and requirements.is_git(url) and (asked := requested.git.get(canonicalize_name(name))):
            lines.append(f"{_REF}{asked}\n")
    return "".join(lines)


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
    # uv before 0.13.9 writes the same condition so.
    spelled_out = " or ".join(f"({below} and {one})" for one in sorted(each))
    text = text.replace(spelled_out, f"{below} and {systems}")
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
