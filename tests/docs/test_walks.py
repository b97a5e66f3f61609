"""Each command of the pages is run, in its page's order, or has a reason why not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests import sourcetree
from tests.cluster.releases import swept
from tests.docs import elsewhere
from tests.docs.pages import ROOT, Command, asked
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

# What the pages have people write before their commands.
REPORT = "resources: {requests: {cpu: 10m, memory: 64Mi}, limits: {cpu: 500m, memory: 256Mi}}"
ACCESS = """
access:
  serviceAccounts:
    - {name: af-airflow-scheduler, namespace: airflow}
    - {name: af-airflow-worker, namespace: airflow}
"""
ADVISORY = {
    "id": "GHSA-34jh-p97f-mpxf",
    "affected": [{"package": {"ecosystem": "PyPI", "name": "numpy"}, "versions": ["1.26.4"]}],
}

# What was applied without Helm goes, but for its namespace, whose end takes seconds.
_REMOVED = "kubectl delete podtemplates,serviceaccounts,roles,rolebindings --all -n podenv-report"
# What people have done before a page's command.
FIRST = {
    ("docs/environments.md", "podenv lock --check"): (
        f"cp {ROOT}/envs/data-cleaning/requirements.txt envs/data-cleaning"  # its image is there, no newer one
    ),
    ("docs/releases.md", "podenv status report"): (
        "kubectl annotate podtemplate report hello=world -n podenv-report\n"
        "kubectl patch podtemplate report -n podenv-report --type json --patch '[{"
        '"op": "replace", "path": "/template/spec/containers/0/resources/limits/memory", "value": "512Mi"}]\''
    ),
    ("docs/releases.md", "podenv warm report"): (
        "echo 'warm: {idle: 1}' >> envs/report/values.yaml; podenv deploy report"
    ),
    ("docs/releases.md", "mkdir -p deploy && podenv template report > deploy/report.yaml"): (
        "sed -i /^warm:/d envs/report/values.yaml"  # else the cluster's version has to be named
    ),
    ("docs/releases.md", "podenv template report | kubectl apply -f -"): "podenv uninstall report --yes",
    (
        "docs/releases.md",
        "podenv values report --reveal | "
        "helm upgrade --install report charts/airflow-env -n podenv-report --create-namespace -f -",
    ): _REMOVED,
    (
        "docs/releases.md",
        "helm upgrade --install report charts/airflow-env -n podenv-report --create-namespace "
        "-f envs/defaults.yaml -f envs/report/values.yaml "
        "--set image.registry=$PODENV_REGISTRY,image.repository=podenv-report,image.digest=$DIGEST",
    ): "DIGEST=$(podenv values report --reveal | sed -n 's/^ *digest: //p')",
    ("docs/guides/gitops.md", "kubectl apply -f deploy/report"): "podenv uninstall report --yes",
    (
        "docs/guides/gitops.md",
        "helm upgrade --install report oci://127.0.0.1:5000/airflow-env --plain-http -n podenv-report "
        "--create-namespace -f values.yaml",
    ): _REMOVED,
    ("docs/guides/teams.md", "podenv rollback model-training"): (
        "sed -i 's/memory: 2Gi/memory: 3Gi/' envs/model-training/values.yaml; podenv deploy model-training"
    ),
}
# What ends with an exit code of its own.
ENDS = {
    "podenv plan --upgrade numpy==2.4.0": 1,
    "podenv affected 'numpy==1.26.4'": 1,
    "podenv affected GHSA-34jh-p97f-mpxf.json": 1,
}


def environment(project: Path, name: str, asked: str = "", values: str = "") -> None:
    folder = project / "envs" / name
    folder.mkdir(parents=True)
    (folder / "requirements.in").write_text(f"{asked}\n")
    (folder / "values.yaml").write_text(f'python: "3.13"\n{values}\n')


def test_each_command_of_a_page_is_walked_or_has_its_reason() -> None:
    there = {(one.page, one.text) for one in asked()}
    left_out = set(elsewhere.left_out())
    assert left_out - there == set(), "not in the pages (any more)"
    assert {one for one in there - left_out if one[0] not in WALKED} == set(), "walk its page, or say why not"


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
    environment(project, "report", values=REPORT)
    training = project / "envs" / "model-training" / "values.yaml"
    training.write_text(training.read_text().replace('cpu: "1"', "cpu: 10m"))  # the node has little left for its pods
    with (project / "envs" / "defaults.yaml").open("a") as file:
        file.write(ACCESS)
    (project / "GHSA-34jh-p97f-mpxf.json").write_text(json.dumps(ADVISORY))
    walk = Walk(project, first=FIRST, ends=dict(ENDS), here=on_a_cluster.here)
    with swept(Cluster(), on_a_cluster.prefix):
        for page in ON_A_CLUSTER:
            walk.follow(page)
        walk.run(Command("docs/dags.md", "podenv check --cluster", []))
    assert walk.missing == {}
