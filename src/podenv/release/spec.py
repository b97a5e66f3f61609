"""What an environment's release is made from: its values with the image, and the chart. Pure."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podenv import lock
from podenv.catalogue import names
from podenv.catalogue.environment import Environment
from podenv.catalogue.reference import ImageRef
from podenv.catalogue.spec import present, released
from podenv.catalogue.values import merge
from podenv.errors import LockMissing
from podenv.release import chart, records
from podenv.release.records import Record

Json = dict[str, Any]
_IMAGE_KEYS = ("registry", "repository", "digest")


@dataclass(frozen=True)
class ReleaseSpec:
    """What an environment's release is made from."""

    name: str
    namespace: str
    chart: Path
    values: Json

    @property
    def digest(self) -> str:
        """The image's digest."""
        return str(self.values["image"]["digest"])

    @property
    def pulls_first(self) -> bool:
        """True if a deploy waits until the nodes hold the image."""
        return bool((self.values.get("prePull") or {}).get("enabled"))

    def differences(self, record: Record) -> list[str]:
        """In what a recorded release differs from this; an empty list if it was made from the same.

        Names ``image``, ``lock``, ``chart``, and keys of the values (top-level ones, and those of ``image``). It
        does not matter who made the release: podenv, plain helm or a GitOps tool.
        """
        found = []
        if _image(self.name, self.values) != _image(self.name, record.values):
            found.append("image")
        if (self.values.get("lock") or {}) != (record.values.get("lock") or {"hash": "", "packages": []}):
            found.append("lock")
        if chart.content(self.chart) != chart.recorded(record.content.get("chart") or {}):
            found.append("chart")
        # Who deploys with plain helm may repeat the chart's defaults: `helm get values --all` writes them.
        defaults = (record.content.get("chart") or {}).get("values") or {}
        own, theirs = (_other_values(present(merge(defaults, of))) for of in (self.values, record.values))
        return found + sorted(key for key in own | theirs if own.get(key) != theirs.get(key))


def _image(environment: str, values: Json) -> str:
    """The image as the chart composes it."""
    image = values.get("image") or {}
    repository = image.get("repository") or names.image_repository(environment)
    name = f"{image['registry']}/{repository}" if image.get("registry") else repository
    return f"{name}@{image['digest']}" if image.get("digest") else f"{name}:{image.get('tag')}"


def _other_values(values: Json) -> dict[str, str]:
    """The values without those that name the image and its content: key -> text, to be compared.

    Releases that an earlier podenv made hold also what no release needs.
    """
    values = released(values)
    image = {f"image.{key}": one for key, one in (values.get("image") or {}).items() if key not in _IMAGE_KEYS}
    others = {key: one for key, one in values.items() if key not in ("image", "lock")} | image
    return {key: json.dumps(_as_helm_writes(value), sort_keys=True) for key, value in others.items()}


def _as_helm_writes(value: Any) -> Any:
    """Helm writes 2.0 as 2."""
    if isinstance(value, dict):
        return {key: _as_helm_writes(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_as_helm_writes(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def release_values(environment: Environment, ref: ImageRef, *, lock_hash: str = "") -> Json:
    """The one dict that Helm gets: the values that the chart reads, with the image by its digest, and what is in it."""
    ours = {
        "image": {"registry": ref.registry, "repository": ref.repository, "digest": ref.digest},
        "lock": {"hash": lock_hash, "packages": packages(environment) if lock_hash else []},
    }
    return merge(released(environment.values), ours)


def packages(environment: Environment) -> list[str]:
    """What the lock installs in the image, like ``numpy==1.26.4``, on each of its platforms.

    It is the same on every machine that this is asked on.
    """
    with suppress(LockMissing):
        on = (lock.on(environment.python, platform) for platform in environment.spec.image.built_for)
        installed = [set(lock.pinned(environment, markers=markers).items()) for markers in on]
        return sorted(records.entry(name, version) for name, version in set.intersection(*installed))
    return []


def lock_of(environment: Environment) -> str:
    """The hash of the lock that the environment's image is made from; empty for an image built elsewhere."""
    if environment.spec.image.external:
        return ""
    with suppress(LockMissing):
        return lock.lock_hash(environment)
    return ""
