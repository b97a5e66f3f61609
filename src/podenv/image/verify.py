"""Whether an image is what its lock says; seen from inside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from podenv import image, lock
from podenv.catalogue.environment import Environment
from podenv.catalogue.reference import ImageRef
from podenv.errors import ImageMissing
from podenv.image import ImageSettings, audit, inside
from podenv.image.build import Images
from podenv.lock import packages, platforms, requirements


@dataclass(frozen=True)
class Verified:
    """What was found in one image; it is as it should be when there are no ``differences``."""

    environment: str
    ref: ImageRef
    python: str
    packages: int
    modules: int
    differences: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether the image is what its lock says."""
        return not self.differences


def verify(
    environment: Environment, images: Images, *,
    platform: str | None = None, say: Callable[[str], None] = lambda _: None,
) -> Verified:  # fmt: skip
    """Compare the image that ``environment`` needs now with its lock; the registry's, else the one on this machine.

    Of several platforms it looks at ``platform``, else at this machine's, else at the first.
    Raises `LockError`, `RegistryError`, `ImageMissing`, `ImageUnusable`, `BuilderNotFound`.
    """
    chosen = image.settings(environment, platform=platform)
    of = platform or _of(environment, chosen)
    ref = image.wanted(environment, platform=platform)
    digest = None if ref.is_local else images.registries(chosen).digest(ref)
    builder = images.builder(chosen)
    if digest is not None:
        ref = ref.at(digest)
    elif not builder.has(ref := image.wanted(environment, platform=of or None)):  # which holds no index
        asked = f" --platform {platform}" if platform else ""
        raise ImageMissing(
            f"{ref} is neither in its registry nor in {builder.name}'s store; run `podenv build {environment.name}"
            f"{asked}`."
        )
    say(f"looks into {ref}")
    return judge(environment, ref, inside.report(builder, ref, "audit.py", audit.MARK, platform=of))


def _of(environment: Environment, chosen: ImageSettings) -> str:
    """The platform to look at; empty where the values do not say of which an external image is."""
    if environment.spec.image.external:
        return ""
    return platforms.here() if platforms.here() in chosen.platforms else chosen.platform


def judge(environment: Environment, ref: ImageRef, report: Mapping[str, Any]) -> Verified:
    """What differs between a report from inside an image and what the environment's files say."""
    markers = report["markers"]
    differences = []
    if markers["python_version"] != environment.python:
        differences.append(f"Python is {markers['python_full_version']}, the values say {environment.python}")
    if environment.lock_file.is_file() or not environment.spec.image.external:
        installed = {str(canonicalize_name(name)): str(version) for name, version in report["installed"]}
        differences += _set_differences(installed, lock.pinned(environment, markers=markers))
        built_from = {str(canonicalize_name(name)): str(commit) for name, commit in report["commits"].items()}
        differences += _commit_differences(built_from, lock.in_git(environment, markers=markers))
        differences += _source_differences(environment, built_from)
    for name, wrong in report["altered"].items():
        differences += [f"{name}: {what}" for what in _few(wrong)]
    differences += [f"import {name} fails: {why}" for name, why in report["failing"].items()]
    return Verified(
        environment=environment.name,
        ref=ref,
        python=markers["python_full_version"],
        packages=len(report["installed"]),
        modules=report["imported"],
        differences=tuple(differences),
    )


def _set_differences(installed: Mapping[str, str], locked: Mapping[str, str]) -> Iterable[str]:
    for name in sorted({*installed, *locked}):
        there, said = installed.get(name), locked.get(name)
        if there is None:
            yield f"{name} {said} is in the lock and not installed"
        elif said is None:
            yield f"{name} {there} is installed and not in the lock"
        elif there != said and "://" not in said:
            yield f"{name} is {there}, the lock says {said}"


def _commit_differences(built_from: Mapping[str, str], locked: Iterable[Requirement]) -> Iterable[str]:
    for one in locked:
        name, commit = canonicalize_name(one.name), requirements.commit(one.url or "")
        if built_from.get(name) != commit:
            yield f"{name} is built from commit {built_from.get(name) or 'unknown'}, the lock says {commit}"


def _source_differences(environment: Environment, built_from: Mapping[str, str]) -> Iterable[str]:
    if environment.spec.image.external:
        return
    for package in packages.of(environment):
        if built_from.get(package.name) != packages.sources_hash(environment, package):
            yield f"{package.name} is built from other sources than those in {package.folder}"


def _few(wrong: list[str], most: int = 5) -> list[str]:
    return wrong if len(wrong) <= most else [*wrong[:most], f"and {len(wrong) - most} more files"]
