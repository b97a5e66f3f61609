"""Why a builder failed, read from what it said."""

from __future__ import annotations

import re

from podenv.catalogue.reference import ImageRef
from podenv.errors import ProgramFailed, RegistryError, RegistryLoginNeeded, RegistryRefused, RegistryUnreachable

_NO_PACKAGE = "the base image's system has no package {0}; correct systemPackages"
_CAUSES: tuple[tuple[str, str], ...] = (
    (r"Hash mismatch for `([^`]+)`", "{0} has another hash than the lock says; if that is meant, run `podenv lock`"),
    (r"Unable to locate package (\S+)", _NO_PACKAGE),
    (r"Package '?(\S+?)'? has no installation candidate", _NO_PACKAGE),
    (r"No interpreter found for (Python \S+)", "the base image has no {0}; choose another image.base"),
    (r"No space left on device", "the disk is full; free some space"),
    (r"Because (\S+) has no .*wheels?", "{0} has no wheel for this platform"),
    (r"(?:Failed to fetch|error sending request).*?(https?://\S+?)[`)\s]", "{0} cannot be reached; check the network"),
    (r"apt-get: not found", "the base image has no apt-get, so it can take no systemPackages"),
)  # fmt: skip


def of_build(said: str, error: ProgramFailed) -> str:
    """Why a build failed, in a few words, from all that was said."""
    for pattern, meaning in _CAUSES:
        if match := re.search(pattern, said):
            return meaning.format(*match.groups())
    lines = [line.strip() for line in error.stderr.splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(("Error: building at STEP", "subprocess exited"))]
    return (telling or lines or ["the builder said nothing"])[-1].rstrip(".")


def of_push(ref: ImageRef, error: ProgramFailed) -> RegistryError:
    """The error that a failed push stands for."""
    said = error.stderr.strip().splitlines()[-1:] or ["it said nothing"]
    text = said[0].strip().rstrip(".")
    if re.search(r"unauthorized|authentication required|401", error.stderr, re.IGNORECASE):
        return RegistryLoginNeeded(f"{ref.host} wants a login to take {ref}; run `buildah login {ref.host}`: {text}.")
    if re.search(r"denied|forbidden|403", error.stderr, re.IGNORECASE):
        return RegistryRefused(f"{ref.host} refuses to take {ref}: {text}.")
    if re.search(r"connection refused|no such host|i/o timeout|dial tcp", error.stderr, re.IGNORECASE):
        return RegistryUnreachable(f"{ref.host} cannot be reached to take {ref}: {text}.")
    return RegistryRefused(f"{ref} could not be pushed: {text}.")
