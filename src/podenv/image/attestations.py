"""What is attached to an image that was pushed: its bill of materials, and where it comes from.

Formats: https://cyclonedx.org/docs/1.6/json/, https://in-toto.io/Statement/v1 and https://slsa.dev/spec/v1.1/provenance;
where they stand is that of BuildKit and cosign. Neither is signed by itself: cosign signs the image.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from podenv import lock, origin
from podenv.catalogue.environment import Environment
from podenv.catalogue.reference import ImageRef
from podenv.image import ImageSettings, inside, inventory, referrers, sbom
from podenv.image.builder import Builder
from podenv.image.referrers import Document
from podenv.image.registry import Registries

Json = dict[str, Any]
SBOM = "application/vnd.cyclonedx+json"
PROVENANCE = "application/vnd.in-toto+json"
_PREDICATE = "https://slsa.dev/provenance/v1"
# No address that can be opened: the words that tell this kind of build from others.
_BUILD_TYPE = "urn:podenv:build:v1"


@dataclass(frozen=True)
class Made:
    """What a build began from and when: base and uv by their digests, the commit (empty where unknown), ISO times."""

    base: ImageRef
    uv: ImageRef
    revision: str
    started: str
    finished: str


def attach(
    environment: Environment, subject: ImageRef, chosen: ImageSettings, made: Made | None, *,
    builder: Builder, registries: Registries, local: ImageRef,
) -> list[str]:  # fmt: skip
    """Attach to ``subject`` (by digest) what is not attached yet; returns the types of what was.

    ``local`` is the same image in the builder's store; there is a provenance only where ``made`` is known. Raises
    `RegistryError`, `ImageUnusable`.
    """
    there = {one.get("artifactType") for one in referrers.listed(registries, subject)}
    new = []
    if SBOM not in there:
        system = inside.report(builder, local, "inventory.py", inventory.MARK, platform=chosen.platform)
        document = sbom.with_system(sbom.bill(environment, chosen.platform), system)
        referrers.attach(registries, subject, Document(SBOM, _bytes(document), {}))
        new.append(SBOM)
    if PROVENANCE not in there and made is not None:
        statement = provenance(environment, subject, chosen, made, builder=builder.name)
        kind = {"in-toto.io/predicate-type": _PREDICATE}
        referrers.attach(registries, subject, Document(PROVENANCE, _bytes(statement), kind))
        new.append(PROVENANCE)
    return new


def provenance(environment: Environment, subject: ImageRef, chosen: ImageSettings, made: Made, *, builder: str) -> Json:
    """An in-toto statement with a SLSA provenance: what was built, from what, by what."""
    source = origin.address(environment.folder)
    commit = {"digest": {"gitCommit": made.revision}} if made.revision else {}
    materials = [
        {"uri": f"pkg:oci/{ref.repository.rpartition('/')[2]}?repository_url={ref.name}",
         "digest": {"sha256": ref.digest.removeprefix("sha256:")}}
        for ref in (made.base, made.uv)
    ]  # fmt: skip
    locked = {"name": environment.lock_file.name, "digest": {"sha256": lock.lock_hash(environment)}}
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": subject.name, "digest": {"sha256": subject.digest.removeprefix("sha256:")}}],
        "predicateType": _PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": _BUILD_TYPE,
                "externalParameters": {
                    "environment": environment.name,
                    "python": environment.python,
                    "platform": chosen.platform,
                    "base": chosen.base,
                    "systemPackages": sorted(set(environment.spec.system_packages)),
                    "refresh": environment.spec.image.refresh,
                },
                "resolvedDependencies": [*materials, locked, *([{"uri": f"git+{source}", **commit}] if source else [])],
            },
            "runDetails": {
                "builder": {"id": f"urn:podenv:builder:{builder}", "version": {"podenv": metadata.version("podenv")}},
                "metadata": {"startedOn": made.started, "finishedOn": made.finished},
            },
        },
    }


def _bytes(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=1, sort_keys=True).encode()
