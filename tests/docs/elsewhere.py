"""The commands of the pages that no walk runs, each with its reason."""

from __future__ import annotations

from collections.abc import Iterator

from tests.docs.pages import ROOT, commands, on

_ALL = ["*"]  # of the page's commands
# What runs a command: a file that has it word by word, or a test that does the same with other names.
RUN_BY = {
    ".ci/run": {
        "README.md": ["scripts/quickstart", "scripts/test"],
        "CONTRIBUTING.md": ["scripts/quickstart", "scripts/test"],
        "docs/tutorial.md": ["scripts/dev-cluster up", 'eval "$(scripts/dev-cluster env)"'],
        "docs/guides/official-chart.md": [
            "scripts/quickstart",
            "scripts/dev-cluster up",
            'eval "$(scripts/dev-cluster env)"',
        ],
    },
    "tests/cluster/test_airflow_in_pods.py::"
    "test_the_scheduler_runs_the_pipeline_on_both_executors_until_airflow_is_removed": {
        "docs/guides/official-chart.md": [
            "scripts/dev-cluster airflow",
            "scripts/dev-cluster airflow --executor KubernetesExecutor",
            "scripts/dev-cluster airflow --remove",
        ],
    },
    "tests/airflow/test_clusters.py::test_a_task_runs_in_the_cluster_of_its_environment": {
        "docs/guides/teams.md": [
            """airflow connections add k8s_eu --conn-type kubernetes --conn-extra '{"kube_config": "..."}'""",
        ],
    },
    "tests/cluster/test_pipelines.py::test_a_pipeline_runs_unchanged_on_both_backends_and_returns_the_same": {
        "docs/tutorial.md": ["scripts/quickstart --cluster"],
    },
    "tests/check/test_asked.py::"
    "test_a_loaded_dag_shows_annotations_that_do_not_fit_and_environments_with_computed_names": {
        "docs/dags.md": ["podenv check --dag-graph"],
    },
    "tests/docs/test_walks.py::test_the_pages_hold_on_a_cluster": {"docs/dags.md": ["podenv check --cluster"]},
    "tests/image/test_image.py::test_an_image_takes_packages_from_their_own_index_and_from_git_and_keeps_no_login": {
        "docs/guides/private-index.md": ["podenv build --push"],
    },
    "tests/image/test_image.py::"
    "test_an_image_holds_the_projects_own_packages_and_another_one_after_a_change_of_their_code": {
        "docs/guides/own-code.md": ["podenv build report --push"],
    },
}
# What cannot run in a test, and why.
NOT_RUN = {
    "needs Airflow in pods: by hand, after a change of the page": {
        "docs/guides/official-chart.md": [
            "kubectl -n airflow exec deployment/af-scheduler -c scheduler -- airflow dags unpause multi_env_dag",
            "kubectl -n airflow exec deployment/af-scheduler -c scheduler -- airflow dags list-runs multi_env_dag",
            "kubectl get pods -A --watch",
        ],
    },
    "needs Airflow's chart and image from the internet": {
        "docs/guides/official-chart.md": [
            "helm repo add apache-airflow https://airflow.apache.org",
            "helm upgrade --install af apache-airflow/airflow --version 1.22.0 -n airflow -f airflow-values.yaml",
        ],
    },
    "needs an Airflow with a login": {
        "docs/guides/sizes.md": [
            "podenv sizes report --airflow https://airflow.example.com --user ada --plot sizes.svg",
        ],
    },
    "needs BuildKit on another machine": {
        "docs/guides/images.md": [
            "docker buildx create --name team --driver remote tcp://buildkit.example:1234",
            "export BUILDX_BUILDER=team",
        ],
    },
    "needs images of kind and Airflow from the internet": {
        "docs/guides/kind.md": _ALL,
    },
    "needs a foreign cloud": {
        "docs/guides/clouds.md": _ALL,
    },
    "the tests have an installation": {
        "docs/tutorial.md": [
            "mkdir pipelines && cd pipelines",
            "python3 -m venv .venv && . .venv/bin/activate",
            "pip install '/path/to/podenv[airflow,cli,check]'",
        ],
        "docs/guides/official-chart.md": [". .venv/bin/activate"],
    },
}


def left_out() -> Iterator[tuple[str, str]]:
    """Page and command of each of them."""
    for page, texts in [one for table in (RUN_BY, NOT_RUN) for pages in table.values() for one in pages.items()]:
        if texts is _ALL:
            texts = [one.text for snippet in on(ROOT / page) for one in commands(snippet)]
        yield from ((page, one) for one in texts)
