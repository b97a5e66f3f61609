"""Rules about environments as a whole: their names, their locks, and the commands that run in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from podenv import lock
from podenv.catalogue.environment import Catalogue, Environment
from podenv.check import standard
from podenv.check.findings import Finding
from podenv.check.sources import shown
from podenv.check.subject import Subject
from podenv.check.tasks import Task
from podenv.errors import (
    LockMissing,
    LockStale,
    PodenvError,
    RequirementsInvalid,
    RequirementsMissing,
    UnknownEnvironment,
)

# What the base image of Debian has in its bin folders, and every Python.
_SYSTEM = frozenset(
    word
    for words in (
        "awk basename bash cat chmod cp cut date dd df diff dirname du echo env expr false find grep gunzip gzip head",
        "hostname id install kill ln ls mkdir mktemp mv nice nohup perl printenv printf pwd python python3 readlink",
        "realpath rm rmdir sed seq sh sha256sum sleep sort split stat sync tail tar tee test timeout touch tr true",
        "uname uniq wc which whoami xargs yes",
    )
    for word in words.split()
)
_PYTHONS = ("python", "python3")


def unknown(tasks: Sequence[Task], catalogue: Catalogue) -> Iterator[Finding]:
    """Names that are not in the catalogue, and environments whose values are wrong."""
    for task in tasks:
        if task.environment is None:
            continue
        try:
            catalogue[task.environment]
        except UnknownEnvironment as error:
            message, remedy = _split(str(error).replace(str(catalogue.root), shown(catalogue.root)))
        except PodenvError as error:
            message, remedy = str(error).replace(str(catalogue.root), shown(catalogue.root)), ""
        else:
            continue
        yield Finding(
            "unknown-environment", task.file.name, task.line, task.column, message, remedy, task.dag, task.task,
            task.environment,
        )  # fmt: skip


def _split(text: str) -> tuple[str, str]:
    """A message of ours as what is wrong, and what to do."""
    message, dot, remedy = text.partition(". ")
    return message + dot.rstrip(), remedy


def lock_state(environment: Environment) -> Iterator[Finding]:
    """What is wrong with a lock, or with what it is made from. Raises `LockError` where that cannot be told."""
    try:
        lock.check(environment)
    except (LockMissing, RequirementsMissing) as error:
        yield _of_lock("lock-missing", environment, str(error))
    except (LockStale, RequirementsInvalid) as error:
        yield _of_lock("lock-stale", environment, str(error))


def _of_lock(rule: str, environment: Environment, text: str) -> Finding:
    file = environment.lock_file if rule == "lock-stale" else environment.folder / "values.yaml"
    message, _, remedy = text.replace(f"{environment.folder}/", f"{shown(environment.folder)}/").partition("; ")
    return Finding(
        rule, shown(file), 1, 1, f"{message}.", f"{remedy[:1].upper()}{remedy[1:]}", environment=environment.name
    )


def unused(catalogue: Catalogue, used: frozenset[str]) -> Iterator[Finding]:
    """Environments that no task names. Asked only where every file could be read and every name is written out."""
    for name in catalogue.names():
        if name not in used:
            yield Finding(
                "unused-environment", shown(catalogue.root / name / "values.yaml"), 1, 1,
                f"No task uses {name!r}.", "Remove its folder, or leave it for code that is elsewhere.",
                environment=name,
            )  # fmt: skip


def commands(subject: Subject) -> Iterator[Finding]:
    """Programs, and modules of `python -m`, that the environment does not have."""
    if subject.modules is None or subject.modules.open:
        return
    image = subject.environment.spec.image
    whole = not (subject.environment.spec.system_packages or image.containerfile or image.external)
    for task in subject.tasks:
        if not task.command or "{{" in task.command[0]:
            continue
        program, *rest = task.command
        if program in _PYTHONS and rest[:1] == ["-m"] and len(rest) > 1:
            message = _module(subject, rest[1])
        elif whole and "/" not in program and program not in _SYSTEM and program not in subject.modules.programs:
            message = f"{subject.name!r} has no program `{program}`."
        else:
            message = ""
        if message:
            yield Finding(
                "command", task.file.name, task.line, task.column, message,
                f"Add the package that brings it to {shown(subject.environment.source)}, or correct the name.",
                task.dag, task.task, subject.name,
            )  # fmt: skip


def _module(subject: Subject, module: str) -> str:
    modules, top = subject.modules, module.partition(".")[0]
    assert modules is not None
    known = standard.names(subject.environment.python)
    if "{{" in module or known is None or top in known or subject.sources.has(top):
        return ""
    if modules.missing(module) is not None:
        return f"{subject.name!r} has no module `{module}` to run."
    if module in modules.packages and f"{module}.__main__" not in modules:
        return f"`python -m {module}` cannot run: the package has no `__main__`."
    return ""
