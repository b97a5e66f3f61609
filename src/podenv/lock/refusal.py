"""What cannot be locked: why uv failed, and what no lock may hold although uv resolved it."""

from __future__ import annotations

import re

from packaging.requirements import InvalidRequirement
from packaging.utils import canonicalize_name

from podenv import causes
from podenv.catalogue.environment import Environment
from podenv.errors import LockError, ResolutionFailed
from podenv.lock import platforms, requirements
from podenv.lock.requirements import Requested

# It names a setting that podenv makes.
# They speak of the Python that uv was started with, which is not the environment's.
_HINT = re.compile(
    r"\n+hint: (The resolution failed for an environment that is not the current one"
    r"|While the active Python version is ).*"
)
_REF = re.compile(r"failed to fetch [a-z ]+ `([^`]+)`")
_OTHER_PYTHON = "matching Python"


def explain(environment: Environment, said: str) -> LockError:
    """The error that stands for what uv said."""
    file = environment.source
    said = said.replace(" for split (markers: sys_platform == 'linux')", "")
    said = _HINT.sub("", said).strip().removeprefix("error: ")
    cause = causes.find(causes.UV, said)
    kind = cause.kind
    what, remedy = f"uv cannot resolve {file}", ""
    if kind in ("network", "offline"):
        what = (
            f"the package index cannot be reached to resolve {file}; check the network, the indexes in the values and "
            "UV_DEFAULT_INDEX"
        )
    elif kind == "credentials":
        what = (
            f"a package index wants other credentials to resolve {file}; check those in UV_DEFAULT_INDEX, "
            "UV_INDEX_<NAME>_USERNAME and UV_INDEX_<NAME>_PASSWORD, ~/.netrc or the keyring"
        )
    elif kind == "git":
        ref = _REF.search(said)
        what = f"the repository of {cause.subject(said)} cannot be read, or has no `{ref[1] if ref else 'such ref'}`"
    elif "No solution found" in said:
        what = f"no set of versions satisfies {file}"
        remedy = _way_out(environment, said) if kind == "wheel" else ""
    return ResolutionFailed(f"Environment {environment.name!r}: {what}. uv says:\n{said}{remedy}")


def _way_out(environment: Environment, said: str) -> str:
    if "for split" in said and _OTHER_PYTHON not in said:
        return (
            f"\n\npodenv: The lock must hold for {' and '.join(platforms.of(environment))}. For a package that only "
            "Linux has, write `NAME ; sys_platform == 'linux'`, for one that only amd64 has, `NAME ; platform_machine "
            "== 'x86_64'`; a platform that this project does not use leave out of `platforms` or `image.platforms` in "
            f"{environment.folder / 'values.yaml'}."
        )
    return (
        "\n\npodenv: Only wheels are used; a line `--no-binary NAME` in requirements.in lets one package be built from "
        "source."
    )


def check_body(environment: Environment, requested: Requested, body: str) -> None:
    """Return when nothing in a resolved ``body`` is secret or cannot be checked; raises `ResolutionFailed`."""
    for _, line in requirements.logical_lines(body):
        try:
            one = requirements.parse(line)
        except InvalidRequirement:
            raise ResolutionFailed(
                f"Environment {environment.name!r}: {line!r} is a folder of the project; name it in `packages` of the "
                f"values, and leave it out of {environment.source}."
            ) from None
        shown = requirements.without_login(str(one))
        where = f"Environment {environment.name!r}: {shown!r}"
        remedy = f"replace what asks for it in {environment.source} by a published release."
        if requirements.has_login(one.url or ""):
            raise ResolutionFailed(f"{where} holds a login, which has no place in a lock; {remedy}")
        if requirements.commit(one.url or ""):
            continue
        if "--hash=" not in line:
            raise ResolutionFailed(f"{where} has no hash, so nothing could check what is installed; {remedy}")
        if one.url and requirements.is_archive(one.url) and canonicalize_name(one.name) not in requested.no_binary:
            raise ResolutionFailed(
                f"{where} is a source archive, and only wheels are used; write `--no-binary {one.name}` into "
                f"{environment.requirements_in} to have it built where it is installed, or link a wheel of it."
            )
