"""Which image an environment needs: decided from its files and settings alone, without network or program.

The tag is a hash over all that decides the image's content. What Debian's archive holds today is no part of it (change
``image.refresh`` to name newer packages), nor what a moving base tag (``python:3.13-slim``) stands for where `base` has
no digest of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from importlib import resources
from pathlib import Path

from podenv import lock
from podenv.catalogue import names, reference
from podenv.catalogue.environment import Environment
from podenv.catalogue.reference import ImageRef
from podenv.errors import ImageError, SettingError
from podenv.image import base
from podenv.lock import packages

_PLATFORM = re.compile(r"linux/[a-z0-9]+(/v[0-9]+)?")
SCHEMA = 1  # a new number makes every image a new one
BASE = "docker.io/library/python:{python}-slim"
UV = "ghcr.io/astral-sh/uv:0.13.9"
BUILDERS = ("docker", "buildah", "podman")
# Files of an environment's folder that its own Containerfile does not see: they do not decide the content.
NOT_IN_CONTEXT = ("values.yaml", "requirements.in", base.FILE)


@dataclass(frozen=True)
class ImageSettings:
    """How an environment's image is made and where it is kept: its values, with the variables laid upon them."""

    registry: str
    repository: str
    base: str
    uv: str
    platforms: tuple[str, ...]
    builder: str
    cache: str
    plain_http: tuple[str, ...]

    @property
    def platform(self) -> str:
        """The platform; of several the first."""
        return self.platforms[0]

    def each(self) -> list[ImageSettings]:
        """The settings of the image for each platform alone."""
        return [replace(self, platforms=(one,)) for one in self.platforms]


@dataclass(frozen=True)
class Content:
    """All that decides what is in an image. ``base`` and ``uv`` are digests where the reference has one."""

    environment: str
    python: str
    base: str
    uv: str
    system_packages: tuple[str, ...]
    lock: str
    packages: str
    recipe: str
    refresh: str
    platform: str
    schema: int = SCHEMA

    @property
    def tag(self) -> str:
        """``py3.13-<16 hex digits>``, another one for any other content."""
        canonical = json.dumps(asdict(self), sort_keys=True).encode()
        return names.image_tag(self.python, hashlib.sha256(canonical).hexdigest())


def settings(
    environment: Environment, *, platform: str | None = None, environ: Mapping[str, str] = os.environ
) -> ImageSettings:
    """The settings in force; a variable goes before a value, ``platform`` before both.

    Variables: PODENV_REGISTRY, PODENV_BASE_IMAGE and PODENV_UV_IMAGE (``{python}`` stands for the version),
    PODENV_BUILDER, PODENV_PLAIN_HTTP (hosts, separated by commas). Raises `SettingError`, and `LockError` where the
    base image's lock is not fresh.
    """
    values = environment.spec.image
    if platform and not _PLATFORM.fullmatch(platform):
        raise SettingError(f"--platform is {platform!r}; write one, like linux/amd64 or linux/arm64.")
    builder = environ.get("PODENV_BUILDER") or values.builder
    if builder and builder not in BUILDERS:
        raise SettingError(f"PODENV_BUILDER is {builder!r}; known are {', '.join(BUILDERS)}.")
    return ImageSettings(
        registry=(environ.get("PODENV_REGISTRY") or values.registry).rstrip("/") or reference.LOCAL,
        repository=values.repository or names.image_repository(environment.name),
        base=_base(environment, environ),
        uv=_text(_written_out(environment, "PODENV_UV_IMAGE", environ, values.uv or UV)),
        platforms=(platform,) if platform else values.built_for,
        builder=builder,
        cache=_cache(environment, environ),
        plain_http=plain_http(environment, environ),
    )


def _cache(environment: Environment, environ: Mapping[str, str]) -> str:
    if not (chosen := environ.get("PODENV_BUILD_CACHE")):
        return environment.spec.image.cache
    if {":", "@"} & set(chosen.rpartition("/")[2]):
        raise SettingError(f"PODENV_BUILD_CACHE is {chosen!r}; name a repository without tag, like ghcr.io/acme/x.")
    return reference.parse(chosen, setting="PODENV_BUILD_CACHE").name


def plain_http(environment: Environment, environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The registries to talk to without TLS, beside localhost."""
    named = (host.strip() for host in environ.get("PODENV_PLAIN_HTTP", "").split(","))
    return tuple(sorted({*environment.spec.image.plain_http, *filter(None, named)}))


def base_to_pin(environment: Environment, environ: Mapping[str, str] = os.environ) -> ImageRef | None:
    """The base image that the values name; None where a variable goes before it, or the image is built elsewhere."""
    if environment.spec.image.external or environ.get("PODENV_BASE_IMAGE"):
        return None
    return _written_out(environment, "PODENV_BASE_IMAGE", environ, environment.spec.image.base or BASE)


def _base(environment: Environment, environ: Mapping[str, str]) -> str:
    ref = base_to_pin(environment, environ)
    if ref is not None:
        return _text(base.pinned(environment, ref))
    return _text(_written_out(environment, "PODENV_BASE_IMAGE", environ, environment.spec.image.base or BASE))


def _written_out(environment: Environment, variable: str, environ: Mapping[str, str], otherwise: str) -> ImageRef:
    chosen = environ.get(variable)
    text = (chosen or otherwise).replace("{python}", environment.python)
    setting = variable if chosen else f"image.{'base' if 'BASE' in variable else 'uv'} of {environment.name!r}"
    return reference.parse(text, setting=setting)


def _text(ref: ImageRef) -> str:
    return f"{ref.tagged}@{ref.digest}" if ref.tag and ref.digest else str(ref)


def image_ref(environment: Environment, lock_hash: str, chosen: ImageSettings) -> ImageRef:
    """Where the image for this lock is, or will be; for an external image, what the values name."""
    values = environment.spec.image
    if values.external:
        return external(environment)
    return ImageRef(chosen.registry, chosen.repository, tag=content(environment, lock_hash, chosen).tag)


def wanted(environment: Environment, *, platform: str | None = None) -> ImageRef:
    """The image that the environment needs now, all of it or for one ``platform``.

    Raises `LockError` where its lock is not fresh.
    """
    if environment.spec.image.external:
        return external(environment)
    lock.check(environment)
    return image_ref(environment, lock.lock_hash(environment), settings(environment, platform=platform))


def external(environment: Environment) -> ImageRef:
    """The image that is built elsewhere; no variable changes it."""
    values = environment.spec.image
    ref = reference.parse(
        f"{values.registry}/{values.repository}" if values.registry else values.repository,
        setting=f"image.repository of {environment.name!r}",
    )
    return replace(ref, tag="" if values.digest else values.tag, digest=values.digest)


def content(environment: Environment, lock_hash: str, chosen: ImageSettings) -> Content:
    """All that decides what is in the image; reads the Containerfile (and the folder, where it brings its own)."""
    return Content(
        environment=environment.name,
        python=environment.python,
        base=_fixed(chosen.base),
        uv=_fixed(chosen.uv),
        system_packages=tuple(sorted(set(environment.spec.system_packages))),
        lock=lock_hash,
        packages=packages.content_hash(environment),
        recipe=_recipe(environment),
        refresh=environment.spec.image.refresh,
        platform=",".join(sorted(chosen.platforms)),
    )


def _fixed(text: str) -> str:
    """A digest says it all, wherever it is pulled from."""
    return text.partition("@")[2] or text


def _recipe(environment: Environment) -> str:
    own = environment.spec.image.containerfile
    if not own:
        return hashlib.sha256(containerfile(environment)).hexdigest()
    digest = hashlib.sha256(f"{own}\0".encode())
    for name, file in context_files(environment):
        digest.update(f"{name}\0{file.stat().st_mode & 0o111:o}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def containerfile(environment: Environment) -> bytes:
    """The Containerfile of an environment that brings none."""
    parts = ["Containerfile", *(["Containerfile.packages"] if environment.spec.packages else [])]
    return b"".join((resources.files(__name__) / part).read_bytes() for part in parts)


def context_files(environment: Environment) -> Iterator[tuple[str, Path]]:
    """What the environment's own Containerfile can copy: its folder but hidden files and `NOT_IN_CONTEXT`, sorted.

    Raises `ImageError` when the Containerfile is not among it, or a link leaves the folder.
    """
    folder = environment.folder
    own = environment.spec.image.containerfile
    if not (folder / own).is_file():
        raise ImageError(
            f"{folder / own} is missing, and image.containerfile of {environment.name!r} names it; write it."
        )
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        hidden = any(part.startswith(".") or part == "__pycache__" for part in name.split("/"))
        if hidden or name in NOT_IN_CONTEXT or not file.is_file():
            continue
        if not file.resolve().is_relative_to(folder.resolve()):
            raise ImageError(f"{file} is a link out of the folder, which no other machine would have; copy the file.")
        yield name, file


def labels(environment: Environment, lock_hash: str, *, tag: str, base_digest: str, revision: str) -> dict[str, str]:
    """What the image says of itself, by the names of OCI's annotations and our own.

    ``revision`` is the commit that last changed the environment; an empty one is left out.
    """
    ours = {
        "org.opencontainers.image.title": environment.name,
        "org.opencontainers.image.version": tag,
        "org.opencontainers.image.revision": revision,
        "org.opencontainers.image.base.digest": base_digest,
        names.ENVIRONMENT_LABEL: environment.name,
        names.PYTHON_ANNOTATION: environment.python,
        names.LOCK_ANNOTATION: lock_hash,
    }
    return {key: value for key, value in ours.items() if value}
