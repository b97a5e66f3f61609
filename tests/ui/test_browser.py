"""The page as a person sees it: in Chromium, with Airflow around it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.airflowhome import variables_of_others
from tests.ui.browser import BELOW, CHROMIUM
from tests.ui.conftest import HOSTILE

from podenv.catalogue.environment import Catalogue
from podenv.lock import lockfile

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def seen(project: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What was seen; the pictures are kept in ``bench-results/ui``."""
    if not Path(CHROMIUM).exists():
        pytest.skip("needs chromium (apt-get install --no-install-recommends chromium)")
    if os.geteuid():
        pytest.skip("needs root, for a network namespace of its own")
    pictures = ROOT / "bench-results" / "ui"
    pictures.mkdir(parents=True, exist_ok=True)
    kept = variables_of_others()
    looking = 'ip link set lo up && exec "$0" -m tests.ui.browser "$@"'
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", looking, sys.executable, str(project), str(pictures)],
        cwd=ROOT,
        env={**kept, "PODENV_CACHE": str(tmp_path_factory.mktemp("cache")), "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_menu_leads_to_the_list(seen: dict[str, Any]) -> None:
    assert "3 of 3 environments." in seen["list"]
    assert HOSTILE in seen["list"]
    assert "not known" in seen["list"]  # how it is deployed: there is no cluster


def test_a_link_by_keyboard_leads_to_an_environment_which_a_reload_shows_again(seen: dict[str, Any]) -> None:
    assert seen["reloaded"] == "reporting"
    assert seen["address"] == f"/plugin/environments{BELOW}/podenv/env/reporting"


def test_a_digest_is_copied_by_its_button(seen: dict[str, Any], project: Path) -> None:
    assert seen["copied"] == lockfile.content_hash(Catalogue(project / "envs")["reporting"])


def test_the_link_of_a_run_leads_to_a_tab_with_what_it_used_and_why_it_failed(seen: dict[str, Any]) -> None:
    assert f"FunctionRaised: It raised {HOSTILE}" in seen["run"]
    assert "384 MiB of 512 MiB" in seen["run"]


def test_its_colours_are_those_around_it(seen: dict[str, Any]) -> None:
    assert seen["light"] == "rgb(255, 255, 255)"
    assert seen["dark"] == seen["around"] != seen["light"]


def test_a_link_to_a_run_leads_airflow_there(seen: dict[str, Any]) -> None:
    assert seen["led to"].startswith("/dags/report/runs/manual__1")


def test_it_fits_a_telephone(seen: dict[str, Any]) -> None:
    assert seen["narrow"] <= 360


def test_it_hinders_nobody_and_breaks_no_rule_of_its_own(seen: dict[str, Any]) -> None:
    assert {name: found for name, found in seen.items() if name.endswith("problems") and found} == {}
    assert seen["errors"] == []
