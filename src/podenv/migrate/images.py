"""An image that a task names -> the values of an environment whose image is built elsewhere."""

from __future__ import annotations

import re

from podenv.catalogue.names import is_python_version
from podenv.catalogue.reference import parse
from podenv.errors import PodenvError
from podenv.migrate.packages import Unfit

_PYTHON = re.compile(r"(?<![\w.])(?:py(?:thon)?-?)?(3\.\d{1,2})(?![\d])")
# Images that are known to have no Python; podenv's runtime needs one.
_WITHOUT_PYTHON = {"alpine", "bash", "busybox", "curl", "debian", "hello-world", "nginx", "ubuntu"}


def values(reference: str) -> dict[str, object]:
    """``image`` of values.yaml for this reference. Raises `Unfit`."""
    try:
        ref = parse(reference, setting="image")
    except PodenvError as error:
        raise Unfit(f"its image {reference!r} is not a reference that podenv reads ({error})") from None
    if ref.repository.rpartition("/")[2] in _WITHOUT_PYTHON:
        raise Unfit(f"the image {reference} has no Python, which podenv needs to start anything")
    place: dict[str, object] = {"external": True, "registry": ref.registry, "repository": ref.repository}
    return place | ({"digest": ref.digest} if ref.digest else {"tag": ref.tag or "latest"})


def python(reference: str) -> str | None:
    """The Python version that the reference speaks of, like ``python:3.11-slim`` or ``train:py3.11``."""
    repository, _, tag = reference.partition("@")[0].rpartition(":")
    spoken = _PYTHON.search(tag) if repository and ("python" in repository or "py" in tag) else None
    return spoken[1] if spoken and is_python_version(spoken[1]) else None


def short_name(reference: str) -> str:
    """What people call the image: the last part of its repository."""
    name = reference.partition("@")[0]
    return name.rpartition("/")[2].partition(":")[0]
