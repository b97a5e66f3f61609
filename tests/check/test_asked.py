"""Rules that are held where somebody asks for them: with a loaded DAG, a cluster's answers, or a real import."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from tests.check.project import Project, line
from tests.packageindex import Index

from podenv.catalogue.environment import Catalogue
from podenv.check.findings import Finding
from podenv.check.rules.limits import Room
from podenv.check.run import Options, check
from podenv.check.standard import HERE
from podenv.local import imports
from podenv.lock.lockfile import lock_hash
from podenv.release import Releases
from podenv.release.room import room

ROOT = Path(__file__).parents[2]
PODENV = Path(sys.executable).parent / "podenv"


def held(project: Project, options: Options) -> list[Finding]:
    report = check([project.root / "dags"], Catalogue(project.root / "envs"), options)
    assert not [one for one in report.skipped if one.failed], report.skipped
    return report.findings


def test_a_loaded_dag_shows_annotations_that_do_not_fit_and_environments_with_computed_names(
    index: Index, project: Project
) -> None:
    project.environment("a")
    project.environment("b", values="limitRange: {max: {memory: 2Gi}}\n")
    file = project.dag("""
        from typing import Any


        @dag(schedule=None)
        def etl():
            @task.env("a")
            def up() -> dict:
                return {"rows": []}

            @task.env("".join(["b"]), memory=f"{3}Gi")
            def down(rows: list[dict], anything: Any = None) -> int:
                return len(rows)

            @task.env("a")
            def last(value: float, other=None):
                return value

            found = up()
            down(found, anything=found)
            last(down(found["rows"]), other=found)


        etl()
        """)
    argv: list[str | Path] = [
        PODENV,
        "check",
        "--dag-graph",
        "--select",
        "edge-type,unused-environment,limit",
        "--format",
        "json",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, env={**os.environ})
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)["findings"]
    assert [(one["rule"], one["line"], one["message"]) for one in found if one["rule"] != "limit"] == [
        ("edge-type", line("def down", file), "`down` takes `rows: list[dict]`, and `up` returns `dict`.")
    ]
    assert {one["message"] for one in found if one["rule"] == "limit"} == {
        f"`{task}` may use memory 3Gi, and limitRange.max in envs/b/values.yaml allows 2Gi."
        for task in ("down", "down__1")
    }


def test_a_cluster_is_asked_three_times_and_the_smaller_amount_holds(index: Index, project: Project) -> None:
    project.environment("a", values="warm: {idle: 3}\n")
    asked = []

    class Answers:
        def list_in(self, api_version: str, kind: str, namespaces: Iterable[str]) -> object:
            asked.append((kind, *namespaces))
            where = {"namespace": "podenv-a"}
            answers: dict[str, object] = {
                "LimitRange": [
                    {"metadata": where, "spec": {"limits": [{"type": "Container", "max": {"memory": "8Gi"}}]}},
                    {"metadata": where, "spec": {"limits": [{"type": "Container", "max": {"memory": "4Gi"}}]}},
                    {"metadata": where, "spec": {"limits": [{"type": "Pod", "max": {"memory": "1Gi"}}]}},
                ],
                "ResourceQuota": [{"metadata": where, "spec": {"hard": {"limits.cpu": "4", "pods": "2"}}}],
                "Node": [
                    {"status": {"allocatable": {"cpu": "2", "memory": "64Gi"}}},
                    {"status": {"allocatable": {"cpu": "3", "memory": "8Gi"}}},
                    {"spec": {"unschedulable": True}, "status": {"allocatable": {"cpu": "64"}}},
                ],
            }
            return answers[kind]

    catalogue = Catalogue(project.root / "envs")
    releases = Releases()
    releases.cluster = Answers()  # type: ignore[assignment]  # it only lists
    found, refused = room(releases, [catalogue["a"]])
    assert asked == [("LimitRange", "podenv-a"), ("ResourceQuota", "podenv-a"), ("Node", "")]
    assert refused == {}
    assert found == {
        "a": Room(
            {"memory": "4Gi"},
            {"limits.cpu": "4", "pods": "2"},
            ({"cpu": "2", "memory": "64Gi"}, {"cpu": "3", "memory": "8Gi"}),
        )
    }
    project.dag("""
        @task.env("a", cpu="3500m")
        def f(): ...

        @task.env("a", memory="5Gi")
        def g(): ...
        """)
    assert [one.message for one in held(project, Options(rules=("limit",), rooms=found))] == [
        "`f` asks for cpu 3500m, and the largest node has 3.",
        "`g` may use memory 5Gi, and the namespace's LimitRange allows 4Gi.",
        "Of 'a', 3 idle pods take 3 x 1 of pods, and the quota has 2 (the namespace's ResourceQuota).",
    ]


def test_cores_that_look_like_thousandths_are_a_warning(project: Project) -> None:
    project.environment("a", values="resources: {limits: {cpu: 300}}\n")
    project.dag("""
        @task.env("a", cpu="500", memory="1Gi")
        def f(): ...

        @task.env("a", cpu="256")
        def g(): ...

        @task.env("a", memory="2Gi")
        def h(): ...
        """)
    found = held(project, Options(rules=("limit",)))
    assert [(one.severity, one.message, one.remedy) for one in found] == [
        ("warning", "`f` asks for cpu 500, which is 500 cores.", "Did you mean 500m, 0.5 cores?"),
        ("warning", "A task of 'a' asks for cpu 300, which is 300 cores.", "Did you mean 300m, 0.3 cores?"),
    ]


def test_a_probe_sees_what_an_import_does_and_what_it_takes(index: Index, project: Project) -> None:
    hungry = "block = bytearray(80_000_000)\nfor place in range(0, len(block), 4096):\n    block[place] = 1\n"
    index.add("hungry", "1.0", files={"hungry/__init__.py": hungry})
    getter = "def __getattr__(name):\n    raise (ImportError if name == 'load' else AttributeError)('it was removed')\n"
    index.add("fickle", "1.0", files={"fickle/__init__.py": getter, "fickle/inner.py": ""})
    project.environment("a", "hungry\nfickle\n", python=HERE)
    file = project.dag("""
        @task.env("a", memory="64Mi")
        def below():
            import hungry

        @task.env("a", memory="100Mi")
        def close():
            import hungry

        @task.env("a", memory="512Mi")
        def enough():
            import hungry
            from fickle import inner

        @task.env("a")
        def gone():
            import json

            from fickle import load

            return json.dumps(load())
        """)
    found = held(project, Options(rules=("memory", "import-name"), probe=True))
    assert [(one.rule, one.task, one.severity) for one in found] == [
        ("memory", "below", "error"),
        ("memory", "close", "warning"),
        ("import-name", "gone", "error"),
    ]
    assert found[2].line == line("import load", file)
    assert found[2].message == "`fickle.load` cannot be had in 'a': ImportError: it was removed."
    # A task whose memory is auto never begins with less.
    lock = lock_hash(Catalogue(project.root / "envs")["a"])
    assert imports.taken(lock, "", "close") > 10 * 2**20


def test_a_probe_finds_what_no_reading_can(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parent / "project"
    envs = shutil.copytree(root / "envs", tmp_path / "envs")
    # The lock of a pipeline here, whose virtual environment the other tests make too.
    shutil.rmtree(envs / "train")
    shutil.copytree(ROOT / "envs" / "model-training", envs / "train")
    monkeypatch.setenv("PODENV_CACHE", str(cache))
    options = Options(["train"], ("import-name", "memory"), probe=True, roots=[root / "dags"])
    report = check([root / "dags"], Catalogue(envs), options)
    seen = [one for one in report.findings if "load_boston" in one.message]
    assert len(seen) == 1
    assert "has been removed from scikit-learn" in seen[0].message


def test_a_probe_leaves_modules_beside_the_dag_to_the_task(index: Index, project: Project) -> None:
    project.environment("a", python=HERE)
    (project.root / "dags" / "shared.py").write_text("def three():\n    return 3\n")
    project.dag("""
        import shared
        from shared import three

        @task.env("a")
        def count() -> int:
            return three() + shared.three()
        """)
    assert held(project, Options(rules=("import", "import-name"), probe=True, roots=[project.root / "dags"])) == []
