"""What is attached to an image in its registry: documents that name it as their subject.

Protocol: https://github.com/opencontainers/distribution-spec/blob/main/spec.md (listing referrers; where a registry has
no such list, an index under the tag ``sha256-<hex>``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

from podenv.catalogue.reference import ImageRef
from podenv.errors import ImageMissing, RegistryRefused
from podenv.image.registry import INDEX, MANIFEST, Registries, digest_of, words

Json = dict[str, Any]
_EMPTY = "application/vnd.oci.empty.v1+json"


@dataclass(frozen=True)
class Document:
    """A document to attach: its media type, which is the artifact's type too, its bytes, and what annotates it."""

    media_type: str
    content: bytes
    annotations: Mapping[str, str]


def attach(registries: Registries, subject: ImageRef, document: Document) -> str:
    """Attach ``document`` to the image ``subject`` (by digest); returns the digest of what holds it.

    Raises `ImageMissing`, `RegistryError`.
    """
    of = registries.request("GET", subject, f"manifests/{subject.digest}")
    if of.status == 404:
        raise ImageMissing(f"{subject} is not in its registry.")
    _expect(of, subject, 200)
    media_type = of.headers.get("Content-Type", MANIFEST).partition(";")[0]
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": document.media_type,
        "config": _blob(registries, subject, b"{}", _EMPTY),
        "layers": [
            {
                **_blob(registries, subject, document.content, document.media_type),
                "annotations": dict(document.annotations),
            }
        ],
        "subject": {"mediaType": media_type, "digest": subject.digest, "size": len(of.data)},
        "annotations": dict(document.annotations),
    }
    content = json.dumps(manifest, sort_keys=True).encode()
    digest = digest_of(content)
    answer = registries.request("PUT", subject, f"manifests/{digest}", {"Content-Type": MANIFEST}, content)
    _expect(answer, subject, 201)
    if "OCI-Subject" not in answer.headers:  # a registry without the list of referrers: who pushes keeps it
        _add(registries, subject, _descriptor(MANIFEST, content) | _kind(manifest))
    return digest


def listed(registries: Registries, subject: ImageRef) -> list[Json]:
    """Descriptors of what is attached to ``subject``. Raises `RegistryError`."""
    headers = {"Accept": INDEX}
    answer = registries.request("GET", subject, f"referrers/{subject.digest}", headers)
    if answer.status == 404:
        answer = registries.request("GET", subject, f"manifests/{_tag(subject)}", headers)
        if answer.status == 404:
            return []
    _expect(answer, subject, 200)
    found: list[Json] = json.loads(answer.data).get("manifests") or []
    return found


def content(registries: Registries, subject: ImageRef, attached: Json) -> bytes:
    """The document that an entry of `listed` holds. Raises `RegistryError`."""
    manifest = registries.request("GET", subject, f"manifests/{attached['digest']}", {"Accept": MANIFEST})
    _expect(manifest, subject, 200)
    answer = registries.request("GET", subject, f"blobs/{json.loads(manifest.data)['layers'][0]['digest']}")
    _expect(answer, subject, 200)
    return answer.data


def _add(registries: Registries, subject: ImageRef, entry: Json) -> None:
    entries = [one for one in listed(registries, subject) if one["digest"] != entry["digest"]]
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [*entries, entry]}
    answer = registries.request(
        "PUT", subject, f"manifests/{_tag(subject)}", {"Content-Type": INDEX}, json.dumps(index).encode()
    )
    _expect(answer, subject, 201)


def _blob(registries: Registries, subject: ImageRef, content: bytes, media_type: str) -> Json:
    """Upload ``content`` unless it is there; returns its descriptor."""
    digest = digest_of(content)
    if registries.request("HEAD", subject, f"blobs/{digest}").status != 200:
        begun = registries.request("POST", subject, "blobs/uploads/")
        _expect(begun, subject, 202)
        place = urljoin(registries.address(subject, "blobs/uploads/"), begun.headers["Location"])
        joined = f"{place}{'&' if '?' in place else '?'}digest={digest}"
        headers = {"Content-Type": "application/octet-stream"}
        _expect(registries.request("PUT", subject, joined, headers, content), subject, 201)
    return _descriptor(media_type, content)


def _descriptor(media_type: str, content: bytes) -> Json:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


def _kind(manifest: Json) -> Json:
    return {"artifactType": manifest["artifactType"], "annotations": manifest["annotations"]}


def _tag(subject: ImageRef) -> str:
    return subject.digest.replace(":", "-")


def _expect(answer: Any, subject: ImageRef, status: int) -> None:
    if answer.status != status:
        raise RegistryRefused(
            f"{subject.host} answered {answer.status} where documents are attached to {subject}: {words(answer)}; "
            "may this login push there? image.attestations: false attaches none."
        )
