"""Files of other tools that say what a project depends on, read into types: pyproject.toml, uv.lock, pylock.toml."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from podenv.errors import RequirementsInvalid, RequirementsMissing

Table = dict[str, Any]


def _kebab(name: str) -> str:
    return name.replace("_", "-")


class _File(BaseModel):
    """What is not named here is for others."""

    model_config = ConfigDict(frozen=True, alias_generator=_kebab, extra="ignore")


class Project(_File):
    """The table ``[project]``."""

    name: str = ""
    dynamic: list[str] = []
    requires_python: str = ""
    dependencies: list[str] = []
    optional_dependencies: dict[str, list[str]] = {}


class Uv(_File):
    """The table ``[tool.uv]``; ``told`` is all of it."""

    index: list[Table] = []
    sources: dict[str, Table | list[Table]] = {}
    no_binary_package: list[str] = []
    told: Table = {}

    @model_validator(mode="before")
    @classmethod
    def _keep_all(cls, given: object) -> object:
        return {**given, "told": dict(given)} if isinstance(given, dict) else given

    def entries(self) -> dict[str, list[Table]]:
        """Package -> where it comes from."""
        return {name: one if isinstance(one, list) else [one] for name, one in self.sources.items()}


class _Tool(_File):
    uv: Uv = Uv()


class Pyproject(_File):
    """A pyproject.toml."""

    project: Project | None = None
    build_system: Table | None = None
    dependency_groups: dict[str, list[str | dict[str, str]]] = {}
    tool: _Tool = _Tool()


class _Named(_File):
    name: str


class LockedByUv(_File):
    """A package in a uv.lock."""

    name: str
    source: Table = {}
    dependencies: list[_Named] = []
    optional_dependencies: dict[str, list[_Named]] = {}
    dev_dependencies: dict[str, list[_Named]] = {}


class UvLock(_File):
    """A uv.lock."""

    requires_python: str = ""
    package: list[LockedByUv] = []


class Artifact(_File):
    """A file, repository or folder in a pylock.toml."""

    url: str = ""
    path: str = ""
    type: str = ""
    commit_id: str = ""
    subdirectory: str = ""
    hashes: dict[str, str] = {}


class Locked(_File):
    """A package in a pylock.toml."""

    name: str
    version: str = ""
    marker: str = ""
    index: str = ""
    dependencies: list[Table] = []
    wheels: list[Artifact] = []
    sdist: Artifact | None = None
    archive: Artifact | None = None
    vcs: Artifact | None = None
    directory: Artifact | None = None


class Pylock(_File):
    """A pylock.toml, https://packaging.python.org/en/latest/specifications/pylock-toml/."""

    lock_version: str = ""
    requires_python: str = ""
    extras: list[str] = []
    dependency_groups: list[str] = []
    packages: list[Locked] = []


Kind = TypeVar("Kind", bound=_File)


def load(file: Path, kind: type[Kind]) -> Kind:
    """The file as a ``kind``; read once as long as it does not change.

    Raises `RequirementsMissing`, and `RequirementsInvalid` naming the file and what is wrong in it.
    """
    try:
        status = file.stat()
    except FileNotFoundError:
        raise RequirementsMissing(f"{file} is missing; correct its path in the values.") from None
    except OSError as error:
        raise RequirementsInvalid(f"{file} cannot be read: {error.strerror}.") from None
    found: Kind = _load(file, kind, status.st_mtime_ns, status.st_size)
    return found


@lru_cache(maxsize=256)
def _load(file: Path, kind: type[Kind], _changed_ns: int, _size: int) -> Kind:
    try:
        return kind.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except UnicodeDecodeError:
        raise RequirementsInvalid(f"{file} is not UTF-8 text; save it as UTF-8.") from None
    except OSError as error:
        raise RequirementsInvalid(f"{file} cannot be read: {error.strerror}.") from None
    except tomllib.TOMLDecodeError as error:
        raise RequirementsInvalid(f"{file} is not valid TOML: {error}.") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        what = "is missing" if first["type"] == "missing" else f"is not right: {first['msg'].lower()}"
        raise RequirementsInvalid(f"{file}: {where} {what}; correct it.") from None
