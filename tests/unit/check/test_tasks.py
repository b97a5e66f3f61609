"""Uses of environments, found in the text of a DAG file."""

import textwrap
from pathlib import Path

import pytest

from podenv.check import index
from podenv.check.sources import Sources, Unreadable, parse
from podenv.check.tasks import Task


def tasks(folder: Path, text: str, **others: str) -> list[Task]:
    for name, other in others.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(other))
    file = folder / "etl.py"
    file.write_text(textwrap.dedent(text))
    found = index.tasks([file], roots=[folder])
    assert found.broken == []
    return found.tasks


def brief(found: list[Task]) -> list[tuple[str, str | None, str | None]]:
    return [(one.task, one.environment, one.function.name if one.function else None) for one in found]


@pytest.mark.parametrize(
    "head",
    [
        "from airflow.sdk import task\n@task.env('a')",
        "from airflow.sdk import task\n@task.env(env='a')",
        "from airflow.decorators import task as t\n@t.env('a')",
        "import airflow.sdk\n@airflow.sdk.task.env('a')",
        "from podenv import env\n@env('a', memory='1Gi')",
        "import podenv\n@podenv.env('a')",
        "from airflow.sdk import task\nA = 'a'\n@task.env(A)",
        "from airflow.sdk import task\netl = task.env('a')\n@etl",
        "from airflow.sdk import task\n@task.env_branch('a')",
        "from airflow.sdk import task\n@task.env_sensor('a', poke_interval=3)",
    ],
)
def test_a_decorator_is_seen_by_whichever_name_it_has(tmp_path: Path, head: str) -> None:
    (found,) = tasks(tmp_path, f"{head}\ndef f():\n    return 1\n")
    assert (found.environment, found.task, found.kind) == ("a", "f", "task")


def test_the_dag_the_groups_and_the_task_id_make_the_names(tmp_path: Path) -> None:
    found = tasks(
        tmp_path,
        """
        from airflow.sdk import DAG, TaskGroup, dag, task, task_group

        @dag(dag_id="one")
        def first():
            @task_group
            def group():
                @task.env("a", task_id="renamed")
                def f(): ...

        with DAG("two"):
            with TaskGroup("outer"):
                @task.env("a")
                def g(): ...
        """,
    )
    assert [(one.dag, one.task) for one in found] == [("one", "group.renamed"), ("two", "outer.g")]


def test_operators_calls_and_overrides_name_their_functions(tmp_path: Path) -> None:
    found = tasks(
        tmp_path,
        """
        from airflow.sdk import task
        from podenv import EnvPodOperator, run_in_env
        from helpers import far

        def near(): ...

        EnvPodOperator(task_id="x", env="a", python_callable=near)
        EnvPodOperator.partial(task_id="y", python_callable=far).expand(env=["a", "b"])
        EnvPodOperator(task_id="z", env="a", cmds=["python"], arguments=["-m", "x"])

        @task
        def plain():
            return run_in_env("b", near, 1)

        @task.env("a")
        def f(): ...

        f.override(task_id="g", env="b")()
        task.env("b")(near)()
        """,
        helpers="def far(): ...",
    )
    assert brief(found) == [
        ("x", "a", "near"), ("y", "a", "far"), ("y", "b", "far"), ("z", "a", None), ("plain", "b", "near"),
        ("f", "a", "f"), ("g", "b", "f"), ("near", "b", "near"),
    ]  # fmt: skip
    assert found[3].command == ("python", "-m", "x")


def test_a_name_that_can_be_one_of_several_is_all_of_them_and_a_computed_one_is_none(tmp_path: Path) -> None:
    found = tasks(
        tmp_path,
        """
        import os
        from airflow.sdk import task

        for name in ("a", "b"):
            @task.env(name)
            def f(): ...

        @task.env("c" if os.name else "d")
        def g(): ...

        @task.env(os.environ["X"])
        def h(): ...

        def made(which):
            @task.env(which)
            def i(): ...
        """,
    )
    assert [(one.task, one.environment) for one in found] == [
        ("f", "a"), ("f", "b"), ("g", "c"), ("g", "d"), ("h", None), ("i", None),
    ]  # fmt: skip


def test_default_arguments_of_the_dag_are_the_tasks_own(tmp_path: Path) -> None:
    (found,) = tasks(
        tmp_path,
        """
        from airflow.sdk import dag, task
        DEFAULTS = {"memory": "1Gi", "retries": 2}

        @dag(default_args=DEFAULTS)
        def etl():
            @task.env("a", retries=1)
            def f(): ...
        """,
    )
    assert dict(found.arguments) == {"memory": "1Gi", "retries": 1, "env": "a"}


def test_what_is_not_podenvs_is_not_a_task(tmp_path: Path) -> None:
    assert tasks(tmp_path, "import os\nenv = os.environ\n@env.get('a')\ndef f(): ...\n@task\ndef g(): ...\n") == []


@pytest.mark.parametrize(
    ("content", "line", "why"),
    [
        (b"x = (\n", 1, "'(' was never closed"),
        (b"x = '\xff'\n", 1, "it is not text in UTF-8, nor in an encoding that its first lines name"),
        (b"\n\nx = = 1\n", 3, "invalid syntax"),
    ],
)
def test_a_file_that_cannot_be_read_says_where_and_why(tmp_path: Path, content: bytes, line: int, why: str) -> None:
    (tmp_path / "x.py").write_bytes(content)
    with pytest.raises(Unreadable) as caught:
        parse(tmp_path / "x.py")
    assert (caught.value.line, caught.value.why) == (line, why)


def test_a_byte_order_mark_and_an_own_encoding_are_read(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_bytes(b"\xef\xbb\xbfx = 1\r\ny = 2\r\n")
    (tmp_path / "y.py").write_bytes("# -*- coding: latin-1 -*-\nx = 'é'\n".encode("latin-1"))
    assert parse(tmp_path / "x.py").lines == ["x = 1", "y = 2", ""]
    assert "é" in Sources([]).read(tmp_path / "y.py").text


def test_hidden_folders_caches_and_virtual_environments_are_not_searched(tmp_path: Path) -> None:
    for name in (".git", "__pycache__", "venv", "sub"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.py").write_text("")
    (tmp_path / "venv" / "pyvenv.cfg").write_text("")
    assert [one.path.parent.name for one in index.tasks([tmp_path]).files] == ["sub"]
