"""DAG files -> what is to be done, and the doing."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import libcst as cst

from podenv.catalogue import scaffold
from podenv.catalogue.environment import Catalogue
from podenv.errors import DagFileInvalid, PodenvError
from podenv.migrate import changes, uses
from podenv.migrate.decide import Change, Decider
from podenv.migrate.edit import edit
from podenv.migrate.findings import FileChange, Left, Migration, Proposal, Remark, Task
from podenv.migrate.functions import Functions
from podenv.migrate.literals import Source
from podenv.migrate.naming import Namer
from podenv.migrate.packages import Unfit


def plan(files: Sequence[Path], catalogue: Path, *, python: str) -> Migration:
    """What is to be done for ``files``; ``python`` is the version where a task names none. Nothing is written.

    A file that cannot be read has its ``error``; the others are handled all the same.
    """
    migration = Migration(catalogue)
    namer = Namer(Catalogue(catalogue))
    for file in files:
        change = FileChange(file)
        migration.files.append(change)
        try:
            _read(change, migration, namer, python)
        except PodenvError as error:
            change.error = error
    for proposal in migration.proposals:
        if proposal.new is not None:
            proposal.new = replace(proposal.new, description=_description(proposal))
    return migration


def write(migration: Migration) -> None:
    """Make the environments and edit the files, each wholly or not at all; what fails is in the file's ``error``.

    An environment that cannot be made fails the files that need it.
    """
    failed: dict[str, PodenvError] = {}
    for proposal in migration.proposals:
        if proposal.new is not None:
            try:
                scaffold.create(migration.catalogue, proposal.new)
            except PodenvError as error:
                failed[proposal.name] = error
    for change in migration.files:
        if not change.changed:
            continue
        needed = [one.name for one in migration.proposals if any(task.file == change.file for task in one.tasks)]
        why = next((failed[name] for name in needed if name in failed), None)
        try:
            if why is not None:
                raise why
            changes.put(change, again="migrate again")
        except PodenvError as error:
            change.error = error


def diff_of_new(migration: Migration, proposal: Proposal, catalogue: str) -> str:
    """The files of a new environment in the folder ``catalogue``, as a unified diff."""
    assert proposal.new is not None
    texts = proposal.new.texts(schema=(migration.catalogue / scaffold.SCHEMA).is_file())
    return "".join(
        line
        for name, text in texts.items()
        for line in changes.unified("", text, "/dev/null", f"{catalogue}/{proposal.name}/{name}")
    )


def line_after(change: FileChange, line: int) -> int:
    """Where a line of the file as it was stands in the file as it is now."""
    if not change.written:
        return line
    before, after = change.before.splitlines(), change.after.splitlines()
    for tag, begin, end, other, _ in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if begin < line <= end:
            return other + (line - begin if tag == "equal" else 1)
    return line


def _read(change: FileChange, migration: Migration, namer: Namer, python: str) -> None:
    functions, source = _parse(change)
    if source is None:
        return
    found = uses.find(source)
    migration.left += [Left(change.file, *other) for other in found.others]
    decider = Decider(source, functions, change.file, python=python)
    decisions: list[tuple[Change, str]] = []
    for use in found.uses:
        try:
            decided = decider.change(use)
        except Unfit as why:
            migration.left.append(Left(change.file, use.line, use.what, str(why)))
            continue
        proposal = namer.proposal(decided.wish)
        if proposal not in migration.proposals:
            migration.proposals.append(proposal)
        proposal.tasks.append(Task(change.file, use.line, use.what, decided.name, proposal.name))
        migration.remarks += [Remark(change.file, line, text) for line, text in dict.fromkeys(decided.remarks)]
        decisions.append((decided, proposal.name))
    migration.left.sort(key=lambda one: (str(one.file), one.line))
    change.after = edit(source, decisions).bytes if decisions else change.before


def _parse(change: FileChange) -> tuple[Functions, Source | None]:
    """What the file holds, and its layout where there may be something to change."""
    file = change.file
    try:
        change.before = change.after = file.read_bytes()
        functions = Functions(change.before, file)
        return functions, Source(cst.parse_module(change.before)) if uses.may_be_in(change.before) else None
    except OSError as error:
        raise DagFileInvalid(f"{file} cannot be read: {error.strerror}; check the path.") from None
    except SyntaxError as error:
        where = f"{file}:{error.lineno}" if error.lineno else str(file)
        raise DagFileInvalid(
            f"{where}: it does not parse as Python: {error.msg}. Correct it, then migrate again."
        ) from None
    except cst.ParserSyntaxError as error:
        raise DagFileInvalid(f"{file}:{error.raw_line}: it does not parse: {error.message}.") from None
    except (ValueError, RecursionError) as error:
        raise DagFileInvalid(f"{file}: it does not parse as Python: {error}.") from None


def _description(proposal: Proposal) -> str:
    tasks = list(dict.fromkeys(f"{task.name} of {task.file.stem}" for task in proposal.tasks))
    return f"For {tasks[0]}" + (f" and {len(tasks) - 1} more" if len(tasks) > 1 else "")
