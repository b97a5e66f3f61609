"""A proposal goes where the size is given: into the call, or into the environment's values; the rest is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from podenv.catalogue.environment import Catalogue
from podenv.sizes import writing
from podenv.sizes.writing import Edits
from podenv.usage.runs import Run, Sizes, TaskSizes

HEAD = "from airflow.sdk import dag, task\n\nfrom podenv import EnvPodOperator, run_in_env\n\n\n"


def size(task: str, memory: str | None = "256Mi", cpu: str | None = None) -> TaskSizes:
    runs = [Run("d", task, "a", "l") for _ in range(3)]
    found = Sizes()
    found.add(runs)
    return replace(found.tasks()[0], proposed_memory=memory, proposed_cpu=cpu)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dags").mkdir()
    for name in ("a", "b"):
        (tmp_path / "envs" / name).mkdir(parents=True)
        (tmp_path / "envs" / name / "values.yaml").write_text('python: "3.11"  # quoted\n')
    (tmp_path / "envs/defaults.yaml").write_text("resources: {requests: {memory: 512Mi}, limits: {memory: 1Gi}}\n")
    return tmp_path


def plan(project: Path, body: str, *sizes: TaskSizes) -> Edits:
    text = HEAD + "@dag(schedule=None)\ndef d():\n" + "".join(f"    {line}\n" for line in body.strip("\n").splitlines())
    (project / "dags/d.py").write_text(text)
    return writing.plan(sizes, project / "dags", Catalogue(project / "envs"))


def changed(edits: Edits, name: str) -> list[tuple[str, str]]:
    """The lines that differ in the file of that name, before and after."""
    (change,) = (one for one in edits.files if one.file.name == name)
    before, after = change.before.decode().splitlines(), change.after.decode().splitlines()
    assert len(before) == len(after)
    return [(old.strip(), new.strip()) for old, new in zip(before, after, strict=True) if old != new]


TASK = '@task.env("a", {0})\ndef t(): ...\nt()'


@pytest.mark.parametrize(
    ("body", "before", "after"),
    [
        (TASK.format('memory="1Gi"'), '@task.env("a", memory="1Gi")', '@task.env("a", memory="256Mi")'),
        (TASK.format("memory='1Gi',"), "@task.env(\"a\", memory='1Gi',)", "@task.env(\"a\", memory='256Mi',)"),
        (
            'EnvPodOperator(task_id="t", env="a", cmds=["true"], memory="1Gi")  # wide',
            'EnvPodOperator(task_id="t", env="a", cmds=["true"], memory="1Gi")  # wide',
            'EnvPodOperator(task_id="t", env="a", cmds=["true"], memory="256Mi")  # wide',
        ),
        (
            'EnvPodOperator.partial(task_id="t", env="a", memory="1Gi").expand(cmds=[["true"]])',
            'EnvPodOperator.partial(task_id="t", env="a", memory="1Gi").expand(cmds=[["true"]])',
            'EnvPodOperator.partial(task_id="t", env="a", memory="256Mi").expand(cmds=[["true"]])',
        ),
        (
            'x = "ä"; EnvPodOperator(task_id="t", env="a", cmds=["ü"], memory="1Gi")',
            'x = "ä"; EnvPodOperator(task_id="t", env="a", cmds=["ü"], memory="1Gi")',
            'x = "ä"; EnvPodOperator(task_id="t", env="a", cmds=["ü"], memory="256Mi")',
        ),
    ],
)
def test_the_size_in_a_call_is_replaced_and_nothing_else(project: Path, body: str, before: str, after: str) -> None:
    edits = plan(project, body, size("t"))
    assert (changed(edits, "d.py"), edits.left) == ([(before, after)], [])


def test_cpu_and_memory_change_together_and_a_number_becomes_a_quantity(project: Path) -> None:
    edits = plan(project, TASK.format('cpu=2, memory="1Gi"'), size("t", "256Mi", "500m"))
    assert changed(edits, "d.py") == [
        ('@task.env("a", cpu=2, memory="1Gi")', '@task.env("a", cpu="500m", memory="256Mi")')
    ]


def test_the_layout_of_a_call_on_several_lines_stays(project: Path) -> None:
    body = '@task.env(\n    "a",\n    memory="1Gi",  # as it was measured once\n    retries=2,\n)\ndef t(): ...\nt()'
    edits = plan(project, body, size("t"))
    old, new = 'memory="1Gi",  # as it was measured once', 'memory="256Mi",  # as it was measured once'
    assert changed(edits, "d.py") == [(old, new)]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (TASK.format("memory=size()"), "memory in dags/d.py:8 is computed"),
        ("MEMORY = '1Gi'\n" + TASK.format("memory=MEMORY"), "memory in dags/d.py:9 is computed"),
        (TASK.format('memory="128Mi", max_memory="200Mi"'), r"above max_memory \(200Mi\) in dags/d.py:8; raise both"),
        (TASK.format('container_resources={"limits": {"memory": "1Gi"}}'), "container_resources gives its sizes"),
        ("for n in range(2):\n    " + 'EnvPodOperator(task_id="t", env="a", cmds=["x"], memory="1Gi")',
         "the call in dags/d.py:9 makes other tasks too"),
        ('@task.env("a", memory="1Gi")\ndef u(): ...\nu.override(task_id="t")()', "dags/d.py:8 makes other tasks too"),
        ('EnvPodOperator(task_id="t", env="a", cmds=["x"], memory="1Gi")\n' * 2, "several calls make it"),
        ('EnvPodOperator(task_id="t", env=name(), cmds=["x"], memory="1Gi")', "its environment is computed, or mapped"),
        ('EnvPodOperator(task_id="other", env="a", cmds=["x"])', "no call in the DAG files makes it by that name"),
    ],
)  # fmt: skip
def test_what_cannot_be_edited_is_named_with_the_reason(project: Path, body: str, why: str) -> None:
    import re

    edits = plan(project, body, size("t"))
    (left,) = edits.left
    assert (edits.files, left.where, left.what) == ([], "d.t", 'memory="256Mi"')
    assert re.search(why, left.why), left.why


def test_memory_that_is_auto_and_a_size_that_is_right_stay(project: Path) -> None:
    assert plan(project, TASK.format('memory="auto", max_memory="1Gi"'), size("t")) == Edits()
    assert plan(project, TASK.format('memory="0.25Gi"'), size("t")) == Edits()


def test_where_no_call_says_it_the_environments_default_becomes_the_largest_proposal(project: Path) -> None:
    body = '@task.env("a")\ndef t(): ...\n@task.env("a")\ndef u(): ...\n@task.env("a", memory="4Gi")\ndef v(): ...'
    edits = plan(project, body, size("t", "256Mi"), size("u", "384Mi"))
    (change,) = edits.files
    assert change.file == project / "envs/a/values.yaml"
    # The request of defaults.yaml would be above the new limit.
    assert change.after.decode() == (
        'python: "3.11"  # quoted\n\nresources:\n  requests:\n    memory: 384Mi\n  limits:\n    memory: 384Mi\n'
    )
    assert edits.left == []


def test_a_default_stays_while_a_task_that_has_it_is_not_known(project: Path) -> None:
    body = '@task.env("a")\ndef t(): ...\n@task.env("a")\ndef rare(): ...'
    edits = plan(project, body, size("t"))
    (left,) = edits.left
    assert (edits.files, left.where, left.what) == ([], "environment a", "resources.limits.memory: 256Mi")
    assert left.why == "it holds for d.rare too, of which nothing is proposed"


def test_a_cpu_that_is_a_whole_number_is_quoted_in_values(project: Path) -> None:
    edits = plan(project, '@task.env("a")\ndef t(): ...', size("t", None, "2"))
    assert edits.files[0].after.decode().endswith('resources:\n  limits:\n    cpu: "2"\n')


def test_a_task_without_a_proposal_changes_nothing(project: Path) -> None:
    assert plan(project, TASK.format('memory="1Gi"'), size("t", None)) == Edits()
