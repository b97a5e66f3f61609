"""One index of an image for each platform: what a tag stands for where there are several.

Format: https://github.com/opencontainers/image-spec/blob/main/image-index.md
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from podenv.catalogue.reference import ImageRef
from podenv.errors import ImageMissing, RegistryRefused
from podenv.image.registry import INDEX, Registries, digest_of, words

Json = dict[str, Any]


def push(registries: Registries, ref: ImageRef, images: Mapping[str, ImageRef]) -> str:
    """Have ``ref`` stand for the ``images`` (platform -> image by its digest, there already); returns the digest.

    Raises `ImageMissing`, `RegistryError`.
    """
    entries = [_entry(registries, platform, one) for platform, one in sorted(images.items())]
    content = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
    answer = registries.request("PUT", ref, f"manifests/{ref.tag}", {"Content-Type": INDEX}, content)
    if answer.status != 201:
        raise RegistryRefused(
            f"{ref.host} answered {answer.status} to the index {ref} of {len(images)} images: {words(answer)}; may "
            "this login push there, and does it take an index (OCI image specification 1.0)?"
        )
    return digest_of(content)


def images(registries: Registries, ref: ImageRef) -> dict[str, ImageRef]:
    """Platform -> image by its digest, of the index that ``ref`` is; empty for a single image.

    Raises `RegistryError`.
    """
    found = registries.document(ref)
    return {_text(one["platform"]): ref.at(one["digest"]) for one in (found or {}).get("manifests") or ()}


def _entry(registries: Registries, platform: str, ref: ImageRef) -> Json:
    answer = registries.request("GET", ref, f"manifests/{ref.digest}")
    if answer.status != 200:
        raise ImageMissing(f"{ref} was pushed, and {ref.host} says that it does not have it; push it again.")
    media_type = answer.headers.get("Content-Type", "").partition(";")[0]
    system, architecture, *variant = platform.split("/")
    of = {"os": system, "architecture": architecture} | ({"variant": variant[0]} if variant else {})
    return {"mediaType": media_type, "digest": ref.digest, "size": len(answer.data), "platform": of}


def _text(platform: Mapping[str, str]) -> str:
    return "/".join(filter(None, (platform.get(key) for key in ("os", "architecture", "variant"))))
