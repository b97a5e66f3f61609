"""What is newer: versions that the requirements allow, and base images whose name stands for another image now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from podenv import image, lock, process
from podenv.catalogue import reference
from podenv.catalogue.environment import Catalogue, Environment
from podenv.errors import LockMissing, PodenvError
from podenv.image import base
from podenv.image.build import Images
from podenv.lock import sources
from podenv.plan import demand as demands
from podenv.plan import held
from podenv.plan.judging import QUESTIONS_AT_ONCE
from podenv.plan.oracle import Oracle, conclusion
from podenv.plan.proposals import Change, versions

BASE_LABEL = "org.opencontainers.image.base.digest"
BaseState = Literal["current", "moved", "fixed", "external", "not built", "unknown"]


@dataclass(frozen=True)
class Base:
    """The base image of one environment: what its image was built from, and what the name stands for ``now``.

    ``state``: "fixed" where the values name a digest, "external" where the image is made elsewhere, "not built" where
    no registry has it; ``why`` says what keeps it unknown. Where ``base.lock`` pins it, that is what it was built from.
    """

    reference: str
    state: BaseState
    built_from: str = ""
    now: str = ""
    why: str = ""
    is_pinned: bool = False


@dataclass(frozen=True)
class Outdated:
    """One environment: the packages of which newer versions are allowed, and its base image.

    ``why`` says what keeps the packages unknown; empty where they are known.
    """

    environment: str
    packages: tuple[Change, ...]
    base: Base
    why: str = ""

    @property
    def is_known(self) -> bool:
        """True if nothing of it remained unknown."""
        return not self.why and self.base.state != "unknown"


def outdated(
    catalogue: Catalogue,
    names: Sequence[str],
    oracle: Oracle,
    images: Images,
    *,
    say: Callable[[str], None] = lambda _: None,
) -> list[Outdated]:
    """What is newer for each environment. Raises `ProgramNotFound`."""

    def one(name: str) -> Outdated:
        say(f"what is newer for {name}")
        try:
            environment = catalogue[name]
        except PodenvError as error:
            return Outdated(name, (), Base("", "unknown", why=str(error)), str(error))
        packages, why = _packages(environment, oracle)
        return Outdated(name, packages, _base(environment, images), why)

    return process.side_by_side(one, names, at_once=QUESTIONS_AT_ONCE)


def _packages(environment: Environment, oracle: Oracle) -> tuple[tuple[Change, ...], str]:
    if environment.spec.image.external and not environment.lock_file.exists():
        return (), ""
    if sources.kind(environment) in ("uv.lock", "pylock.toml"):
        return (), ""  # another tool decides its versions
    try:
        before = held.versions(environment)
        answer = oracle.solve(environment, demands.of(environment))
    except PodenvError as error:
        return (), str(error)
    if answer.verdict != "fits":
        what = "no set of versions satisfies it now" if answer.verdict == "clashes" else "uv cannot say what is newer"
        return (), f"{what}. uv says: {conclusion(answer.words)}"
    after = versions(environment, answer.pins)
    changes = [
        Change(environment.name, name, before[name], after[name])
        for name in sorted(before)
        if name in after and before[name] != after[name]
    ]
    return tuple(changes), ""


def _base(environment: Environment, images: Images) -> Base:
    if environment.spec.image.external:
        return Base("", "external")
    try:
        chosen = image.settings(environment)
        ref = reference.parse(chosen.base, setting="the base image")
        pin = None if image.base_to_pin(environment) is None else base.read(environment)
        if pin is not None and pin == ref:
            moving = replace(ref, digest="")
            now = images.registries(chosen).digest(moving)
            if now is None:
                return Base(str(moving), "unknown", ref.digest, "", f"{moving} is not in its registry")
            return Base(str(moving), "current" if now == ref.digest else "moved", ref.digest, now, is_pinned=True)
        if ref.digest:
            return Base(str(ref), "fixed", ref.digest, ref.digest)
        made = image.image_ref(environment, lock.lock_hash(environment), chosen)
        if made.is_local:
            return Base(str(ref), "not built")
        registries = images.registries(chosen)
        labels = registries.labels(made, platform=chosen.platform)
        if labels is None:
            return Base(
                str(ref), "unknown", why=f"its image {made} is not built; run `podenv build {environment.name}`"
            )
        now = registries.digest(ref)
    except LockMissing:
        return Base(str(ref), "not built")
    except PodenvError as error:
        return Base("", "unknown", why=str(error))
    built_from = labels.get(BASE_LABEL, "")
    if not built_from or now is None:
        what = f"{made} does not say what it was built from" if not built_from else f"{ref} is not in its registry"
        return Base(str(ref), "unknown", built_from, now or "", what)
    return Base(str(ref), "current" if built_from == now else "moved", built_from, now)
