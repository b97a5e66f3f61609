"""Whether an image in its registry is signed and says what it is made of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from podenv import image
from podenv.catalogue.environment import Environment
from podenv.catalogue.reference import ImageRef
from podenv.errors import ImageMissing
from podenv.image import attestations, index, referrers, signature
from podenv.image.build import Images
from podenv.image.registry import Registries


@dataclass(frozen=True)
class Attested:
    """What was found of one image; all holds where there are no ``differences``."""

    environment: str
    ref: ImageRef
    differences: tuple[str, ...]


def verify(environment: Environment, images: Images) -> Attested:
    """Check the signature of the image that ``environment`` needs now, and what is attached to it.

    Raises `LockError`, `RegistryError`, `ImageMissing`, `SettingError`, `ImageError`.
    """
    chosen = image.settings(environment)
    ref = image.wanted(environment)
    digest = images.digest(environment)
    values = environment.spec.image
    if digest is None:
        remedy = "correct image.repository" if values.external else f"run `podenv build {environment.name} --push`"
        raise ImageMissing(f"{ref} is in no registry; {remedy}.")
    ref = ref.at(digest)
    unsigned = signature.verify(environment, ref, chosen)
    ours = values.attestations and not values.external
    attached = _attached(environment.name, images.registries(chosen), ref) if ours else ()
    return Attested(environment.name, ref, (*([unsigned] if unsigned else []), *attached))


def _attached(name: str, registries: Registries, ref: ImageRef) -> Iterator[str]:
    """What is wrong with the documents; those of an index are attached to its images."""
    of_each = index.images(registries, ref)
    if not of_each:
        yield from _wrong(name, registries, ref)
    for platform, one in of_each.items():
        yield from (f"{platform}: {wrong}" for wrong in _wrong(name, registries, one))


def _wrong(name: str, registries: Registries, ref: ImageRef) -> Iterator[str]:
    there = {one.get("artifactType"): one for one in referrers.listed(registries, ref)}
    remedy = f"run `podenv build {name} --rebuild --push`"
    if attestations.SBOM not in there:
        yield f"no bill of materials is attached to it; {remedy}"
    if (one := there.get(attestations.PROVENANCE)) is None:
        yield f"no provenance is attached to it; {remedy}"
        return
    statement = json.loads(referrers.content(registries, ref, one))
    if [subject["digest"]["sha256"] for subject in statement["subject"]] != [ref.digest.removeprefix("sha256:")]:
        yield "the provenance attached to it is about another image"
