"""Each command of the pages is run, in its page's order, or has a reason why not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests import sourcetree
from tests.cluster.releases import swept
from tests.docs import elsewhere
from tests.docs.pages import PAGES, ROOT, commands, on
from tests.docs.test_tutorial import PAGES as AFTER_THE_TUTORIAL
from tests.docs.walk import OnACluster, Walk
from tests.packageindex import Index, served

from podenv.release.cluster import Cluster

ON_THIS_MACHINE = (
    "docs/guides/private-index.md",  # its login is that of the pages after it too
    "docs/guides/migrate.md",
    "docs/guides/own-code.md",
)
ON_A_CLUSTER = (
    "docs/environments.md",
    "docs/releases.md",
    "docs/production.md",
    "docs/guides/gitops.md",
    "docs/guides/teams.md",
    "docs/guides/official-chart.md",
)
WALKED = {*AFTER_THE_TUTORIAL, *ON_THIS_MACHINE, *ON_A_CLUSTER}

# A DAG as one finds it before podenv, which migrate.md edits.
BEFORE_PODENV = """\
from airflow.sdk import dag, task


@dag(schedule=None)
def report():
    @task.virtualenv(requirements=["six==1.17.0"], python_version="3.13")
    def describe() -> str:
        import six

        return six.__version__

    describe()


report()
"""


def environment(project: Path, name: str, asked: str = "", values: str = "") -> None:
    folder = project / "envs" / name
    folder.mkdir(parents=True)
    (folder / "requirements.in").write_text(f"{asked}\n")
    (folder / "values.yaml").write_text(f'python: "3.13"\n{values}\n')


def test_each_command_of_a_page_is_walked_or_has_its_reason() -> None:
    asked = {(one.page, one.text) for page in PAGES for snippet in on(page) for one in commands(snippet)}
    left_out = set(elsewhere.left_out())
    assert left_out - asked == set(), "not in the pages (any more)"
    assert {one for one in asked - left_out if one[0] not in WALKED} == set(), "walk its page, or say why not"


def test_what_runs_a_command_elsewhere_is_there() -> None:
    for where, pages in elsewhere.RUN_BY.items():
        file, _, test = where.partition("::")
        text = (ROOT / file).read_text()
        if test:
            assert f"def {test}(" in text, where
        else:
            assert [one for several in pages.values() for one in several if one not in text] == [], where


@pytest.mark.usefixtures("without_a_cluster")
def test_the_pages_hold_on_this_machine(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "dags").mkdir()
    (project / "dags" / "etl.py").write_text(BEFORE_PODENV)
    environment(project, "etl")
    sourcetree.write(project / "libs" / "acme", "acme", "1.0")
    company = Index(tmp_path / "company")
    company.add("private", "1.0")
    monkeypatch.setenv("TOKEN", "s3cret")
    with served(company, ("ci", "s3cret")) as url:
        environment(project, "private", "private", f"indexes: [{{name: company, url: '{url}'}}]")
        environment(project, "report", values="packages: [../../libs/acme]")
        walk = Walk(project)
        for page in ON_THIS_MACHINE:
            walk.follow(page)
    assert walk.missing == {}


@pytest.mark.cluster
def test_the_pages_hold_on_a_cluster(project: Path, on_a_cluster: OnACluster) -> None:
    for name in ("envs", "dags", "charts"):
        shutil.copytree(ROOT / name, project / name)
    walk = Walk(project, here=on_a_cluster.here)
    with swept(Cluster(), on_a_cluster.prefix):
        for page in ON_A_CLUSTER:
            walk.follow(page)
    assert walk.missing == {}
