"""The manifests of all environments in a folder that Git keeps, and the digests of their images.

One folder for each environment, with one file of manifests. `images.lock` beside them says which digest each image had
when it was first asked for, so that the same repository gives the same files again, without the registry. Other files
are never touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from podenv import image
from podenv.catalogue import scaffold
from podenv.catalogue.environment import Environment
from podenv.catalogue.reference import ImageRef
from podenv.catalogue.values import dump
from podenv.errors import ImageMissing, ReleaseFilesInvalid
from podenv.release import Releases, manifest
from podenv.release import diff as differing
from podenv.release.diff import Change
from podenv.release.spec import lock_of

IMAGES, MANIFESTS = "images.lock", "manifests.yaml"
# Written down at the first time, so that another helm does not render another file.
KUBERNETES = "1.35"
_HEAD = (
    "# Written by `podenv template --all`: the version of Kubernetes, and the digest of each image. Keep it in Git.\n"
)


@dataclass(frozen=True)
class Rendered:
    """One environment: its image as ``name:tag@digest``, and its manifests. ``old_image``: what was recorded before."""

    name: str
    image: str
    manifests: str
    old_image: str = ""


@dataclass(frozen=True)
class FileChange:
    """How the files of an environment differ from what would be written; ``images`` are those before and after.

    ``objects`` is empty where only the text differs. The action is ``add``, ``change`` or ``remove``.
    """

    environment: str
    action: str
    objects: tuple[Change, ...] = ()
    images: tuple[str, str] | None = None


@dataclass(frozen=True)
class ReleaseFiles:
    """A folder of manifests as it is: ``images`` by environment, and the Kubernetes that they were rendered for."""

    folder: Path
    kubernetes: str = KUBERNETES
    images: Mapping[str, str] = field(default_factory=dict)

    def image(self, environment: Environment) -> ImageRef | None:
        """The image that the environment needs now, by its recorded digest; None where that is not recorded.

        Raises `LockError` where the lock is not fresh.
        """
        wanted = image.wanted(environment)
        name, _, digest = self.images.get(environment.name, "").partition("@")
        return wanted.at(digest) if digest and name == wanted.tagged else None

    def resolved(self, releases: Releases, environment: Environment, *, offline: bool, refresh: bool) -> ImageRef:
        """The same, asked of the registry where it is not recorded, or with ``refresh``.

        Raises `ImageMissing`, also where ``offline`` forbids to ask, and `LockError`, `RegistryError`.
        """
        found = None if refresh else self.image(environment)
        if found is not None:
            return found
        wanted = image.wanted(environment)
        if offline:
            raise ImageMissing(
                f"{self.folder / IMAGES} does not have {wanted.tagged}, which {environment.name!r} needs now; run "
                "`podenv template --all` where the registry answers, without --offline, and commit what it writes."
            )
        digest = releases.images.digest(environment)
        if digest is None:
            raise ImageMissing(f"{wanted} is not in its registry; run `podenv build {environment.name} --push`.")
        return wanted.at(digest)

    def expected(self, releases: Releases, environment: Environment) -> Rendered:
        """What would be written, without the registry: an image whose digest is not recorded has none yet.

        Its manifests are then those for the digest that is recorded, so that all other changes show. Raises
        `LockError`, `ReleaseError`.
        """
        if (ref := self.image(environment)) is not None:
            return self.render(releases, environment, ref)
        wanted = image.wanted(environment)
        digest = self.images.get(environment.name, "").partition("@")[2] or f"sha256:{'0' * 64}"
        return replace(self.render(releases, environment, wanted.at(digest)), image=wanted.tagged)

    def render(self, releases: Releases, environment: Environment, ref: ImageRef) -> Rendered:
        """The manifests of an environment, for an image whose digest is known. Raises `ReleaseError`."""
        spec = releases.spec_with_image(environment, ref, lock_hash=lock_of(environment))
        recorded = f"{image.wanted(environment).tagged}@{ref.digest}"
        text = releases.template(environment, spec, kubernetes=self.kubernetes)
        return Rendered(environment.name, recorded, text, self.images.get(environment.name, ""))

    def changes(self, rendered: Iterable[Rendered], *, present: Iterable[str] = ()) -> list[FileChange]:
        """How the files differ from what `write` would make of them, by the name of the environment.

        ``present``: environments that there are, though they may not have been rendered.
        """
        wanted = {one.name: one for one in rendered}
        found = [FileChange(name, "remove") for name in self.images.keys() - wanted.keys() - set(present)]
        for name, one in wanted.items():
            images = (one.old_image, one.image) if one.old_image != one.image else None
            text = self._text(name)
            if text is None:
                found.append(FileChange(name, "add", images=images))
            elif text != one.manifests or images:
                objects = differing.between(
                    _objects(self.folder / name / MANIFESTS, text), manifest.parse(one.manifests)
                )
                found.append(FileChange(name, "change", tuple(objects), images))
        return sorted(found, key=lambda change: change.environment)

    def write(self, rendered: Iterable[Rendered]) -> list[FileChange]:
        """Write what differs, and remove the files of environments that are no more; returns what it did.

        Each file is whole at any time. What was interrupted, the next call completes.
        """
        rendered = list(rendered)
        done = self.changes(rendered)
        try:
            for one in rendered:
                _write(self.folder / one.name / MANIFESTS, one.manifests)
            for name in self.images.keys() - {one.name for one in rendered}:
                (self.folder / name / MANIFESTS).unlink(missing_ok=True)
                with suppress(OSError):  # it holds files of others, or is gone
                    (self.folder / name).rmdir()
            images = {one.name: one.image for one in sorted(rendered, key=lambda one: one.name)}
            _write(self.folder / IMAGES, _HEAD + dump({"kubernetes": self.kubernetes, "images": images}))
        except OSError as error:
            raise ReleaseFilesInvalid(
                f"{error.filename} cannot be written: {error.strerror}; correct that, and run the command again."
            ) from None
        return done

    def _text(self, name: str) -> str | None:
        file = self.folder / name / MANIFESTS
        try:
            return file.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise ReleaseFilesInvalid(f"{file} cannot be read: {error}; `podenv template --all` writes it.") from None


def read(folder: Path, *, kubernetes: str = "") -> ReleaseFiles:
    """What is in ``folder``; an empty one if it is missing. Raises `ReleaseFilesInvalid`."""
    file = folder / IMAGES
    try:
        found: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ReleaseFiles(folder, kubernetes or KUBERNETES)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ReleaseFilesInvalid(f"{file} cannot be read: {' '.join(str(error).split())}. {_RESTORE}") from None
    images = found.get("images") if isinstance(found, dict) else None
    if not isinstance(images, dict) or not all("@sha256:" in str(one) for one in images.values()):
        raise ReleaseFilesInvalid(f"{file} is not a valid list of images by environment. {_RESTORE}")
    return ReleaseFiles(folder, kubernetes or str(found.get("kubernetes") or KUBERNETES), images)


_RESTORE = "Take it from Git again, or delete it and run `podenv template --all` to have the registry asked anew."


def _objects(file: Path, text: str) -> list[dict[str, Any]]:
    try:
        return manifest.parse(text)
    except yaml.YAMLError as error:
        raise ReleaseFilesInvalid(
            f"{file} is not valid YAML ({' '.join(str(error).split())}); take it from Git again, or delete it."
        ) from None


def _write(file: Path, text: str) -> None:
    with suppress(FileNotFoundError, UnicodeDecodeError):
        if file.read_text(encoding="utf-8") == text:
            return
    scaffold.put(file, text.encode())
