"""What going back to an earlier revision changes. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from podenv.catalogue import names
from podenv.errors import ReleaseMissing
from podenv.release import manifest, pool
from podenv.release.manifest import Json, Path
from podenv.release.records import Record

_SHOWN_PATHS = 6  # that a line names
# What follows from the image or from other changes, and the versions of podenv and its chart.
_OF_IMAGE = {
    names.DIGEST_ANNOTATION, names.LOCK_ANNOTATION, names.VERSION_ANNOTATION, names.WARM_ANNOTATION,
    names.INPUTS_ANNOTATION, names.CHART_LABEL,
}  # fmt: skip
# Without it, a task starts cold.
_DISPENSABLE = "pods/attach"


@dataclass(frozen=True)
class RollbackPlan:
    """From the ``current`` revision to the ``goal``; what changes with it besides the image, and who loses access.

    ``newest`` is the number of the newest revision when the plan was made.
    """

    newest: int
    current: Record
    goal: Record
    changes: tuple[str, ...]
    lost_access: tuple[str, ...]


def plan(past: list[Record], revision: int | None = None) -> RollbackPlan:
    """The plan for going back to a revision, to the last good one where None; ``past`` is newest first, and not empty.

    Raises `ReleaseMissing` if there is no such revision.
    """
    current = next((one for one in past if one.status == "deployed"), past[0])
    goal = _goal(past, revision)
    return RollbackPlan(
        past[0].revision, current, goal, tuple(_changes(current, goal)), tuple(_lost_access(current, goal))
    )


def _goal(past: list[Record], revision: int | None) -> Record:
    name = past[0].name
    ours = [one for one in past if one.is_of_podenv]
    if revision is not None:
        found = next((one for one in ours if one.revision == revision), None)
        if found is None:
            known = ", ".join(str(one.revision) for one in ours)
            raise ReleaseMissing(f"Environment {name!r} has no revision {revision}; it has {known}.")
        return found
    # After a rollback, the revisions behind its goal were left for a reason.
    back = re.fullmatch(r"Rollback to (\d+)", past[0].description)
    before = int(back[1]) if back else past[0].revision
    good = [one for one in ours if one.revision < before and one.status == "superseded"]
    if not good:
        raise ReleaseMissing(
            f"Environment {name!r} has no earlier revision that was deployed; `podenv history {name}` shows all."
        )
    return good[0]


def _changes(current: Record, goal: Record) -> Iterator[str]:
    old, new = _by_identity(current), _by_identity(goal)
    for key in sorted(old | new):
        before, after = old.get(key), new.get(key)
        if before is None or after is None:
            yield f"{manifest.title(before or after or {})} is {'added' if before is None else 'removed'}"
        elif paths := _paths(before, after, current.digest, goal.digest):
            more = f" and {len(paths) - _SHOWN_PATHS} more" if len(paths) > _SHOWN_PATHS else ""
            yield f"{manifest.title(after)} changes: {', '.join(paths[:_SHOWN_PATHS])}{more}"


def _by_identity(record: Record) -> dict[tuple[str, str, str], Json]:
    return {manifest.identity(item): item for item in map(pool.without_hash, record.objects)}


def _paths(before: Json, after: Json, *digests: str) -> list[str]:
    """Where two objects differ, apart from what follows from the image."""
    forward = {path: (one, other) for path, one, other in manifest.changes(before, after)}
    added = {path: (one, other) for path, other, one in manifest.changes(after, before)}
    differing = {path: values for path, values in (forward | added).items() if not _is_of_image(path, values, digests)}
    return sorted(manifest.dotted(path) for path in differing)


def _is_of_image(path: Path, values: tuple[object, object], digests: tuple[str, ...]) -> bool:
    if path[-1] in _OF_IMAGE:
        return True
    both = zip(digests, values, strict=True)
    return path[-1] == "image" and all(digest and digest in str(value) for digest, value in both)


def _lost_access(current: Record, goal: Record) -> Iterator[str]:
    """Who may launch pods now but not afterwards, and which rights all who may launch pods lose."""
    remaining, rights = set(_subjects(goal)), set(_rights(goal))
    for subject in _subjects(current):
        if subject not in remaining:
            yield f"{subject} may no longer launch pods"
    if remaining:
        for right in _rights(current):
            if right not in rights:
                yield f"Airflow may no longer {right}"


def _subjects(record: Record) -> list[str]:
    found = []
    for item in record.objects:
        for subject in (item.get("subjects") or ()) if item["kind"] == "RoleBinding" else ():
            place = f"{subject['namespace']}/" if subject.get("namespace") else ""
            found.append(f"{subject['kind']} {place}{subject['name']}")
    return found


def _rights(record: Record) -> list[str]:
    return [
        f"{verb} {resource}"
        for item in record.objects
        if item["kind"] == "Role"
        for rule in item.get("rules") or ()
        for resource in rule.get("resources") or ()
        if resource != _DISPENSABLE
        for verb in rule.get("verbs") or ()
    ]
