import os
import subprocess
from pathlib import Path

from podenv.catalogue.environment import Catalogue, Environment
from podenv.image.build import revision


def environment(root: Path, values: str = "", *, name: str = "etl", python: str = "3.13") -> Environment:
    folder = root / "envs" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "values.yaml").write_text(f'python: "{python}"\n{values}')
    return Catalogue(root / "envs")[name]


def test_the_revision_is_the_commit_that_last_changed_the_environment(tmp_path: Path) -> None:
    subject = environment(tmp_path)
    assert revision(subject) == ""
    names = {f"GIT_{who}_{what}": "t@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=tmp_path, check=True, capture_output=True, text=True, env={**os.environ, **names}
        )
        return done.stdout.strip()

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one")
    first = git("rev-parse", "HEAD")
    (tmp_path / "other").write_text("x")
    git("add", ".")
    git("commit", "-qm", "two")
    assert revision(subject) == first
    (subject.folder / "values.yaml").write_text('python: "3.12"\n')
    assert revision(subject) == ""
