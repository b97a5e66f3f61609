"""The body of a lock, by uv: every version with its hashes, on every platform that the lock holds for."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from packaging.requirements import InvalidRequirement

from podenv import process
from podenv.catalogue.environment import Environment
from podenv.errors import LockMissing, ProgramFailed
from podenv.lock import (
    exports,
    indexes,
    lockfile,
    packages,
    platforms,
    program,
    requirements,
    sources,
    toml,
    uvoutput,
    wheels,
)
from podenv.lock.packages import OwnPackage
from podenv.lock.refusal import explain
from podenv.lock.requirements import Requested
from podenv.lock.uvoutput import COMMITS, EXPORTED, OWN_PACKAGES

_TIMEOUT = 1800.0  # seconds; a resolution that builds packages from source can be slow
_FIXED = (
    "--format", "requirements.txt", "--universal", "--python", sys.executable, "--no-python-downloads",
    "--fork-strategy", "fewest", "--only-binary", ":all:", "--generate-hashes", "--no-strip-markers", "--no-header",
    "--annotation-style", "split", "--no-emit-index-url", "--no-emit-find-links", "--no-emit-index-annotation",
    "--no-progress", "--color", "never",
)  # fmt: skip
Word = str | Path
Listener = Callable[[str], None]
Built = Sequence[tuple[OwnPackage, Path]]  # the project's own packages with their wheels


def body(
    environment: Environment, requested: Requested, scratch: Path, *, upgrade: bool, on_line: Listener | None
) -> str:
    """What uv resolves the source of the lock to; ``scratch`` is a folder beside it.

    Raises `LockError` and what is below it, `ProgramNotFound`.
    """
    own = [
        (package, wheels.build(environment, package, log=on_line or (lambda _: None)))
        for package in packages.of(environment)
    ]
    exported = exports.lines(environment) if sources.kind(environment) in ("uv.lock", "pylock.toml") else ""
    words: list[Word] = [
        *_inputs(environment, scratch, exported), *_own_inputs(own, scratch),
        *(word for name in sorted({*requested.git, *requested.no_binary}) for word in ("--no-binary", name)),
        *(["--upgrade"] if upgrade else _kept_commits(environment, requested, scratch)),
    ]  # fmt: skip
    try:
        text = solve(environment, words, scratch, on_line)
    except ProgramFailed as error:
        raise explain(environment, error.stderr) from None
    text = uvoutput.with_refs(uvoutput.without_our_reasons(text), requested)
    text = uvoutput.without(text, {package.name for package, _ in own})
    if exported:
        shown = os.path.relpath(environment.source, environment.folder)
        text = text.replace(f"-r {scratch.name}/{EXPORTED}", shown)
        text = exports.with_hashes_of(text, exported, environment)
    return "".join(lockfile.own_line(package, wheels.version(wheel)) for package, wheel in own) + text


def solve(environment: Environment, words: Sequence[Word], scratch: Path, on_line: Listener | None = None) -> str:
    """What uv writes for the inputs and options ``words``, without what only a pin asked for.

    Raises `ProgramFailed` with uv's words where it finds nothing, and `ProgramTimedOut`, `ProgramNotFound`.
    """
    _lay_out(environment, scratch)
    argv = [program.uv(), "pip", "compile", *words, "--python-version", environment.python]
    output = scratch / "requirements.txt"
    output.write_text(_preferences(environment))
    explicit = indexes.named(environment)
    while True:
        run = [*argv, *_lay_out_pins(environment, explicit, scratch), *_FIXED, "--project", scratch]
        run += ["--output-file", output]
        try:
            process.run(run, cwd=environment.folder, env=program.uv_variables(), timeout=_TIMEOUT, on_line=on_line)
        except ProgramFailed as error:
            said = uvoutput.simplified(environment, error.stderr)
            raise ProgramFailed(error.program, error.returncode, said) from None
        text = output.read_text()
        needed = [name for name in explicit if not uvoutput.is_needed_by_pins_alone(text, name)]
        if needed == explicit:
            return uvoutput.simplified(environment, text)
        explicit = needed


def _inputs(environment: Environment, scratch: Path, exported: str) -> list[Word]:
    """What uv is to read: files as seen from the environment's folder, since it names them in the lock."""
    own = environment.requirements_in
    # Beside a source, only options stand in it; uv warns of a file with nothing in it.
    options: list[Word] = [own.name] if own.exists() and requirements.read(own).lines else []
    chosen = environment.spec.source
    if chosen is None:
        return options if environment.spec.packages else [own.name]
    if exported:
        (scratch / EXPORTED).write_text(exported)
        # What the project's own packages need is not in it; all that is in it has one version.
        return [f"{scratch.name}/{EXPORTED}", *options, *([] if environment.spec.packages else ["--no-deps"])]
    file = os.path.relpath(environment.source, environment.folder)
    extras = [word for extra in chosen.extras for word in ("--extra", extra)]
    groups = [word for group in chosen.groups for word in ("--group", f"{file}:{group}")]
    return [file, *options, *extras, *groups]


def _own_inputs(own: Built, scratch: Path) -> list[Word]:
    """The project's own packages, which go before those of the same name elsewhere."""
    if not own:
        return []
    (scratch / OWN_PACKAGES).write_text("".join(f"{package.name} @ {wheel.as_uri()}\n" for package, wheel in own))
    here = [word for package, _ in own for word in ("--no-sources-package", package.name)]
    return [f"{scratch.name}/{OWN_PACKAGES}", *here]


def _lay_out(environment: Environment, scratch: Path) -> None:
    """A project that says what uv resolves for, and from which indexes."""
    # Only `environments` of a project says that no other Python or system matters: without it uv resolves for every
    # later Python too, and refuses numpy 1.24 with pandas 2.1 on 3.11 because 3.12 could not have both.
    chosen = platforms.of(environment)
    required = [platforms.marker(one) for one in chosen]
    (scratch / "pyproject.toml").write_text(
        f"[tool.uv]\nenvironments = {json.dumps(uvoutput.environments(environment))}\n"
        f"required-environments = {json.dumps(required)}\n"
        f"{_settings(environment)}{indexes.project(environment, table='tool.uv.index')}"
    )


def _settings(environment: Environment) -> str:
    """What the project of the source tells uv of its dependencies."""
    if sources.kind(environment) != "pyproject.toml":
        return ""
    told = sources.project(environment).told
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


def _kept_commits(environment: Environment, requested: Requested, scratch: Path) -> list[Word]:
    """Options that keep the commits of the old lock where the same is asked for; uv keeps only versions itself."""
    try:
        old = lockfile.read(environment).decode(errors="replace")
    except LockMissing:
        return []
    kept = [f"{one}\n" for one, asked in uvoutput.refs(old) if requested.git.get(requirements.name(one)) == asked]
    (scratch / COMMITS).write_text("".join(kept))
    return ["--override", scratch / COMMITS] if kept else []
