"""What the tutorial says of this machine, in its order, with the output that it shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "tutorial.md"
_STEP = re.compile(
    r"`(dags/[\w/.]+)`[^\n]*:\n\n```python\n(.*?)^```$|^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
# Of the project's own environment, which is here that of the tests.
_OF_THE_INSTALLATION = ("mkdir ", "python3 -m venv", "pip install")
_VARIES = re.compile(r"\b[0-9a-f]{16}\b|\d+(\.\d+)+|\d+")
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


def test_the_tutorial_holds_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in tuple(os.environ):
        if name.startswith(("PODENV_", "AIRFLOW", "KUBE")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PODENV_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("PODENV_BASE_IMAGE", "127.0.0.1:1/base:{python}")  # no registry of others is asked
    project = tmp_path / "pipelines"
    (project / "dags" / "common").mkdir(parents=True)
    (project / "dags" / "common" / "__init__.py").touch()
    here, _, _ = PAGE.read_text().partition("## 5. On a cluster")
    ran, missing = [], {}
    for kind, name, lines in _steps(here):
        if kind == "file":
            (project / name).write_text("\n".join(lines) + "\n")
        elif not name.startswith(_OF_THE_INSTALLATION):
            mistaken = "podenv check" in name and "podenv check" not in ran  # the import that the page has removed
            done = subprocess.run(
                ["/bin/sh", "-ec", name], cwd=project, capture_output=True, text=True, timeout=300, check=False
            )
            assert done.returncode == int(mistaken), f"{name}\n{done.stdout}{done.stderr}"
            unseen = _plain(lines) - _plain((done.stdout + done.stderr).splitlines())
            if unseen:
                missing[name] = (unseen, done.stdout + done.stderr)
            ran.append(name)
            if mistaken:
                file = project / "dags" / "report.py"
                file.write_text(file.read_text().replace("        import pyarrow\n", ""))
    assert {name: sorted(lines) for name, (lines, _) in missing.items()} == {}, next(iter(missing.values()))[1]
    assert ran[-2:] == ["podenv check", "podenv run report"]
