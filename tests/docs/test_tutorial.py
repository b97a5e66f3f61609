"""What the tutorial says of this machine, in its order, with the output that it shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.chart.helm import SUPPORTED, fetch
from tests.cluster.releases import swept
from tests.docs.pages import ROOT

from podenv.release.cluster import Cluster

PAGE = ROOT / "docs" / "tutorial.md"
_STEP = re.compile(
    r"`(dags/[\w/.]+)`[^\n]*:\n\n```python\n(.*?)^```$|^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
# Of the project's own environment, which is here that of the tests.
_OF_THE_INSTALLATION = ("mkdir ", "python3 -m venv", "pip install")
_VARIES = re.compile(r"\b[0-9a-f]{12}(?:[0-9a-f]{4})?\b|\d+(\.\d+)+|\d+")
_TOOK = re.compile(r" \([\d.]+ s\)$")  # a task of less than a second says no time


def _steps(text: str) -> Iterator[tuple[str, str, list[str]]]:
    """Kind (``file`` or ``command``), its name or words, and its lines: what a file holds, what a command shows."""
    for found in _STEP.finditer(text):
        if found[1]:
            yield "file", found[1], found[2].splitlines()
            continue
        for block in re.split(r"^\$ ", found[3], flags=re.MULTILINE)[1:]:
            line, *shown = block.splitlines()
            yield "command", line.partition("   #")[0].strip(), shown


def _plain(lines: list[str]) -> set[str]:
    """Lines without what differs from run to run: figures, hashes, versions, the width of columns."""
    return {
        " ".join(_VARIES.sub("0", _TOOK.sub("", line)).split()) for line in lines if line.strip() not in ("", "...")
    }


class Walk:
    """Does what a page says, in a project of its own, and keeps what it says will be shown and was not."""

    def __init__(self, project: Path, confirm: Sequence[str] = ()) -> None:
        self.project = project
        self.ran: list[str] = []
        self.missing: dict[str, list[str]] = {}
        self._confirm = confirm

    def write(self, name: str, lines: list[str]) -> None:
        (self.project / name).write_text("\n".join(lines) + "\n")

    def run(self, command: str, shown: list[str], *, code: int = 0) -> None:
        asked = f"{command} --yes" if command in self._confirm else command
        done = subprocess.run(
            ["/bin/sh", "-ec", asked], cwd=self.project, capture_output=True, text=True, timeout=300, check=False
        )
        said = done.stdout + done.stderr
        assert done.returncode == code, f"{command}\n{said}"
        unseen = _plain(shown) - _plain(said.splitlines())
        if unseen:
            self.missing[command] = [*sorted(unseen), "was not in", *said.splitlines()]
        self.ran.append(command)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project beside an empty cache; of settings only those that name a cluster are left."""
    for name in tuple(os.environ):
        if name.startswith("AIRFLOW") or name in ("PODENV_CATALOGUE", "PODENV_BACKEND"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PODENV_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")
    common = tmp_path / "pipelines" / "dags" / "common"
    common.mkdir(parents=True)
    (common / "__init__.py").touch()
    return tmp_path / "pipelines"


def _parts() -> tuple[str, str]:
    """The page before the cluster, and on it."""
    here, _, rest = PAGE.read_text().partition("## 5. On a cluster")
    return here, rest.partition("## A cluster to try it on")[0]


def _without_the_mistake(project: Path) -> None:
    """Take the import out that the page has shown to be wrong."""
    file = project / "dags" / "report.py"
    file.write_text(file.read_text().replace("        import pyarrow\n", ""))


def test_the_tutorial_holds_on_this_machine(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in tuple(os.environ):
        if name.startswith(("PODENV_", "KUBE")) and name != "PODENV_CACHE":
            monkeypatch.delenv(name)
    monkeypatch.setenv("PODENV_BASE_IMAGE", "127.0.0.1:1/base:{python}")  # no registry of others is asked
    walk = Walk(project)
    for kind, name, lines in _steps(_parts()[0]):
        if kind == "file":
            walk.write(name, lines)
        elif not name.startswith(_OF_THE_INSTALLATION):
            mistaken = "podenv check" in name and "podenv check" not in walk.ran
            walk.run(name, lines, code=int(mistaken))
            if mistaken:
                _without_the_mistake(project)
    assert walk.missing == {}
    assert walk.ran[-2:] == ["podenv check", "podenv run report"]


@pytest.mark.cluster
def test_the_tutorial_holds_on_a_cluster(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = f"podenv-doc{uuid.uuid4().hex[:6]}-"
    for name in ("PODENV_NAMESPACE_PREFIX", "AIRFLOW__PODENV__NAMESPACE_PREFIX"):
        monkeypatch.setenv(name, prefix)
    monkeypatch.setenv("PODENV_HELM", os.environ.get("PODENV_HELM") or str(fetch(SUPPORTED[0])))
    here, there = _parts()
    walk = Walk(project, confirm=["podenv rollback report"])
    for kind, name, lines in _steps(here):
        if kind == "file":
            walk.write(name, lines)
        elif not name.startswith((*_OF_THE_INSTALLATION, "podenv check", "podenv run")):
            walk.run(name, lines)
    _without_the_mistake(project)
    with swept(Cluster(), prefix):
        for _, name, lines in _steps(re.sub(r"podenv-(?=(report|example) )", prefix, there)):
            if "podenv lock report" in name:
                walk.write("envs/report/requirements.in", ["pandas>=2.2,<2.3"])
            if not name.startswith("export "):
                walk.run(name, lines)
    assert walk.missing == {}
    assert walk.ran[-1] == "podenv rollback report"
