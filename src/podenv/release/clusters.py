"""The clusters of a catalogue: one `Releases` for each kube context that its environments name."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeVar

from podenv.catalogue.environment import Environment
from podenv.errors import ReleaseError
from podenv.image.build import Images
from podenv.release import Releases, Target
from podenv.release.state import State

_PARALLEL_CLUSTERS = 8
_T = TypeVar("_T")


@dataclass
class Clusters:
    """The releases of environments, each in its cluster; threads can share it.

    Where ``target`` has a context, that is the cluster of all of them.
    """

    target: Target = field(default_factory=Target)
    images: Images = field(default_factory=Images)
    _made: dict[str | None, Releases] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, environment: Environment) -> Releases:
        """The releases of the environment's cluster."""
        return self._at(self.target.context or environment.spec.cluster.context or None)

    @property
    def current(self) -> Releases:
        """The releases of the cluster that environments are in which name none."""
        return self._at(self.target.context)

    def _at(self, context: str | None) -> Releases:
        with self._lock:
            if context not in self._made:
                self._made[context] = Releases(replace(self.target, context=context), self.images)
            return self._made[context]

    def groups(self, environments: Iterable[Environment]) -> list[tuple[Releases, list[Environment]]]:
        """The environments by their cluster."""
        found: dict[int, tuple[Releases, list[Environment]]] = {}
        for one in environments:
            releases = self.of(one)
            found.setdefault(id(releases), (releases, []))[1].append(one)
        return list(found.values())

    def each(
        self, environments: Iterable[Environment], question: Callable[[Releases, Sequence[Environment]], _T]
    ) -> list[tuple[Releases, list[Environment], _T | ReleaseError]]:
        """Ask each cluster of the environments, side by side: with its environments its answer, or why there is none.

        The error of the only cluster is raised.
        """
        groups = self.groups(environments)

        def one(group: tuple[Releases, list[Environment]]) -> _T | ReleaseError:
            try:
                return question(*group)
            except ReleaseError as error:
                if len(groups) == 1:
                    raise
                return error

        with ThreadPoolExecutor(_PARALLEL_CLUSTERS, thread_name_prefix="podenv-clusters") as pool:
            answers = pool.map(one, groups)
            return [(*group, answer) for group, answer in zip(groups, answers, strict=True)]

    def ask(
        self,
        environments: Iterable[Environment],
        question: Callable[[Releases, Sequence[Environment]], Mapping[str, _T]],
    ) -> tuple[dict[str, _T], dict[str, ReleaseError]]:
        """What each cluster answers for its environments, by their names, and the errors of those without an answer.

        The error of the only cluster is raised.
        """
        answers: dict[str, _T] = {}
        errors: dict[str, ReleaseError] = {}
        for releases, members, answer in self.each(environments, question):
            if isinstance(answer, ReleaseError):
                for member in members:
                    errors[member.name] = type(answer)(f"Environment {member.name!r}, in {place(releases)}: {answer}")
            else:
                answers |= answer
        return answers, errors

    def survey(self, environments: Iterable[Environment]) -> tuple[dict[str, State], dict[str, ReleaseError]]:
        """The states of the releases, and the errors of those whose cluster does not tell them."""
        return self.ask(environments, lambda releases, members: releases.survey(releases.places(members)))


def place(releases: Releases) -> str:
    """The cluster in the words of a sentence: ``context 'eu-west'``."""
    context = releases.target.context
    return f"context {context!r}" if context else "the current context"
