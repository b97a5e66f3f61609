"""The type checker's part of a check: one process for each lock, and none for what was judged before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from podenv import process
from podenv.check import cache, engine, shelf
from podenv.check.findings import Skipped
from podenv.check.subject import Subject
from podenv.check.views import View
from podenv.errors import PodenvError

RULES = ("import-name", "attribute", "argument", "xcom-value")  # those that nothing else holds
NO_ENGINE = "ty is not installed: `pip install 'podenv[check]'`."
_AT_ONCE = 2  # locks that are unpacked, or judged, side by side
T = TypeVar("T")
R = TypeVar("R")


def side_by_side(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """The results of ``work``, two at once."""
    return process.side_by_side(work, items, at_once=_AT_ONCE)


def judge(subjects: Sequence[Subject], *, ask: bool) -> list[Skipped]:
    """Put what the type checker says into the views of ``subjects``; what it could not judge is returned.

    ``ask``: start it for what no result is kept of.
    """
    program = engine.find()
    if program is None:
        return _skipped(NO_ENGINE)
    groups: dict[Path, list[tuple[Subject, View]]] = defaultdict(list)
    for subject in subjects:
        if subject.shelf is not None:
            groups[subject.shelf.folder] += [(subject, view) for view in subject.views]
    found = side_by_side(lambda group: _judge_lock(program, group, ask=ask), list(groups.values()))
    if cache.sweep():
        shelf.remove_unused()
    return [one for each in found for one in each]


def _judge_lock(program: Path, group: list[tuple[Subject, View]], *, ask: bool) -> list[Skipped]:
    """Have the views of one lock judged."""
    beside = sorted({(_place(subject, one.path), one.text) for subject, _ in group for one in subject.beside})
    todo = list(_not_kept(group, engine.version_of(program), beside))
    if not todo:
        return []
    if not ask:
        return _skipped("the type checker was not asked.")
    subject = group[0][0]
    assert subject.shelf is not None
    assert subject.modules is not None
    try:
        found = engine.run(program, subject.shelf, subject.modules, [view.text for _, view in todo], beside)
    except PodenvError as error:
        return _skipped(str(error), failed=True)
    for (key, view), raw in zip(todo, found, strict=True):
        view.judged = raw
        cache.write(key, raw)
    return []


def _not_kept(
    group: list[tuple[Subject, View]], version: str, beside: Sequence[tuple[str, str]]
) -> Iterator[tuple[str, View]]:
    """The views of which no result is kept, with the key of it; the others get theirs."""
    for subject, view in group:
        assert subject.shelf is not None
        platform = shelf.platform_name(subject.environment)
        key = cache.key(view.text, lock=subject.shelf.folder.name, platform=platform, version=version, beside=beside)
        kept = cache.read(key)
        if kept is None:
            yield key, view
        else:
            view.judged = kept


def _place(subject: Subject, path: Path) -> str:
    """Where a module stands below the folder that it is imported from."""
    root = next((root for root in subject.sources.roots if path.is_relative_to(root)), path.parent)
    return path.relative_to(root).as_posix()


def _skipped(why: str, *, failed: bool = False) -> list[Skipped]:
    return [Skipped(rule, why, failed) for rule in RULES]
