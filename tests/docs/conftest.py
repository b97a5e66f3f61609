"""One Airflow home for the session."""

from __future__ import annotations

from tests import airflowhome
from tests.docs.pages import ROOT

airflowhome.prepare(ROOT / "tests" / "dags" / "project" / "dags")
