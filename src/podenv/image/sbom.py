"""A bill of materials of an environment, from its lock: CycloneDX 1.6, https://cyclonedx.org/docs/1.6/json/."""

from __future__ import annotations

import re
import uuid
from contextlib import suppress
from typing import Any

from packaging.requirements import InvalidRequirement
from packaging.utils import canonicalize_name

from podenv import lock
from podenv.catalogue.environment import Environment
from podenv.lock import packages, requirements
from podenv.lock.packages import OwnPackage

_HASH = re.compile(r"--hash[=\s]sha256:([0-9a-f]{64})")
_NAMESPACE = uuid.UUID("6f7f1c3e-6a0f-5d0b-9a36-3f1f0d6f8f53")  # any, but always the same


def bill(environment: Environment) -> dict[str, Any]:
    """What the lock installs in the image, as a CycloneDX document; the same lock gives the same document.

    A component's hashes are those of all files (wheels) that the lock accepts for it. Raises `LockError`.
    """
    lock.check(environment)
    locked = lock.pinned(environment, markers=lock.on(environment.python, environment.spec.image.platform))
    hashes = _hashes(environment)
    root = f"podenv/{environment.name}"
    own: dict[str, OwnPackage] = {package.name: package for package in packages.of(environment)}
    components = [
        _own_component(environment, own[name], version)
        if name in own
        else _component(name, version, hashes.get(name, []))
        for name, version in sorted(locked.items())
    ]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, f'{environment.name}/{lock.content_hash(environment)}')}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "bom-ref": root,
                "name": environment.name,
                **({"description": environment.spec.description} if environment.spec.description else {}),
                "properties": [
                    {"name": "podenv:python", "value": environment.python},
                    {"name": "podenv:lock", "value": lock.lock_hash(environment)},
                    {"name": "podenv:platform", "value": environment.spec.image.platform},
                ],
            },
        },
        "components": components,
        "dependencies": [{"ref": root, "dependsOn": [component["bom-ref"] for component in components]}],
    }


def _component(name: str, version: str, hashes: list[str]) -> dict[str, Any]:
    purl = f"pkg:pypi/{name}@{version}"
    if commit := requirements.commit(version):
        origin: dict[str, Any] = {"type": "vcs", "url": version.removeprefix("git+")}
        return _library(name, commit, f"{name}@{commit}", origin)
    if "://" in version:
        origin = {"type": "distribution", "url": version, "hashes": _as_hashes(hashes)}
        return _library(name, "", f"{name}@{version}", origin)
    origin = {
        "type": "distribution",
        "url": f"https://pypi.org/project/{name}/{version}/",
        "comment": "any index may have served it: the hashes decide",
        "hashes": _as_hashes(hashes),
    }
    return {**_library(name, version, purl, origin), "purl": purl}


def _own_component(environment: Environment, package: OwnPackage, version: str) -> dict[str, Any]:
    """One of the project's own packages: the hash is over its sources."""
    digest = packages.sources_hash(environment, package)
    return {
        "type": "library",
        "bom-ref": f"{package.name}@{version}",
        "name": package.name,
        "version": version,
        "properties": [
            {"name": "podenv:path", "value": package.path},
            {"name": "podenv:sources", "value": f"sha256:{digest}"},
        ],
    }


def _library(name: str, version: str, ref: str, origin: dict[str, Any]) -> dict[str, Any]:
    known = {"version": version} if version else {}
    return {"type": "library", "bom-ref": ref, "name": name, **known, "externalReferences": [origin]}


def _as_hashes(hashes: list[str]) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": one} for one in hashes]


def _hashes(environment: Environment) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for _, line in requirements.logical_lines(environment.lock_file.read_text()):
        with suppress(InvalidRequirement):  # an option line
            found.setdefault(canonicalize_name(requirements.parse(line).name), []).extend(_HASH.findall(line))
    return {name: sorted(set(hashes)) for name, hashes in found.items()}
