"""docs/reference/, and what the chart holds of the code, are what the code says."""

from __future__ import annotations

import re

from tests.docs.pages import ROOT

import chartfiles
import referencepages
from podenv.call import warm


def test_the_pages_are_those_that_scripts_reference_writes() -> None:
    assert [file.name for file in referencepages.stale()] == [], "run scripts/reference and commit what it writes"


def test_the_chart_holds_what_scripts_chart_writes() -> None:
    assert chartfiles.stale() == [], "run scripts/chart and commit what it writes"
    assert "$" not in warm.loader()  # Kubernetes would expand $(NAME)


def test_every_variable_that_the_code_reads_is_in_the_settings_page() -> None:
    named: set[str] = set()
    for file in (ROOT / "src").rglob("*.py"):
        # Not those of Airflow's section: AIRFLOW__PODENV__CATALOGUE.
        named |= set(re.findall(r"(?<![A-Z_])PODENV_[A-Z][A-Z_]*[A-Z](?![A-Z_])", file.read_text(encoding="utf-8")))
    assert named - referencepages.VARIABLES.keys() - {"PODENV_TASK", "PODENV_WARM_IMPORTS"} == set()
    assert referencepages.VARIABLES.keys() - named == set()
