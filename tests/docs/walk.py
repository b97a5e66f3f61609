"""Does what a page says, in its order: writes its files, runs its commands, looks for what it shows."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.docs import elsewhere, pages

# What a command asks, a test says at once: nobody is there, and its registry has the chart of earlier commits.
_ANSWERS = {r"podenv rollback |podenv deploy .*--repair": "--yes", r"podenv chart push": "--overwrite"}
_VARIES = re.compile(r"\b[0-9a-f]{12}(?:[0-9a-f]{4})?\b|\d+(\.\d+)+|\d+")
_TOOK = re.compile(r" \([\d.]+ s\)$")  # a task of less than a second says no time
_FILE = re.compile(r"`(dags/[\w./]+)`.*:$")


def _plain(lines: list[str]) -> set[str]:
    """Lines without what differs from run to run: figures, hashes, versions, the width of columns."""
    return {
        " ".join(_VARIES.sub("0", _TOOK.sub("", line)).split()) for line in lines if line.strip() not in ("", "...")
    }


@dataclass
class Walk:
    """Keeps what a page says will be shown and was not.

    ``first`` is what a person has done before a command, as shell; ``ends`` exit codes other than 0, of its first run.
    """

    project: Path
    first: Mapping[tuple[str, str], str] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)
    here: Callable[[str], str] = str  # the page's namespaces and registry, as they are here
    ran: list[str] = field(default_factory=list)
    missing: dict[str, list[str]] = field(default_factory=dict)
    _exports: list[str] = field(default_factory=list)

    def follow(self, page: str, text: str | None = None, *, without: tuple[str, ...] = ()) -> None:
        """All of ``page``, or that part of its text."""
        left_out = {*elsewhere.left_out(), *((page, one) for one in without)}
        for snippet in pages.on(pages.ROOT / page, text):
            named = _FILE.search(snippet.before)
            if named and snippet.language == "python":
                (self.project / named[1]).write_text(snippet.text)
            for command in pages.commands(snippet):
                if (page, command.text) not in left_out:
                    self.run(command)

    def run(self, command: pages.Command) -> None:
        """Run it in a shell, and compare what it says with what the page shows."""
        if command.text.startswith("export "):
            self._exports.append(self.here(command.text))
            return
        answers = [one for asks, one in _ANSWERS.items() if re.match(asks, command.text)]
        asked = " ".join([command.text, *answers])
        first = self.first.get((command.page, command.text), "")
        done = subprocess.run(
            [
                "/bin/bash",
                "-e",
                "-o",
                "pipefail",
                "-c",
                "\n".join([*self._exports, self.here(first), self.here(asked)]),
            ],
            cwd=self.project,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == self.ends.pop(command.text, 0), f"{command.page}: {command.text}\n{said}"
        unseen = _plain([self.here(line) for line in command.shown]) - _plain(said.splitlines())
        if unseen:
            self.missing[command.text] = [*sorted(unseen), "was not in", *said.splitlines()]
        self.ran.append(command.text)


@dataclass(frozen=True)
class OnACluster:
    """Where a walk's releases are: namespaces that begin with ``prefix``, images in ``registry``."""

    prefix: str
    registry: str

    def here(self, line: str) -> str:
        """A page's ``line`` with these in place of the page's own."""
        line = line.replace("127.0.0.1:5000", self.registry)
        line = re.sub(r"(?<=-n )airflow\b|(?<=create namespace )airflow\b", f"{self.prefix}airflow", line)
        return re.sub(r"(?<![\w=/-])podenv-(?=(example|report|data-cleaning|model-training)\b)", self.prefix, line)
