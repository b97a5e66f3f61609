"""`podenv affected`, `podenv outdated` and `podenv diff --lock`, without a cluster."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from tests.packageindex import Index
from tests.plan.conftest import Project
from tests.registryserver import Answer, Asked, serving

OLD, NEW = "sha256:" + "1" * 64, "sha256:" + "2" * 64
NOWHERE = ("--kubeconfig", "kubeconfig")  # a file that names no cluster


@pytest.fixture
def pipeline(project: Project, letters: Index, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Three environments and their tasks."""
    for name in ("PODENV_BASE_IMAGE", "PODENV_UV_IMAGE"):
        monkeypatch.delenv(name, raising=False)
    (project.root / "kubeconfig").touch()
    project.environment("one", "gamma\n")
    project.environment("two", "alpha\nbeta\n")
    project.environment("three", "beta\n")
    project.podenv("lock")
    project.dag("etl", one="gamma", two="alpha", three="beta")
    return project


def test_environments_locks_dags_and_tasks_that_a_version_reaches_are_named(pipeline: Project) -> None:
    said, errors = pipeline.podenv("affected", "alpha<2", *NOWHERE, exit_code=1)
    assert said == (
        "alpha<2: 1 environment, 1 task\n"
        "  one\n"
        "    lock: 1.0 in envs/one/requirements.txt\n"
        "    tasks that run with it: etl.use_one\n"
    )
    assert errors.startswith("note: What is deployed is not known: The kubeconfig cannot be used: ")
    said, errors = pipeline.podenv("affected", "alpha", "--no-cluster", exit_code=1)
    assert said.splitlines()[0] == "alpha: 2 environments, 2 tasks"
    assert "    imported by: etl.use_two\n" in said
    assert errors == ""


def test_what_nothing_holds_is_said_and_ends_with_0(pipeline: Project) -> None:
    assert pipeline.podenv("affected", "zeta", "alpha==0.1", "--no-cluster") == (
        "zeta: no environment holds it.\nalpha==0.1: no environment holds it.\n", "",
    )  # fmt: skip


def test_a_record_of_osv_asks_for_the_versions_that_it_names(pipeline: Project) -> None:
    record = {
        "id": "GHSA-1111-2222-3333",
        "affected": [{
            "package": {"ecosystem": "PyPI", "name": "alpha"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.5"}]}],
        }],
    }  # fmt: skip
    (pipeline.root / "advisory.json").write_text(json.dumps(record))
    found = pipeline.json("affected", "advisory.json", *NOWHERE, exit_code=1)
    assert [(one["question"], one["environment"], one["locked"]) for one in found["hits"]] == [
        ("GHSA-1111-2222-3333: alpha", "one", ["1.0"])
    ]
    [task] = found["hits"][0]["tasks"]
    assert (task["dag"], task["task"], task["file"], task["packages"]) == ("etl", "use_one", "dags/etl.py", ["gamma"])
    assert found["deployed_known"] is False


def test_a_lock_that_is_missing_or_stale_is_said_and_nothing_found_is_then_no_answer(pipeline: Project) -> None:
    pipeline.environment("two", "alpha\n")
    pipeline.environment("four", "alpha\n")
    said, errors = pipeline.podenv("affected", "zeta", "--no-cluster", exit_code=2)
    assert said == "zeta: no environment holds it.\n"
    assert errors == (
        f"note: four is not judged: {pipeline.root}/envs/four/requirements.txt is missing; run `podenv lock four`.\n"
        f"note: {pipeline.root}/envs/two/requirements.txt is older than requirements.in or a file that it includes; "
        "run `podenv lock two`.\n"
    )
    assert pipeline.podenv("affected", "alpha", "--no-cluster", exit_code=1)[0].startswith("alpha: 2 environments")


@pytest.mark.parametrize("word", ["no/such.json", "not a package"])
def test_what_is_neither_a_package_nor_a_file_ends_with_2(pipeline: Project, word: str) -> None:
    _, errors = pipeline.podenv("affected", word, exit_code=2)
    assert errors.startswith(f"error: There is no file {word}, and it is not a package either; write it like urllib3")


def test_outdated_lists_newer_versions_that_the_requirements_allow(pipeline: Project, letters: Index) -> None:
    before = (pipeline.root / "envs" / "two" / "requirements.txt").read_bytes()
    letters.add("alpha", "1.5")
    letters.add("beta", "3.0")
    said, _ = pipeline.podenv("outdated")
    assert said.splitlines() == [
        "ENVIRONMENT   PACKAGE   LOCKED   ALLOWED",
        "one           alpha     1.0      1.5",
        "three         beta      2.0      3.0",
        "two           beta      2.0      3.0",
        "3 packages and 0 base images of 3 environments could be newer.",
    ]
    assert (pipeline.root / "envs" / "two" / "requirements.txt").read_bytes() == before
    assert pipeline.json("outdated", "one") == [{
        "environment": "one",
        "packages": [{"environment": "one", "package": "alpha", "before": "1.0", "after": "1.5"}],
        "base": {
            "reference": "docker.io/library/python:3.12-slim", "state": "not built", "built_from": "", "now": "",
            "why": "", "is_pinned": False,
        },
        "why": "",
    }]  # fmt: skip


def test_outdated_says_what_the_index_could_not_tell(pipeline: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    pipeline.environment("four", "alpha\n")
    said, errors = pipeline.podenv("outdated", "one", "four", exit_code=1)
    assert said == "0 packages and 0 base images of 2 environments could be newer.\n"
    assert "error: one: uv cannot say what is newer. uv says: " in errors
    assert f"error: four: {pipeline.root}/envs/four/requirements.txt is missing; run `podenv lock four`.\n" in errors


def base_and_image(base: str, built_from: str) -> Callable[[Asked], Answer]:
    """A registry that has any image, built from ``built_from``, while the base's tag stands for ``base`` now."""
    labels = {"org.opencontainers.image.base.digest": built_from}

    def respond(asked: Asked) -> Answer:
        if asked.path == "/v2/python/manifests/3.12":
            return Answer(200, {"Docker-Content-Digest": base})
        if "/blobs/" in asked.path:
            return Answer(200, {}, json.dumps({"config": {"Labels": labels}}).encode())
        return Answer(200, {}, json.dumps({"config": {"digest": "sha256:c"}, "layers": []}).encode())

    return respond


@pytest.mark.parametrize(("now", "state"), [(NEW, "moved"), (OLD, "current")])
def test_a_base_image_has_moved_when_its_tag_stands_for_another_image_than_the_one_built_from(
    pipeline: Project, monkeypatch: pytest.MonkeyPatch, now: str, state: str
) -> None:
    with serving(base_and_image(now, OLD)) as (host, _):
        monkeypatch.setenv("PODENV_REGISTRY", host)
        monkeypatch.setenv("PODENV_BASE_IMAGE", f"{host}/python:{{python}}")
        [found] = pipeline.json("outdated", "one")
        assert (found["base"]["state"], found["base"]["built_from"], found["base"]["now"]) == (state, OLD, now)
        said, _ = pipeline.podenv("outdated", "one")
        moved = (
            f"one: its base image {host}/python:3.12 is another one now (111111111111 -> 222222222222); "
            "`podenv build one --refresh --push` takes it.\n"
            "0 packages and 1 base image of 1 environment could be newer.\n"
        )
        assert (said == moved) is (state == "moved")
        monkeypatch.setenv("PODENV_BASE_IMAGE", f"{host}/python@{OLD}")
        assert pipeline.json("outdated", "one")[0]["base"]["state"] == "fixed"


def test_a_registry_that_does_not_answer_leaves_the_base_unknown_and_the_packages_are_listed(
    pipeline: Project, letters: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters.add("beta", "3.0")
    monkeypatch.setenv("PODENV_REGISTRY", "127.0.0.1:9")
    said, _ = pipeline.podenv("outdated", "three", exit_code=1)
    assert "three         beta      2.0      3.0\n" in said
    assert "three: it is not known if its base image has moved: The registry 127.0.0.1:9 cannot be asked for " in said


def test_sizes_come_from_the_registry_where_it_has_the_images(
    pipeline: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(base_and_image(OLD, OLD)) as (host, asked):
        monkeypatch.setenv("PODENV_REGISTRY", host)
        pipeline.json("plan", "one", "two")
        assert sorted({one.path.split("/")[2] for one in asked}) == ["podenv-one", "podenv-two"]


def test_a_diff_of_locks_without_a_cluster_is_one_error(pipeline: Project) -> None:
    _, errors = pipeline.podenv("diff", "--lock", "one", *NOWHERE, exit_code=1)
    assert errors.startswith("error: The kubeconfig cannot be used: ")
