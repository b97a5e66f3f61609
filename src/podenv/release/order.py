"""What an environment's release should be: pure, from its values, its image and the chart."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from podenv import lock
from podenv.catalogue import names, values
from podenv.catalogue.environment import Environment
from podenv.catalogue.reference import ImageRef
from podenv.errors import LockMissing
from podenv.release.cluster import Json

_MACHINES = ("x86_64", "aarch64")


@dataclass(frozen=True)
class Order:
    """What an environment's release should be."""

    name: str
    namespace: str
    chart: Path
    values: Json

    @cached_property
    def inputs(self) -> str:
        """A hash over the values and all of the chart: another one for any other release."""
        canonical = json.dumps([chart_hash(self.chart), self.values], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()[:40]

    @property
    def digest(self) -> str:
        """The image's digest."""
        return str(self.values["image"]["digest"])

    @property
    def warms(self) -> bool:
        """Whether the release waits for nodes to pull the image."""
        return bool((self.values.get("prePull") or {}).get("enabled"))


def release_values(environment: Environment, ref: ImageRef, *, lock_hash: str = "") -> Json:
    """The one dict that Helm gets: the environment's values with the image by its digest, and what is in it."""
    ours = {
        "image": {"registry": ref.registry, "repository": ref.repository, "digest": ref.digest},
        "lock": {"hash": lock_hash, "packages": packages(environment) if lock_hash else []},
    }
    return values.merge(environment.values, ours)


def packages(environment: Environment) -> list[str]:
    """The packages that the lock installs on every Linux; the same wherever this is asked."""
    with suppress(LockMissing):
        each = [lock.pinned(environment, markers=lock.linux(environment.python, machine)) for machine in _MACHINES]
        return sorted(set.intersection(*map(set, each)))
    return []


def place(environment: Environment, prefix: str) -> str:
    """The namespace of an environment's release."""
    return environment.spec.namespace or names.namespace(environment.name, prefix)


def chart() -> Path:
    """The chart, beside this file where podenv was installed, else in the checkout."""
    inside = Path(__file__).parent / "chart"
    return inside if inside.is_dir() else Path(__file__).parents[3] / "charts" / "airflow-env"


def chart_hash(folder: Path) -> str:
    """SHA-256 over the chart's files, names and content; hidden ones and what editors leave count not."""
    files = sorted(
        file
        for file in folder.rglob("*")
        if file.is_file() and not file.name.endswith(("~", ".orig", ".swp"))
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )  # fmt: skip
    return _hash_of(folder, tuple((file, file.stat().st_mtime_ns) for file in files))


@lru_cache(maxsize=16)
def _hash_of(folder: Path, files: tuple[tuple[Path, int], ...]) -> str:
    digest = hashlib.sha256()
    for file, _ in files:
        digest.update(f"{file.relative_to(folder).as_posix()}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def lock_in(environment: Environment) -> str:
    """The hash of the lock that the environment's image is made from; empty for an image built elsewhere."""
    if environment.spec.image.external:
        return ""
    with suppress(LockMissing):
        return lock.lock_hash(environment)
    return ""
