"""The blast radius of a package: environments, locks, images that are deployed now, DAGs and tasks. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from podenv.plan.advisories import Question
from podenv.plan.deployed import Deployed
from podenv.plan.uses import Use, Uses

UNKNOWN = "version unknown"


@dataclass(frozen=True)
class Hit:
    """One environment that a question is about.

    ``locked`` are the versions in its lock that are meant (empty: none), ``deployed`` is the one in the image that runs
    tasks now (empty: none; `UNKNOWN` where the release does not say). ``importing`` are the tasks among ``uses`` whose
    code imports the package itself. ``is_certain`` is False where only an unknown version could be meant.
    """

    question: str
    package: str
    environment: str
    lock: str
    locked: tuple[str, ...]
    deployed: str
    image: str
    namespace: str
    uses: tuple[Use, ...]
    importing: tuple[Use, ...]
    is_certain: bool


def hits(
    questions: Sequence[Question],
    locked: Mapping[str, Mapping[str, tuple[str, ...]]],
    deployed: Mapping[str, Deployed],
    uses: Uses,
    files: Mapping[str, str],
) -> list[Hit]:
    """What the questions are about. ``locked``: environment -> package -> versions; ``files`` are the locks' names."""
    found = []
    for question in questions:
        for name in sorted({*locked, *deployed}):
            here = locked.get(name, {}).get(question.package, ())
            meant = _meant(question, here)
            there, image = _deployed(question, deployed.get(name))
            if not meant and not there:
                continue
            own = tuple(uses.of(name))
            one = deployed.get(name)
            found.append(
                Hit(
                    question=question.text,
                    package=question.package,
                    environment=name,
                    lock=files.get(name, "") if meant else "",
                    locked=tuple(meant),
                    deployed=there,
                    image=image,
                    namespace=one.namespace if one is not None and there else "",
                    uses=own,
                    importing=tuple(use for use in own if use.imports(question.package)),
                    is_certain=any(question.covers(version) for version in (*meant, there) if version != UNKNOWN),
                )
            )
    return found


def _meant(question: Question, versions: Iterable[str]) -> list[str]:
    """The versions that are meant, or that nobody can compare: what is built from a repository has an address."""
    return [version for version in versions if question.covers(version) is not False]


def _deployed(question: Question, one: Deployed | None) -> tuple[str, str]:
    """The version of the package in the image that is deployed, where it is meant, and the image."""
    if one is None:
        return "", ""
    if one.packages is None:  # nothing says what is in it: see `unseen`
        return "", ""
    if question.package not in one.packages:
        return "", ""
    version = one.packages[question.package]
    covered = question.covers(version)
    if covered is False:
        return "", ""
    return version or UNKNOWN, one.image


def unseen(deployed: Mapping[str, Deployed]) -> list[str]:
    """The environments of which nothing says what is in their image, such as one that was built elsewhere."""
    return [name for name, one in deployed.items() if one.packages is None]
