"""docs/reference/, and what the chart holds of the code, are what the code says."""

from __future__ import annotations

import re

from tests.docs.pages import ROOT

import chartfiles
import errormessages
import referencepages
from podenv.call import warm


def test_the_pages_are_those_that_scripts_reference_writes() -> None:
    assert [file.name for file in referencepages.stale()] == [], "run scripts/reference and commit what it writes"


def test_the_chart_holds_what_scripts_chart_writes() -> None:
    assert chartfiles.stale() == [], "run scripts/chart and commit what it writes"
    assert "$" not in warm.loader()  # Kubernetes would expand $(NAME)


def test_the_messages_hold_what_people_meet_first_and_the_remedies_that_errors_share() -> None:
    found = errormessages.messages({"UnknownEnvironment", "AccessRefused"})
    assert found["UnknownEnvironment"] == ["There is no environment … in …. …"]
    assert found["AccessRefused"][-1] == (
        "The cluster refuses it: …. Ask the cluster's administrator for that permission; `podenv rights` prints all "
        "that a deploy needs."
    )


def test_every_variable_that_the_code_reads_is_in_the_settings_page() -> None:
    assert _named("src", "*.py") == referencepages.VARIABLES.keys() | referencepages.INNER.keys()
    scripts = _named("scripts", "*") - {"PODENV_RUN_…"} - referencepages.VARIABLES.keys()
    assert scripts - referencepages.INNER.keys() == referencepages.CHECKOUT.keys()


def _named(folder: str, files: str) -> set[str]:
    """The variables that these files name, but those of Airflow: AIRFLOW__PODENV__CATALOGUE."""
    named: set[str] = set()
    for file in (ROOT / folder).rglob(files):
        if file.is_file() and "__pycache__" not in file.parts:
            text = file.read_text(encoding="utf-8", errors="ignore")
            named |= set(re.findall(r"(?<![A-Z_])PODENV_[A-Z][A-Z_]*", text))
    return {"PODENV_RUN_…" if one.startswith("PODENV_RUN_") else one for one in named}
