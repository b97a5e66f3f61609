"""What the tutorial says of this machine, and of a cluster; the pages after it go on with what it made."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cluster.releases import swept
from tests.docs.pages import ROOT
from tests.docs.walk import OnACluster, Walk

from podenv.release.cluster import Cluster

PAGE = "docs/tutorial.md"
PAGES = (PAGE, "docs/dags.md", "docs/guides/sizes.md")


def _parts() -> tuple[str, str, str]:
    """The page up to the mistake that it shows, from there to the cluster, and on it."""
    here, _, there = (ROOT / PAGE).read_text().partition("## 5. On a cluster")
    mistaken, _, corrected = here.partition("Here the import is a mistake")
    return mistaken, corrected, there


def _correct(project: Path) -> None:
    """Take the import out that the page has shown to be wrong."""
    file = project / "dags" / "report.py"
    file.write_text(file.read_text().replace("        import pyarrow\n", ""))


def _made(project: Path) -> Path:
    common = project / "dags" / "common"
    common.mkdir(parents=True)
    (common / "__init__.py").touch()
    return project


@pytest.mark.usefixtures("without_a_cluster")
def test_the_tutorial_holds_on_this_machine(project: Path) -> None:
    mistaken, corrected, _ = _parts()
    walk = Walk(_made(project), ends={"podenv check": 1})
    walk.follow(PAGE, mistaken)
    _correct(project)
    walk.follow(PAGE, corrected)
    assert walk.ran[-2:] == ["podenv check", "podenv run report"]
    for page in PAGES[1:]:
        walk.follow(page)
    assert walk.missing == {}


@pytest.mark.cluster
def test_the_tutorial_holds_on_a_cluster(project: Path, on_a_cluster: OnACluster) -> None:
    mistaken, corrected, there = _parts()
    first = {(PAGE, "podenv lock report"): "echo 'pandas>=2.2,<2.3' > envs/report/requirements.in"}
    walk = Walk(_made(project), first=first, here=on_a_cluster.here)
    walked_before = ("podenv check", "podenv run podenv_example", "podenv run report")
    walk.follow(PAGE, mistaken, without=walked_before)
    _correct(project)
    walk.follow(PAGE, corrected, without=walked_before)
    with swept(Cluster(), on_a_cluster.prefix):
        walk.follow(PAGE, there)
    assert walk.missing == {}
    assert walk.ran[-1] == "podenv rollback report"
