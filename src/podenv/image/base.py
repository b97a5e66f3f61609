"""The base image by its digest, in ``envs/<name>/base.lock``: `podenv lock` writes it, ``--upgrade`` moves it.

    # This file is written by `podenv lock <name>`; `podenv lock <name> --upgrade` moves it.
    docker.io/library/python:3.13-slim@sha256:…

An environment without the file builds from what its base's tag stands for at that time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from podenv.catalogue import reference
from podenv.catalogue.environment import Environment
from podenv.catalogue.reference import ImageRef
from podenv.errors import ImageMissing, LockError, LockStale, RegistryError
from podenv.lock import lockfile

FILE = "base.lock"
State = Literal["not to pin", "unchanged", "pinned", "unknown"]


def file(environment: Environment) -> Path:
    """Where the pin of an environment is."""
    return environment.folder / FILE


def pinned(environment: Environment, ref: ImageRef) -> ImageRef:
    """``ref`` with the digest that the file has for it, as it is where there is no file.

    Raises `LockStale` where the file pins another image, `LockError`.
    """
    if ref.digest or (found := read(environment)) is None:
        return ref
    if not is_of(found, ref):
        raise LockStale(
            f"{file(environment)} pins {found.name}:{found.tag}, and the values of {environment.name!r} ask for {ref}; "
            f"run `podenv lock {environment.name}`."
        )
    return found


def read(environment: Environment) -> ImageRef | None:
    """What the file pins; None where there is none. Raises `LockError`."""
    place = file(environment)
    try:
        lines = place.read_text().splitlines()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise LockError(f"{place} cannot be read: {error}.") from None
    said = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    found = reference.parse(said[0], setting=str(place)) if len(said) == 1 else None
    if found is None or not found.tag or not found.digest:
        raise LockError(
            f"{place} is not a valid pin of one image by tag and digest; remove it, then run "
            f"`podenv lock {environment.name}`."
        )
    return found


def is_of(pin: ImageRef, ref: ImageRef) -> bool:
    """Whether the pin is one of this name and tag."""
    return (pin.name, pin.tag) == (ref.name, ref.tag)


def pin(
    environment: Environment,
    ref: ImageRef | None,
    ask: Callable[[ImageRef], str | None],
    *,
    upgrade: bool = False,
) -> tuple[State, str]:
    """Write the digest that ``ref`` has now; ``ask`` is asked only where none is known, or with ``upgrade``.

    ``ref`` is what the values name, or None where nothing is to be pinned; returns what became of it, and why it
    remains unknown. Raises `ImageMissing` where no such image is, `RegistryError` where another one was pinned and
    nothing can be asked, `LockError`.
    """
    if ref is None or ref.digest:
        return "not to pin", ""
    before = read(environment)
    fits = before is not None and is_of(before, ref)
    if fits and not upgrade:
        return "unchanged", ""
    try:
        digest = ask(ref)
    except RegistryError as error:
        if before is None or fits:
            return "unknown", str(error)
        raise
    if digest is None:
        raise ImageMissing(f"The base image {ref} is not in its registry; correct image.base of {environment.name!r}.")
    if before is not None and fits and before.digest == digest:
        return "unchanged", ""
    _write(environment, f"{ref}@{digest}")
    return "pinned", ""


def _write(environment: Environment, text: str) -> None:
    name = environment.name
    head = f"# This file is written by `podenv lock {name}`; `podenv lock {name} --upgrade` moves it.\n"
    place = file(environment)
    try:
        with tempfile.TemporaryDirectory(prefix=".podenv-base-", dir=environment.folder) as scratch:
            lockfile.put(place, f"{head}{text}\n".encode(), beside=Path(scratch, FILE))
    except OSError as error:
        raise LockError(f"{place} cannot be written: {error.strerror}; the old one, if any, is unchanged.") from None
