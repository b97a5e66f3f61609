"""What `scripts/compat` reads of pyproject.toml, and what it prints; running it takes half an hour."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

import compatibility
from compatibility import AIRFLOW, PROVIDER, Combination, Outcome

VERSIONS = {AIRFLOW: "3.1.8", PROVIDER: "10.25.0"}


def test_pythons_and_requirements_are_those_that_pyproject_claims() -> None:
    pythons, asked = compatibility.claimed()
    assert pythons == ["3.11", "3.12", "3.13"]
    assert {AIRFLOW, PROVIDER, "pydantic", "uv"} <= {one.name for one in asked}
    assert all(one.specifier for one in asked)


def test_the_table_is_markdown_and_names_what_could_not_run() -> None:
    good = Outcome(Combination("lowest", "3.11"), VERSIONS, Counter(passed=9, skipped=1))
    bad = Outcome(Combination("newest", "3.12"), {}, Counter(), "not on this machine")
    assert compatibility.table([good, bad]).splitlines() == [
        "| Python | Airflow | cncf-kubernetes | passed | failed | skipped |",
        "|---|---|---|---|---|---|",
        "| 3.11 | 3.1.8 | 10.25.0 | 9 | 0 | 1 |",
        "| 3.12 | - | - | not on this machine | - | - |",
    ]


@pytest.mark.parametrize(
    ("counts", "code"), [(Counter(passed=2), 0), (Counter(passed=2, failed=1), 1), (Counter(skipped=2), 1)]
)
def test_the_exit_code_says_whether_tests_ran_and_none_failed(
    counts: Counter[str], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")  # main sets it: put back what was
    monkeypatch.setattr(sys, "argv", ["scripts/compat", "--versions", "newest", "--python", "3.13"])
    monkeypatch.setattr(compatibility, "outcome", lambda one, *_: Outcome(one, VERSIONS, counts))
    assert compatibility.main() == code


def test_the_counts_are_those_of_pytests_report(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text('<testsuites><testsuite tests="10" failures="1" errors="2" skipped="3"/></testsuites>')
    assert compatibility._counts(report) == Counter(passed=4, failed=3, skipped=3)


def test_versions_are_read_from_a_lock(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_text("# a lock\nPyYAML==6.0.3 \\\n    --hash=sha256:00\nuv==0.13.0\n    # via podenv\n")
    assert compatibility.pinned(lock) == {"pyyaml": "6.0.3", "uv": "0.13.0"}
