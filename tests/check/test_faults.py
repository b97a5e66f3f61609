"""Seeded faults in real environments: each is found where it stands, and what is good is not found fault with."""

import re
from pathlib import Path

import pytest

from podenv.catalogue.environment import Catalogue
from podenv.catalogue.rules import RULES
from podenv.check.findings import Report
from podenv.check.run import ASKED_FOR, Options, check

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FAULTS = HERE / "project" / "dags" / "faults.py"
UNASKED = tuple(rule for rule in RULES if rule not in ASKED_FOR)


def held(dags: Path, envs: Path) -> Report:
    return check([dags], Catalogue(envs), Options(rules=UNASKED, roots=[dags]))


@pytest.fixture
def report() -> Report:
    return held(FAULTS.parent, HERE / "project" / "envs")


def test_every_seeded_fault_is_found_on_its_line_and_nothing_else_is_an_error(report: Report) -> None:
    lines = FAULTS.read_text().splitlines()
    seeded = {(n, m[1]) for n, line in enumerate(lines, 1) if (m := re.search(r"# finds: ([\w-]+)", line))}
    found = {(one.line, one.rule) for one in report.findings if one.file.endswith("faults.py")}
    assert len(seeded) == 43
    assert seeded - found == set()
    assert {one for one in found - seeded if RULES[one[1]].severity != "note"} == set()
    assert report.skipped == []


def test_what_is_unseen_stays_unseen_so_that_the_rate_is_known(report: Report) -> None:
    lines = FAULTS.read_text().splitlines()
    unseen = {number for number, line in enumerate(lines, 1) if "  # unseen: " in line}
    assert len(unseen) == 4
    assert unseen & {one.line for one in report.findings} == set()


@pytest.mark.parametrize(
    ("dags", "envs"),
    [("dags", "envs"), ("tests/dags/project/dags", "tests/dags/project/envs")],
)
def test_good_dags_have_neither_errors_nor_warnings(dags: str, envs: str) -> None:
    report = held(ROOT / dags, ROOT / envs)
    assert [one for one in report.findings if one.severity != "note"] == []
    assert report.tasks > 5
