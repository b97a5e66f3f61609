"""A project that a test writes: environments with locks from an index on disk, and DAG files."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from podenv import lock
from podenv.catalogue.environment import Catalogue
from podenv.catalogue.rules import RULES
from podenv.check.findings import Finding, Report
from podenv.check.run import ASKED_FOR, Options, check

HEAD = "from airflow.sdk import dag, task\n\nfrom podenv import EnvPodOperator, run_in_env\n\n\n"


class Project:
    """A folder with envs/ and dags/."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "dags").mkdir(parents=True)

    def environment(
        self, name: str, asked: str = "", *, python: str = "3.11", values: str = "", locked: bool = True
    ) -> Path:
        """Write an environment, and lock it; returns its folder."""
        folder = self.root / "envs" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "values.yaml").write_text(f'python: "{python}"\n{values}')
        (folder / "requirements.in").write_text(asked)
        if locked:
            lock.resolve(Catalogue(self.root / "envs")[name])
        return folder

    def dag(self, text: str, name: str = "etl.py", *, head: str = HEAD) -> Path:
        """Write a DAG file: ``text`` below the imports that all have."""
        file = self.root / "dags" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(head + textwrap.dedent(text))
        return file

    def check(
        self,
        paths: Sequence[Path] = (),
        *,
        rules: Sequence[str] = (),
        sync: bool = True,
        environments: Sequence[str] = (),
    ) -> Report:
        """Hold the rules (none named: all that are held unasked) against the DAG files."""
        chosen = rules or [rule for rule in RULES if rule not in ASKED_FOR]
        options = Options(environments, tuple(chosen), sync=sync, roots=[self.root / "dags"])
        return check(paths or [self.root / "dags"], Catalogue(self.root / "envs"), options)

    def found(self, *rules: str) -> list[Finding]:
        """The findings of these rules."""
        report = self.check(rules=rules)
        assert not report.skipped, report.skipped
        return report.findings


def line(text: str, file: Path) -> int:
    """The number of the first line of ``file`` that holds ``text``."""
    return next(number for number, one in enumerate(file.read_text().splitlines(), start=1) if text in one)
