"""Code that tasks share: it travels with those that import it, into whatever environment they run in."""

import platform
from importlib.metadata import version


def versions(*packages: str) -> dict:
    """The Python and the packages that a task really runs on."""
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}
