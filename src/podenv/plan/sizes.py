"""How large images are: by their layers in the registry, and by the wheels that a lock names."""

from __future__ import annotations

import sys
import tempfile
import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podenv import image, lock, process
from podenv.catalogue.environment import Environment
from podenv.errors import PodenvError, ProgramFailed
from podenv.image.build import Images
from podenv.lock import indexes, platforms
from podenv.plan import demand as demands

Layers = Mapping[str, int]  # digest -> bytes, compressed


@dataclass(frozen=True)
class Saved:
    """The bytes that sharing saves, compressed; None where that is not known. ``basis`` says where they come from."""

    bytes: int | None
    basis: str


def wheels(subject: Environment, pins: Sequence[str], from_source: Collection[str] = ()) -> int | None:
    """The bytes to download for ``pins`` on the image's platform; None where the index does not say the sizes."""
    if not pins:
        return 0
    for offline in (True, False):
        try:
            packages = _packages(subject, pins, from_source, offline=offline)
        except ProgramFailed:
            continue
        sizes = [_size(one) for one in packages]
        return sum(one or 0 for one in sizes) if None not in sizes else None
    return None


def layers(subject: Environment, images: Images) -> Layers | None:
    """The layers of the image that the environment needs now; None where no registry has it, or can be asked."""
    try:
        ref = image.wanted(subject)
        if ref.is_local:
            return None
        chosen = image.settings(subject)
        found = images.registries(chosen).manifest(ref, platform=chosen.platform)
    except PodenvError:
        return None
    return {str(one["digest"]): int(one["size"]) for one in found.get("layers", ())} if found else None


def saved(before: Sequence[int | None], after: int | None, stored: Sequence[Layers | None]) -> Saved:
    """What one image saves in place of several: ``before`` and ``after`` are bytes of wheels, ``stored`` their layers.

    Layers that all of them have, such as those of the base image, are stored once as it is.
    """
    known = [one for one in before if one is not None]
    if after is None or len(known) < len(before):
        return Saved(None, "the package index does not say how large its files are")
    if not sum(known):
        return Saved(0, "the wheels' sizes")
    found = [one for one in stored if one is not None]
    if len(found) < len(stored) or not found:
        return Saved(max(sum(known) - after, 0), "the wheels' sizes")
    return Saved(
        max(round(_own(found) * (1 - after / sum(known))), 0), "the layers in the registry and the wheels' sizes"
    )


def _own(stored: Sequence[Layers]) -> int:
    """The bytes of the layers that not all have."""
    common = set.intersection(*(set(one) for one in stored))
    return sum(size for digest, size in _merged(stored).items() if digest not in common)


def _merged(stored: Iterable[Layers]) -> dict[str, int]:
    return {digest: size for one in stored for digest, size in one.items()}


def _size(package: dict[str, Any]) -> int | None:
    """The size of the file that is taken: the wheel for this platform, else what it is built from."""
    files = [*package.get("wheels", ()), *filter(None, [package.get("sdist"), package.get("archive")])]
    sizes = [one["size"] for one in files if "size" in one]
    return int(sizes[0]) if sizes else None


def _packages(
    subject: Environment, pins: Sequence[str], from_source: Collection[str], *, offline: bool
) -> list[dict[str, Any]]:
    """What uv says of each pinned package and its files. Raises `ProgramFailed`."""
    with tempfile.TemporaryDirectory(prefix="podenv-plan-") as folder:
        root = Path(folder)
        (root / "pins.txt").write_text("".join(f"{one}\n" for one in pins))
        (root / "uv.toml").write_text(indexes.project(subject))
        output = root / "pylock.toml"
        named = [one for one in pins if demands.name(one) in indexes.named(subject)]
        extra: list[Path] = []
        if chosen := indexes.pins(subject, named):
            extra = [root / "pyproject.toml"]
            extra[0].write_text(chosen)
        argv: list[str | Path] = [
            lock.uv(), "pip", "compile", root / "pins.txt", *extra, "--no-deps", "--format", "pylock.toml",
            "--output-file", output, "--project", root, "--no-header", "--quiet", "--no-progress",
            # Named, or uv would start each Python on PATH until it finds one of that version.
            "--python", sys.executable, "--python-version", subject.python, "--no-python-downloads",
            "--python-platform", platforms.triple(subject.spec.image.platform), "--only-binary", ":all:",
            *(word for name in sorted(from_source) for word in ("--no-binary", name)),
            *(["--offline"] if offline else []),
        ]  # fmt: skip
        process.run(argv, cwd=root, env=lock.uv_variables())
        return list(tomllib.loads(output.read_text()).get("packages", []))
