"""The commands of the pages that no walk runs, each with its reason."""

from __future__ import annotations

from collections.abc import Iterator

# What runs a command: a file that has it word by word, or a test that does the same.
RUN_BY = {
    ".ci/run": {
        "README.md": ["scripts/quickstart", "scripts/test"],
        "CONTRIBUTING.md": ["scripts/quickstart", "scripts/test"],
        "docs/tutorial.md": ["scripts/dev-cluster up", 'eval "$(scripts/dev-cluster env)"'],
        "docs/guides/official-chart.md": ["scripts/dev-cluster up", 'eval "$(scripts/dev-cluster env)"'],
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
    "needs an Airflow with a login": {
        "docs/dags.md": [
            "podenv sizes report --airflow https://airflow.example.com --user ada --plot sizes.svg",
        ],
    },
    "needs BuildKit on another machine": {
        "docs/guides/images.md": [
            "docker buildx create --name team --driver remote tcp://buildkit.example:1234",
            "export BUILDX_BUILDER=team",
        ],
    },
    "needs Docker and kind": {
        "docs/tutorial.md": ["kind create cluster", "export PODENV_REGISTRY=localhost:5001"],
    },
    "the tests have an installation": {
        "docs/tutorial.md": [
            "mkdir pipelines && cd pipelines",
            "python3 -m venv .venv && . .venv/bin/activate",
            "pip install '/path/to/podenv[airflow,cli,check]'",
        ],
    },
}


def left_out() -> Iterator[tuple[str, str]]:
    """Page and command of each of them."""
    for table in (RUN_BY, NOT_RUN):
        for pages in table.values():
            for page, commands in pages.items():
                yield from ((page, one) for one in commands)
