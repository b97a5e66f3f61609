"""Signatures of images, by cosign (https://docs.sigstore.dev/cosign/signing/signing_with_containers/)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

from podenv import process
from podenv.catalogue.environment import Environment
from podenv.catalogue.reference import ImageRef
from podenv.errors import ImageError, ProgramFailed, SettingError
from podenv.image import ImageSettings, registry

_TIMEOUT = 300.0  # seconds; a key service and a log of signatures are asked


def is_wanted(environment: Environment, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether somebody is named who signs."""
    return bool(_key(environment, environ) or environment.spec.image.signature.identity)


def sign(environment: Environment, ref: ImageRef, chosen: ImageSettings) -> bool:
    """Sign the image ``ref`` (by digest); False where cosign is not installed. Raises `ImageError`."""
    if shutil.which("cosign") is None:
        return False
    key = _key(environment, os.environ)
    words = ["--key", _place(environment, key)] if key else []
    words += [] if environment.spec.image.signature.transparency_log else ["--tlog-upload=false"]
    words += [*_plain(ref, chosen), "--yes", str(ref)]
    try:
        process.run(["cosign", "sign", *words], timeout=_TIMEOUT)
    except ProgramFailed as error:
        if "Enter password" in error.stderr or "decryption failed" in error.stderr:
            raise ImageError(
                f"{ref} is pushed and not signed: {key} has another password; set COSIGN_PASSWORD."
            ) from None
        raise ImageError(
            f"{ref} is pushed and not signed: cosign says: {_last(error)}. Correct image.signature of "
            f"{environment.name!r} or the login, then run `podenv build {environment.name} --rebuild --push`."
        ) from None
    return True


def verify(environment: Environment, ref: ImageRef, chosen: ImageSettings) -> str:
    """Why the signature of ``ref`` (by digest) does not hold; an empty text where it does.

    Raises `SettingError` where nobody is named who signs, `ImageError` where cosign is not installed.
    """
    named = environment.spec.image.signature
    if key := named.public_key or _key(environment, os.environ):
        who = ["--key", _place(environment, key)]
    elif named.identity:
        who = ["--certificate-identity", named.identity, "--certificate-oidc-issuer", named.issuer]
    else:
        raise SettingError(
            f"Nobody is named who signs the image of {environment.name!r}; set image.signature (publicKey, or identity "
            "and issuer) in its values or in envs/defaults.yaml."
        )
    if shutil.which("cosign") is None:
        raise ImageError("A signature cannot be checked without cosign, which is not on PATH; install it.")
    who += [] if named.transparency_log else ["--private-infrastructure"]
    try:
        process.run(["cosign", "verify", *who, *_plain(ref, chosen), str(ref)], timeout=_TIMEOUT)
    except ProgramFailed as error:
        return f"its signature does not hold: cosign says: {_last(error)}"
    return ""


def _key(environment: Environment, environ: Mapping[str, str]) -> str:
    return environ.get("PODENV_COSIGN_KEY") or environment.spec.image.signature.key


def _place(environment: Environment, key: str) -> str:
    """A file of the values is seen from the environment's folder; an address, and a file of a variable, stay."""
    if "://" in key or key == os.environ.get("PODENV_COSIGN_KEY"):
        return key
    return os.path.normpath(environment.folder / key)


def _plain(ref: ImageRef, chosen: ImageSettings) -> list[str]:
    return ["--allow-http-registry"] if registry.is_plain(ref.host, chosen.plain_http) else []


def _last(error: ProgramFailed) -> str:
    said = [line.strip() for line in error.stderr.splitlines() if line.strip()]
    telling = [line for line in said if line.startswith("Error:")] or said or ["nothing"]
    return telling[0].rstrip(".")
