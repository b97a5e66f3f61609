"""A bill of materials of an environment, from its lock: CycloneDX 1.6, https://cyclonedx.org/docs/1.6/json/."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from packaging.requirements import InvalidRequirement
from packaging.utils import canonicalize_name

from podenv import lock
from podenv.catalogue.environment import Environment
from podenv.lock import packages, requirements
from podenv.lock.packages import OwnPackage

_HASH = re.compile(r"--hash[=\s]sha256:([0-9a-f]{64})")
_NAMESPACE = uuid.UUID("6f7f1c3e-6a0f-5d0b-9a36-3f1f0d6f8f53")  # any, but always the same


def bill(environment: Environment, platform: str = "") -> dict[str, Any]:
    """What the lock installs in the image for ``platform``, as CycloneDX; the same lock gives the same document.

    A component's hashes are those of all files (wheels) that the lock accepts for it. Raises `LockError`.
    """
    lock.check(environment)
    platform = platform or environment.spec.image.platform
    locked = lock.pinned(environment, markers=lock.on(environment.python, platform))
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
                    {"name": "podenv:platform", "value": platform},
                ],
            },
        },
        "components": components,
        "dependencies": [{"ref": root, "dependsOn": [component["bom-ref"] for component in components]}],
    }


def with_system(document: dict[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """``document`` with what was ``found`` in the image (`inventory`): its system, its Python, Debian's packages."""
    system = found["os"]
    vendor, codename = system.get("ID", "debian"), system.get("VERSION_CODENAME", "")
    components = [
        {
            "type": "operating-system",
            "bom-ref": "os",
            "name": vendor,
            "version": system.get("VERSION_ID", ""),
            "description": system.get("PRETTY_NAME", ""),
        },
        {"type": "platform", "bom-ref": "python", "name": "python", "version": found["python"]},
        *(_debian_component(*package, vendor=vendor, codename=codename) for package in found["packages"]),
    ]
    root = document["dependencies"][0]
    everything = [*root["dependsOn"], *(component["bom-ref"] for component in components)]
    serial = uuid.uuid5(_NAMESPACE, json.dumps([document["serialNumber"], found], sort_keys=True))
    return {
        **document,
        "serialNumber": f"urn:uuid:{serial}",
        "components": [*document["components"], *components],
        "dependencies": [{**root, "dependsOn": everything}],
    }


def _debian_component(
    name: str, version: str, architecture: str, source: str, *, vendor: str, codename: str
) -> dict[str, Any]:
    about = {"arch": architecture, "distro": codename}
    if source:  # what Debian's advisories are about
        about["upstream"] = source.partition(" ")[0]
    query = "&".join(f"{key}={quote(value, safe='')}" for key, value in sorted(about.items()) if value)
    purl = f"pkg:deb/{vendor}/{quote(name)}@{quote(version, safe='')}?{query}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


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
