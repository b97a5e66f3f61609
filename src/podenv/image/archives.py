"""Source archives of what a lock takes from git: made here, where git and its logins are, and built in the image.

An archive is named after its commit, and so is its folder in the image: what is installed says where it comes from.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from packaging.requirements import Requirement

from podenv import lock, process
from podenv.catalogue.environment import Environment
from podenv.errors import ImageError, ProgramFailed
from podenv.lock import cache, indexes, requirements

_TIMEOUT = 1800.0  # seconds; a large history takes a while
EPOCH = "315532800"  # 1980-01-01: zip files know no time before it


def lay_out(environment: Environment, wanted: list[Requirement], folder: Path, say: Callable[[str], None]) -> None:
    """Put an archive of each of ``wanted`` into ``folder/<commit>/``.

    Raises `ImageError`, `ProgramNotFound`.
    """
    for one in wanted:
        commit = requirements.commit(one.url or "")
        kept = cache.archives() / commit / one.name
        if not any(kept.glob("*.tar.gz")):
            say(f"fetches {one.name} at {commit[:12]}")
            _make(environment, one, commit, kept)
        cache.mark_used(kept)
        (folder / commit).mkdir(parents=True, exist_ok=True)
        for archive in kept.glob("*.tar.gz"):
            shutil.copyfile(archive, folder / commit / archive.name)


def _make(environment: Environment, wanted: Requirement, commit: str, kept: Path) -> None:
    url, _, fragment = (wanted.url or "").removeprefix("git+").partition("#")
    subdirectory = next((word[13:] for word in fragment.split("&") if word.startswith("subdirectory=")), "")
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="making-", dir=kept.parent) as scratch:
        tree, made = Path(scratch, "tree"), Path(scratch, "made")
        try:
            _check_out(url.rpartition("@")[0], commit, tree)
            (Path(scratch) / "uv.toml").write_text(indexes.project(environment))
            words: list[str | Path] = [lock.uv(), "build", "--sdist", "--project", scratch, "--python", sys.executable]
            process.run(
                [*words, "--out-dir", made, "--color=never", tree / subdirectory],
                cwd=Path(scratch),
                env={**lock.uv_variables(), "SOURCE_DATE_EPOCH": EPOCH},
                timeout=_TIMEOUT,
            )
        except ProgramFailed as error:
            said = [line.strip() for line in error.stderr.splitlines() if line.strip()] or ["nothing"]
            moved = f"; if the ref has moved, run `podenv lock {environment.name} --upgrade`."
            raise ImageError(
                f"Environment {environment.name!r}: no source archive of {wanted.name} can be made from "
                f"{requirements.without_login(url)}: {error.program} says: {said[-1]}"
                f"{moved if error.program == 'git' else ''}"
            ) from None
        try:
            made.rename(kept)
        except OSError:  # another process has made the same
            if not kept.is_dir():
                raise


def _check_out(url: str, commit: str, tree: Path) -> None:
    tree.mkdir()
    environ = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_LFS_SKIP_SMUDGE": "1"}

    def git(*words: str) -> None:
        process.run(["git", *words], cwd=tree, env=environ, timeout=_TIMEOUT)

    git("init", "--quiet")
    try:
        git("fetch", "--quiet", "--tags", url, commit)
    except ProgramFailed:  # a server need not give a commit by its hash
        git("fetch", "--quiet", "--tags", url, "+refs/heads/*:refs/remotes/origin/*")
    git("checkout", "--quiet", "--detach", commit)
    if (tree / ".gitmodules").exists():
        git("submodule", "update", "--quiet", "--init", "--recursive")
