"""Whether an image in its registry is signed and says what it is made of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from podenv import image
from podenv.catalogue.environment import Environment
from podenv.catalogue.reference import ImageRef
from podenv.errors import ImageMissing
from podenv.image import attestations, referrers, signature
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

    Raises `LockError`, `RegistryError`, `ImageMissing`, `SettingError`, `ProgramNotFound`.
    """
    chosen = image.settings(environment)
    ref = image.wanted(environment)
    digest = images.digest(environment)
    if digest is None:
        raise ImageMissing(f"{ref} is in no registry; run `podenv build {environment.name} --push`.")
    ref = ref.at(digest)
    unsigned = signature.verify(environment, ref, chosen)
    attached = _wrong(images.registries(chosen), ref) if environment.spec.image.attestations else ()
    return Attested(environment.name, ref, (*([unsigned] if unsigned else []), *attached))


def _wrong(registries: Registries, ref: ImageRef) -> Iterator[str]:
    there = {one.get("artifactType"): one for one in referrers.listed(registries, ref)}
    if attestations.SBOM not in there:
        yield "no bill of materials is attached to it"
    if (one := there.get(attestations.PROVENANCE)) is None:
        yield "no provenance is attached to it"
        return
    statement = json.loads(referrers.content(registries, ref, one))
    if [subject["digest"]["sha256"] for subject in statement["subject"]] != [ref.digest.removeprefix("sha256:")]:
        yield "the provenance attached to it is about another image"
