"""A team's repository with all that it needs around it: an index behind a login, a repository of git."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.packageindex import Index, served
from tests.sourcetree import Repository

SAMPLE = Path(__file__).parent / "project"
NAMES = ["ingest", "pricing", "publishing", "reporting"]
LOGIN = ("team", "s3cret-of-the-team")
PUBLISHED = {"name": "bericht-uber-2026-01-31", "tool": "1.0", "total": 129}


# As it is before any fixture of a session changes it for tests elsewhere.
SHELL = dict(os.environ)


@dataclass(frozen=True)
class Team:
    """The repository in ``root``; ``environ`` is what its people have in their shells."""

    root: Path
    index: str
    git: str
    environ: Mapping[str, str] = field(repr=False)

    def podenv(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """A command of podenv's, as a person starts it."""
        return started([sys.executable, "-c", "from podenv.cli import main; main()", *words], self, **variables)

    def run(self, backend: str = "local", **variables: str) -> dict[str, Any]:
        """The JSON of `podenv run orders`."""
        done = self.podenv("run", "orders", "--backend", backend, "--json", **variables)
        return dict(json.loads(done.stdout))


def started(argv: list[str], team: Team, **variables: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        argv,
        cwd=team.root,
        env={**team.environ, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def values(run: dict[str, Any]) -> list[tuple[str, int, str, Any]]:
    """What each task came to."""
    tasks = [(task["task_id"], task["map_index"], task["state"], task["value"]) for task in run["tasks"]]
    return sorted(tasks, key=lambda one: one[:2])


@contextmanager
def made(folder: Path) -> Iterator[Team]:
    """The repository below ``folder``, locked, while its index is served."""
    root = folder / "repository"
    shutil.copytree(SAMPLE, root)
    index = Index(folder / "index")
    index.add("rates", "3.1")
    git = Repository(folder / "git").url
    with served(index, LOGIN) as url:
        for file in (root / "envs").rglob("*"):
            if file.is_file():
                file.write_text(file.read_text().replace("INDEX", url).replace("GIT", git))
        others = ("PODENV_CA", "PODENV_CODE", "PODENV_BACKEND", "PODENV_NAMESPACE", "AIRFLOW", "_PODENV")
        kept = {name: one for name, one in SHELL.items() if not name.startswith(others)}
        login = {"UV_INDEX_INHOUSE_USERNAME": LOGIN[0], "UV_INDEX_INHOUSE_PASSWORD": LOGIN[1]}
        team = Team(root, url, git, {**kept, **login, "PODENV_CACHE": str(folder / "cache")})
        team.podenv("lock")
        yield team


def with_plain_tasks(team: Team, folder: Path) -> Team:
    """The repository as it was before podenv: no environments, and `@task` where `@task.env` stands."""
    root = folder / "plain"
    shutil.copytree(team.root, root, ignore=shutil.ignore_patterns("requirements.txt"))
    file = root / "dags" / "orders.py"
    text, count = re.subn(r"@task\.env\([^)]*\)", "@task", file.read_text())
    assert count == 4
    file.write_text(text)
    return Team(root, team.index, team.git, team.environ)


def everything(team: Team, folder: Path) -> Path:
    """The Python of one virtual environment that has Airflow and all that the tasks import."""
    venv = folder / "everything"
    uv = Path(sys.executable).parent / "uv"
    started([str(uv), "venv", "--quiet", "--python", sys.executable, str(venv)], team)
    python = venv / "bin" / "python"
    (site,) = (venv / "lib").glob("python*/site-packages")
    outer = [entry for entry in sys.path if "site-packages" in entry]
    (site / "outer.pth").write_text("".join(f"import site; site.addsitedir({entry!r})\n" for entry in outer))
    index = team.index.replace("//", f"//{LOGIN[0]}:{LOGIN[1]}@")
    words = ["pip", "install", "--quiet", "--python", str(python), "--extra-index-url", index]
    started([str(uv), *words, "rates", "tabulate", f"tool @ {team.git}@main", str(team.root / "libs" / "acme")], team)
    return python
