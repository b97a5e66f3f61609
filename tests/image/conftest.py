"""Builders that are recorded, and for the tests that need a cluster real builds: buildah, a registry, and an index of
tiny wheels behind a password.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from tests.packageindex import Index
from tests.registryserver import Answer, Asked, basic, serving

from podenv import lock
from podenv.catalogue.environment import Catalogue, Environment
from podenv.image.build import Built, Images, Options

USER, PASSWORD = "builder", "s3cret-of-the-index"


def _missing() -> str | None:
    if shutil.which("buildah") is None:
        return "buildah is not on PATH (apt-get install buildah)"
    for name in ("PODENV_REGISTRY", "PODENV_BASE_IMAGE", "PODENV_UV_IMAGE"):
        if not os.environ.get(name):
            return f'{name} is not set (eval "$(scripts/dev-cluster env)")'
    return None


@pytest.fixture(scope="session")
def _able_to_build(_cluster: None) -> None:
    if missing := _missing():
        if os.environ.get("PODENV_REQUIRE_CLUSTER") == "1":
            pytest.fail(f"PODENV_REQUIRE_CLUSTER=1, but {missing}.", pytrace=False)
        pytest.skip(f"needs a builder, a registry and base images: {missing}")


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tests of pods have set for their session is not for a project of a test's own."""
    for name in ("PODENV_CATALOGUE", "PODENV_BACKEND"):
        monkeypatch.delenv(name, raising=False)


class Stores:
    """Stores of buildah for one test alone, each empty at first."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._made: list[Path] = []

    def use(self, name: str) -> None:
        """Have buildah use this store from now on."""
        folder = self._root / name
        folder.mkdir()
        config = folder / "storage.conf"
        config.write_text(f'[storage]\ndriver = "overlay"\nrunroot = "{folder}/run"\ngraphroot = "{folder}/graph"\n')
        self._made.append(config)
        os.environ["CONTAINERS_STORAGE_CONF"] = str(config)

    def remove(self) -> None:
        for config in self._made:
            environ = {**os.environ, "CONTAINERS_STORAGE_CONF": str(config)}
            subprocess.run(["buildah", "rm", "--all"], env=environ, capture_output=True, check=False)
            subprocess.run(["umount", config.parent / "graph" / "overlay"], capture_output=True, check=False)
            shutil.rmtree(config.parent)


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    before = os.environ.get("CONTAINERS_STORAGE_CONF")
    made = Stores(tmp_path_factory.mktemp("stores"))
    made.use("first")
    yield made
    made.remove()
    if before is None:
        del os.environ["CONTAINERS_STORAGE_CONF"]
    else:
        os.environ["CONTAINERS_STORAGE_CONF"] = before


@dataclass
class Project:
    """A catalogue whose packages come from an index that asks for a password; ``held`` keeps downloads waiting."""

    root: Path
    index: Index
    held: threading.Event
    waiting: threading.Event

    def environment(self, name: str, asked: str = "alpha\n", values: str = "") -> Environment:
        """An environment of Python 3.11, locked."""
        folder = self.root / "envs" / name
        folder.mkdir(parents=True)
        (folder / "values.yaml").write_text(f'python: "3.11"\n{values}')
        (folder / "requirements.in").write_text(asked)
        made = Catalogue(self.root / "envs")[name]
        lock.resolve(made)
        return made

    def build(self, environment: Environment, *, push: bool = False, rebuild: bool = False) -> Built:
        return Images(Options(push=push, rebuild=rebuild)).build(environment)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, stores: Stores) -> Iterator[Project]:
    root = tmp_path_factory.mktemp("project")
    index = Index(root / "index")
    index.add("alpha", "1.0", requires=["beta"])
    index.add("beta", "2.0")
    held, waiting = threading.Event(), threading.Event()
    held.set()

    def respond(asked: Asked) -> Answer:
        if asked.headers.get("Authorization") != basic(USER, PASSWORD):
            return Answer(401, {"WWW-Authenticate": 'Basic realm="index"'})
        file = index.root / unquote(asked.path).strip("/")
        if file.is_dir():
            file /= "index.html"
        if not file.is_file():
            return Answer(404)
        if file.suffix == ".whl" and not held.is_set():
            waiting.set()
            held.wait(60)
        kind = "text/html" if file.suffix == ".html" else "application/octet-stream"
        return Answer(200, {"Content-Type": kind}, file.read_bytes())

    with pytest.MonkeyPatch.context() as patch, serving(respond) as (host, _):
        patch.setenv("UV_DEFAULT_INDEX", f"http://{USER}:{PASSWORD}@{host}/")
        patch.setenv("UV_CACHE_DIR", str(root / "uv-cache"))
        patch.setenv("PODENV_CACHE", str(root / "cache"))
        yield Project(root, index, held, waiting)


Run = Callable[..., str]


@pytest.fixture
def buildah() -> Run:
    """Runs buildah; returns what it printed."""

    def run(*words: str) -> str:
        done = subprocess.run(["buildah", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


# A builder that writes down what it is called with, and fails where the test says; for a rule that is "once", one time.
RECORDER = """#!{python}
import json, os, pathlib, sys
here = pathlib.Path(__file__).parent
words = sys.argv[1:]
with (here / "calls").open("a") as calls:
    calls.write(json.dumps([pathlib.Path(sys.argv[0]).name, *words]) + "\\n")
rules = json.loads((here / "rules.json").read_text())
for rule in rules:
    if rule["words"] == words[: len(rule["words"])]:
        if rule.get("once"):
            rules.remove(rule)
            (here / "rules.json").write_text(json.dumps(rules))
        print(rule.get("prints", ""))
        print(rule.get("says", ""), file=sys.stderr)
        sys.exit(rule.get("code", 0))
if "--iidfile" in words:
    pathlib.Path(words[words.index("--iidfile") + 1]).write_text("sha256:abc")
"""


class Recorded:
    """Builders that are recorded."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.folder = folder
        self.rules()
        for name in names:
            self.add(name)

    def add(self, name: str) -> None:
        (self.folder / name).write_text(RECORDER.format(python=sys.executable))
        (self.folder / name).chmod(0o755)

    def rules(self, *rules: dict[str, Any]) -> None:
        (self.folder / "rules.json").write_text(json.dumps(rules))

    def calls(self) -> list[list[str]]:
        file = self.folder / "calls"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


Record = Callable[..., Recorded]


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Record:
    def make(*names: str) -> Recorded:
        folder = tmp_path / "bin"
        folder.mkdir()
        monkeypatch.setenv("PATH", str(folder))
        return Recorded(folder, *names)

    return make
