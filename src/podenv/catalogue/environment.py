"""An environment and the catalogue of them: values files on disk -> typed specification."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from podenv.catalogue import names, placeholders, units, values
from podenv.catalogue.automemory import AUTO, FIRST, QUOTA_NAMES, Defaults
from podenv.catalogue.names import check_environment_name
from podenv.catalogue.spec import EnvironmentSpec, dependencies, explain, validate
from podenv.catalogue.spec import image as imagespec
from podenv.catalogue.spec.warm import beyond_quota
from podenv.errors import (
    CatalogueNotFound,
    InvalidName,
    PodenvError,
    ResourceError,
    UnknownEnvironment,
    ValuesError,
    nearest,
)

DEFAULTS = "defaults.yaml"
VALUES = "values.yaml"


@dataclass(frozen=True)
class Environment:
    """One folder of the catalogue: what a person wrote, merged and checked."""

    name: str
    folder: Path
    values: dict[str, Any]
    spec: EnvironmentSpec

    @property
    def python(self) -> str:
        """The Python version, like ``3.13``."""
        return self.spec.python

    def namespace(self, prefix: str) -> str:
        """Where it is deployed: in what the values say, else in a namespace of its own that begins with ``prefix``."""
        return self.spec.namespace or names.namespace(self.name, prefix)

    @property
    def resources(self) -> Defaults:
        """What a task has unless it says otherwise; where the memory is auto its limit is the cap, as in the chart."""
        return _defaults(self.spec)

    @property
    def requirements_in(self) -> Path:
        """What a person asked for."""
        return self.folder / "requirements.in"

    @property
    def source(self) -> Path:
        """What a person edits to change the lock: the file that the values name, else requirements.in."""
        chosen = self.spec.source
        return self.folder / chosen.file if chosen else self.requirements_in

    @property
    def project(self) -> Path:
        """The folder of the project around the catalogue: that of its repository, else the one that holds envs/."""
        around = self.folder.parent.parent
        return next((folder for folder in (around, *around.parents) if (folder / ".git").exists()), around)

    @property
    def lock_file(self) -> Path:
        """Every version and hash, written by ``podenv lock``."""
        return self.folder / "requirements.txt"


class Catalogue:
    """The environments below one ``envs/`` folder.

    ``catalogue[name]`` reads that one and none of the others; it raises `UnknownEnvironment`, `ValuesError`.
    """

    def __init__(self, root: Path, *, prefix: str | None = None) -> None:
        self.root = root.absolute()
        self._prefix = prefix

    @classmethod
    def find(cls, start: Path | None = None, *, configured: str | None = None, prefix: str | None = None) -> Catalogue:
        """The catalogue in force.

        ``PODENV_CATALOGUE``, then ``configured`` (Airflow's option ``[podenv] catalogue``), then the nearest ``envs/``
        upwards of ``start`` (a DAG file or a folder; the working directory when None). ``prefix`` is how namespaces
        begin, by default as the variables of this process say. Raises `CatalogueNotFound`.
        """
        for setting, chosen in (
            ("PODENV_CATALOGUE", os.environ.get("PODENV_CATALOGUE")),
            ("[podenv] catalogue", configured),
        ):
            if chosen:
                folder = Path(chosen).expanduser()
                if not folder.is_dir():
                    raise CatalogueNotFound(
                        f"{setting} names {chosen}, which is not a folder; set it to an envs/ folder."
                    )
                return cls(folder, prefix=prefix)
        begin = (start or Path.cwd()).absolute()
        for above in (begin, *begin.parents):
            if _is_catalogue(folder := above / "envs"):
                return cls(folder, prefix=prefix)
        raise CatalogueNotFound(
            f"There is no envs/ folder with environments in {begin} or above it; "
            "go to a project that has one, set PODENV_CATALOGUE, or begin with `podenv init`."
        )

    @classmethod
    def of_function(cls, function: Callable[..., Any]) -> Catalogue:
        """The catalogue nearest to the function's file, else to the working directory. Raises `CatalogueNotFound`."""
        code = getattr(inspect.unwrap(function), "__code__", None)
        file = Path(code.co_filename) if code is not None else None
        if file is not None and file.is_file():  # a notebook's cell has none
            with suppress(CatalogueNotFound):
                return cls.find(file)
        return cls.find()

    def names(self) -> list[str]:
        """The names of all environments, sorted; their values are not read."""
        try:
            with os.scandir(self.root) as entries:
                folders = [entry for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
        except FileNotFoundError:
            return []
        return sorted(folder.name for folder in folders if Path(folder.path, VALUES).is_file())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and _is_name(name) and (self.root / name / VALUES).is_file()

    def __getitem__(self, name: str) -> Environment:
        check_environment_name(name)
        folder = self.root / name
        own_stamp = _stamp(folder / VALUES)
        if own_stamp is None:
            raise self.refusal(name)
        prefix = names.namespace_prefix() if self._prefix is None else self._prefix
        return _load(folder, own_stamp, _stamp(self.root / DEFAULTS), prefix)

    def refusal(self, name: str) -> PodenvError:
        """The error for a ``name`` that is not an environment here."""
        known = self.names()
        if not nearest(name, known):
            try:
                folder = self.root / check_environment_name(name)
            except InvalidName as error:
                return error
            if folder.is_dir():
                return ValuesError(folder / VALUES, "", 'it is missing; write it, with python: "3.13" at least.')
        return UnknownEnvironment(name, self.root, known)

    def __iter__(self) -> Iterator[Environment]:
        return (self[name] for name in self.names())

    def __len__(self) -> int:
        return len(self.names())


def _is_name(text: str) -> bool:
    try:
        check_environment_name(text)
    except InvalidName:
        return False
    return True


def _is_catalogue(folder: Path) -> bool:
    return (folder / DEFAULTS).is_file() or any(folder.glob(f"*/{VALUES}"))


def _stamp(file: Path) -> tuple[int, int] | None:
    """What changes when the file does; None where there is no such file."""
    try:
        stat = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return stat.st_mtime_ns, stat.st_size


def _filled(defaults: dict[str, Any], own: dict[str, Any], folder: Path, prefix: str) -> dict[str, Any]:
    """The defaults with their placeholders replaced for the environment in ``folder``."""
    python = own.get("python", defaults.get("python"))
    words = {"name": folder.name} | ({"python": python} if isinstance(python, str) else {})
    file = folder.parent / DEFAULTS
    shared = placeholders.fill(defaults.get("namespace"), words, file, ("namespace",))
    chosen = own.get("namespace", shared)
    words["namespace"] = chosen if isinstance(chosen, str) else names.namespace(folder.name, prefix)
    found: dict[str, Any] = placeholders.fill(defaults, words, file)
    return found


@lru_cache(maxsize=4096)
def _load(folder: Path, own_stamp: tuple[int, int], defaults_stamp: tuple[int, int] | None, prefix: str) -> Environment:
    """The environment in ``folder``; the stamps make a changed file be read anew (500 tasks, one read)."""
    own = values.read(folder / VALUES)
    defaults = values.read(folder.parent / DEFAULTS) if defaults_stamp else {}
    merged = values.merge(_filled(defaults, own, folder, prefix), own)
    try:
        spec = validate(merged)
        given = _defaults(spec)
        units.check_resources(given.requests, given.limits, "resources")
        path: tuple[int | str, ...] = ("image",)
        imagespec.check(spec.image)
        path = ("warm", "idle")
        _check_idle(spec, given)
        path = ("indexes",)
        dependencies.check(spec)
    except ValidationError as error:
        path, why = explain(error)
    except ResourceError as error:
        path, why = ("resources",), str(error).removeprefix("resources: ")
    except ValueError as error:
        why = str(error)
    else:
        return Environment(folder.name, folder, merged, spec)
    inherited = _has(defaults, path) and not _has(own, path)
    file = folder.parent / DEFAULTS if inherited else folder / VALUES
    raise ValuesError(file, ".".join(map(str, path)), why)


def _defaults(spec: EnvironmentSpec) -> Defaults:
    resources = spec.resources
    limits, first = dict(resources.limits), None
    if limits.get("memory") == AUTO and resources.max_memory is not None:
        limits["memory"], first = resources.max_memory, resources.requests.get("memory", FIRST)
    hard, most = spec.resource_quota.hard, spec.limit_range.max
    bounds = [most["memory"]] if "memory" in most else []
    bounds += [hard[name] for name in QUOTA_NAMES if name in hard]
    return Defaults(resources.requests, limits, first, resources.max_memory, tuple(bounds))


def _check_idle(spec: EnvironmentSpec, given: Defaults) -> None:
    """Raise ValueError where the quota of the namespace has no room for the idle pods, even without a task."""
    for found in beyond_quota(spec.warm.idle or 0, given.requests, given.limits, spec.resource_quota.hard):
        raise ValueError(f"{found} (resourceQuota.hard); lower warm.idle, or raise the quota.")


def _has(tree: Any, path: Sequence[int | str]) -> bool:
    for step in path:
        if not isinstance(tree, dict) or step not in tree:
            return False
        tree = tree[step]
    return True
