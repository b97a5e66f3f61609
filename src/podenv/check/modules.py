"""Which modules a lock brings, by the RECORD of each wheel: dotted names, extension modules included."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import Distribution, distributions
from pathlib import Path, PurePosixPath
from typing import Any

from packaging.utils import canonicalize_name

from podenv.check.shelf import Shelf

FILE = "podenv-modules.json"  # beside the packages: what their wheels say, read once
FORMAT = 1
_EXTENSION = re.compile(r"^([A-Za-z_]\w*)\.(?:.+\.)?(?:so|pyd)$")
_SUFFIXES = (".py", ".pyi", ".pyc")
# setuptools brings distutils back, through a file that Python reads when it starts.
_DISTUTILS = "distutils-precedence.pth"


@dataclass(frozen=True)
class Modules:
    """What one lock brings.

    ``owners``: dotted module name -> the distributions that have files of it (normalised names); ``programs``: name in
    bin/ -> its distribution; ``entry_points``: the distributions that others find by entry points; ``requires``:
    distribution -> those that it asks for, extras included.
    """

    owners: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    programs: Mapping[str, str] = field(default_factory=dict)
    entry_points: tuple[str, ...] = ()
    requires: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    packages: frozenset[str] = frozenset()
    open: tuple[str, ...] = ()
    """Distributions of the lock that could not be unpacked: whatever is missing may be theirs."""

    def __contains__(self, module: object) -> bool:
        return module in self.owners

    def missing(self, module: str) -> str | None:
        """The first part of ``module`` that is not here, like ``pandas.io.nosuch``; None where all of it is."""
        parts = module.split(".")
        for end in range(1, len(parts) + 1):
            name = ".".join(parts[:end])
            if name not in self.owners:
                return name
        return None

    def distributions(self, module: str) -> tuple[str, ...]:
        """The distributions that bring ``module``, by the longest part of its name that is known."""
        while module and module not in self.owners:
            module = module.rpartition(".")[0]
        return self.owners.get(module, ())

    @cached_property
    def top_level(self) -> frozenset[str]:
        return frozenset(name for name in self.owners if "." not in name)


def read(shelf: Shelf) -> Modules:
    """What the shelf's lock brings; read from the wheels the first time."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        stored = json.loads((shelf.folder / FILE).read_bytes())
        if stored["format"] == FORMAT:
            return _loaded(stored)
    return write(shelf)


def write(shelf: Shelf) -> Modules:
    """Read the wheels of a shelf, and keep what they say beside them, where that can be written."""
    found = replace(_of(shelf.packages), open=shelf.left_out)
    stored = {
        "format": FORMAT,
        "owners": found.owners,
        "programs": found.programs,
        "entry_points": found.entry_points,
        "requires": found.requires,
        "packages": sorted(found.packages),
        "open": found.open,
    }
    file = shelf.folder / FILE
    beside = file.with_name(f".{FILE}.new")
    with suppress(OSError):
        beside.write_text(json.dumps(stored, separators=(",", ":")))
        beside.replace(file)
    return found


def _loaded(stored: dict[str, Any]) -> Modules:
    return Modules(
        {name: tuple(names) for name, names in stored["owners"].items()},
        stored["programs"],
        tuple(stored["entry_points"]),
        {name: tuple(names) for name, names in stored["requires"].items()},
        frozenset(stored["packages"]),
        tuple(stored["open"]),
    )


def _of(folder: Path) -> Modules:
    owners: dict[str, set[str]] = {}
    programs: dict[str, str] = {}
    entry_points: list[str] = []
    packages: set[str] = set()
    requires: dict[str, tuple[str, ...]] = {}
    for one in distributions(path=[str(folder)]):
        name = canonicalize_name(one.metadata["Name"] or "")
        requires[name] = tuple(sorted(_required(one)))
        if any(point.group not in ("console_scripts", "gui_scripts") for point in one.entry_points):
            entry_points.append(name)
        for point in one.entry_points.select(group="console_scripts"):
            programs[point.name] = name
        for path in _record(one):
            if path.startswith(("../../../bin/", "bin/")):
                programs.setdefault(PurePosixPath(path).name, name)
                continue
            for module, package in _modules(path, folder):
                owners.setdefault(module, set()).add(name)
                if package:
                    packages.add(module)
    return Modules(
        {module: tuple(sorted(names)) for module, names in sorted(owners.items())},
        dict(sorted(programs.items())),
        tuple(sorted(entry_points)),
        requires,
        frozenset(packages),
    )


def _required(one: Distribution) -> Iterator[str]:
    for line in one.requires or ():
        match = re.match(r"[A-Za-z0-9._-]+", line)
        if match:
            yield canonicalize_name(match[0])


def _record(one: Distribution) -> Iterator[str]:
    text = one.read_text("RECORD") or ""
    for row in csv.reader(text.splitlines()):
        if row:
            yield row[0]


def _modules(path: str, folder: Path) -> Iterator[tuple[str, bool]]:
    """The modules that a file of a wheel stands for, those around it included; True for what can hold others."""
    if path == _DISTUTILS:
        yield "distutils", True
        return
    if path.endswith(".pth") and "/" not in path:
        yield from _added(folder / path, folder)
        return
    *above, name = path.split("/")
    if not all(part.isidentifier() for part in above):
        return
    stem, dot, suffix = name.rpartition(".")
    extension = _EXTENSION.match(name)
    module = extension[1] if extension else stem if f"{dot}{suffix}" in _SUFFIXES and stem.isidentifier() else ""
    if not module:
        return
    for end in range(1, len(above) + 1):
        yield ".".join(above[:end]), True
    if module != "__init__":
        yield ".".join([*above, module]), False


def _added(pth: Path, folder: Path) -> Iterator[tuple[str, bool]]:
    """The modules in the folders that a .pth file adds to the path."""
    with suppress(OSError, UnicodeDecodeError):
        for line in pth.read_text().splitlines():
            added = folder / line.strip()
            if line.strip() and not line.startswith(("#", "import ", "import\t")) and added.is_dir():
                for file in added.rglob("*"):
                    if file.is_file():
                        yield from _modules(file.relative_to(added).as_posix(), folder)
