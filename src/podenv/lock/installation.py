"""What uv is called with to install what a lock names; the same wherever it installs it."""

from __future__ import annotations

from pathlib import Path

from podenv.catalogue.environment import Environment
from podenv.lock import indexes, lockfile, pins


def words(environment: Environment, scratch: Path) -> list[str | Path]:
    """What follows ``uv pip sync``: checks, indexes and files; ``scratch`` is a folder that lives as long as uv runs.

    Where packages are in repositories, uv builds them; a commit has no other hash. That all else in the lock has one
    was seen when it was written.
    """
    # The user's settings of uv hold, those of a project around it do not.
    (scratch / "uv.toml").write_text(indexes.project(environment))
    has_git = pins.without_git(environment) != lockfile.read(environment)
    found: list[str | Path] = ["--verify-hashes" if has_git else "--require-hashes"]
    found += ["--project", scratch, environment.lock_file]
    if project := indexes.pins(environment, pins.required(environment, indexes.named(environment))):
        file = scratch / indexes.PINS / "pyproject.toml"
        file.parent.mkdir()
        file.write_text(project)
        found.append(file)
    return found
