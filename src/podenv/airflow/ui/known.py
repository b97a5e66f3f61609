"""What the catalogue on this machine knows of environments; the API server may have none.

Git-sync may feed the DAG processor only. Then the pages show what runs have kept.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from podenv.airflow import compat, settings
from podenv.catalogue import values
from podenv.catalogue.spec.pod import PodSettings
from podenv.errors import PodenvError
from podenv.lock import lockfile, pins

if TYPE_CHECKING:
    from podenv.catalogue.environment import Catalogue, Environment


@dataclass(frozen=True)
class Facts:
    """An environment as its files say it. ``problem`` is what keeps them from being read, empty if nothing does.

    ``connection`` leads to its cluster, empty where the values name none. ``direct`` are the names that are asked for;
    ``packages`` all of the lock, name to version; ``requests`` and
    ``limits`` are by ``cpu``, ``memory`` …; ``settings`` is what the files say of the pods, by dotted key.
    """

    name: str
    description: str = ""
    python: str = ""
    namespace: str = ""
    connection: str = ""
    lock: str = ""
    direct: tuple[str, ...] = ()
    packages: Mapping[str, str] = field(default_factory=dict)
    requests: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)
    max_memory: str = ""
    idle: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""

    @property
    def asked(self) -> list[str]:
        """What was asked for, with the version of the lock."""
        return [f"{name} {self.packages.get(name, '')}".strip() for name in self.direct]


def catalogue() -> Catalogue | None:
    """The catalogue in force for Airflow's DAGs; None where this machine has none."""
    return settings.catalogue_or_none(_file())


def _file() -> Path:
    """Where a DAG's search for its catalogue begins."""
    return Path(compat.conf.get("core", "dags_folder")) / "dag.py"


def names() -> list[str]:
    """The names of all environments of the catalogue, sorted; no file of them is read."""
    known = catalogue()
    return [] if known is None else known.names()


def facts(names: Collection[str]) -> dict[str, Facts]:
    """Those of these environments that the catalogue has, by name."""
    known = catalogue()
    return {} if known is None else {name: _facts(known, name) for name in names if name in known}


def _facts(known: Catalogue, name: str) -> Facts:
    """What the files of environment ``name`` say, read anew when they change."""
    try:
        environment = known[name]
        stamp = environment.lock_file.stat().st_mtime_ns if environment.lock_file.is_file() else 0
        before = _cached.get(environment.folder)
        if before is None or before[0] is not environment or before[1] != stamp:
            before = (environment, stamp, _read(environment))
            _cached.pop(environment.folder, None)
            _cached[environment.folder] = before
            while len(_cached) > _KEPT:
                _cached.pop(next(iter(_cached)), None)
        return before[2]
    except (PodenvError, OSError) as error:
        return Facts(name, problem=str(error))


_KEPT = 4096  # environments: each version of a bundle has folders of its own
# With what it was read from, and the stamp of its lock; that which was read first is first.
_cached: dict[Path, tuple[Environment, int, Facts]] = {}


def _read(environment: Environment) -> Facts:
    spec, resources = environment.spec, environment.resources
    lock, problem = "", ""
    direct: tuple[str, ...] = ()
    packages: dict[str, str] = {}
    try:
        direct = tuple(pins.direct(environment))
        packages = pins.pinned(environment, markers=pins.linux(environment.python, "x86_64"))
        lock = lockfile.content_hash(environment)
    except PodenvError as error:
        problem = str(error)
    return Facts(
        environment.name,
        description=spec.description,
        python=environment.python,
        namespace=settings.namespace(environment.name, _file()),
        connection=spec.cluster.connection,
        lock=lock,
        direct=direct,
        packages=dict(sorted(packages.items())),
        requests={name: str(value) for name, value in resources.requests.items()},
        limits={name: str(value) for name, value in resources.limits.items()},
        max_memory=str(spec.resources.max_memory or ""),
        idle=spec.warm.idle or 0,
        settings=dict(_settings(environment.values)),
        problem=problem,
    )


def _settings(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What ``given`` values say of pods. Variables, annotations, volumes and containers may hold what is not for every
    eye: only their names are told.
    """
    for key in (str(one.alias) for one in PodSettings.model_fields.values()):
        said = given.get(key)
        if key in ("env", "podAnnotations"):
            names = sorted(said or {})
        elif key in ("volumes", "initContainers"):
            names = [str(one["name"]) for one in said or []]
        else:
            yield from ((path, _text(one)) for path, one in values.flat(said, key) if one not in (None, "", [], {}))
            continue
        if names:
            yield key, ", ".join(names)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
