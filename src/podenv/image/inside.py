"""What a program of podenv's own finds inside an image."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from podenv.catalogue.reference import ImageRef
from podenv.errors import ImageUnusable, ProgramFailed
from podenv.image.builder import EMULATOR, Builder, is_foreign


def report(builder: Builder, ref: ImageRef, program: str, mark: str, *, platform: str) -> dict[str, Any]:
    """The JSON that ``program``, a file beside this one, prints after ``mark`` when the image's Python runs it.

    ``platform`` is that of the image; empty where the builder is to choose. Raises `ImageUnusable`.
    """
    script = (resources.files(__package__) / program).read_bytes()
    try:
        said = builder.run(ref, ["python", "-I", "-"], input=script, platform=platform)
    except ProgramFailed as error:
        if is_foreign(error):
            raise ImageUnusable(
                f"{ref} is for {platform or 'another platform'}, of which this machine starts no program. {EMULATOR}, "
                "or look at it on such a machine."
            ) from None
        last = (error.stderr.strip().splitlines() or ["it said nothing"])[-1].rstrip(".")
        raise ImageUnusable(f"No `python` could be run in {ref}: {last}. An image needs one on its PATH.") from None
    line = next((line for line in said.splitlines() if line.startswith(mark)), None)
    if line is None:
        raise ImageUnusable(f"The Python of {ref} ended without a report; is `python` there a Python 3.8 or newer?")
    found: dict[str, Any] = json.loads(line.removeprefix(mark))
    return found
