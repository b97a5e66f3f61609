"""A DAG file as one environment sees it, line by line."""

import textwrap
from pathlib import Path

import pytest

from podenv.check import index, travel, views
from podenv.check.views import FOOTER, View


def seen(folder: Path, text: str, **others: str) -> list[View]:
    for name, other in others.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(other))
    (folder / "etl.py").write_text(textwrap.dedent(text))
    found = index.tasks([folder / "etl.py"], roots=[folder])
    return views.build("a", [(task, travel.pack(task, found.sources)) for task in found.tasks])


def test_what_runs_there_stands_on_its_own_lines_and_all_else_is_blank(tmp_path: Path) -> None:
    (view,) = seen(
        tmp_path,
        """\
        from airflow.sdk import dag, task
        import numpy
        LIMIT = 3
        OTHER = 4

        @dag(schedule=None)
        def etl():
            @task.env("a")
            def f(rows: list) -> dict:
                return numpy.sum(rows) + LIMIT

            f([])
        """,
    )
    assert view.text.split("\n") == [
        "", "import numpy", "LIMIT = 3", "", "", "", "if True:", "",
        '    def f(rows: list) -> "XCom":', "        return numpy.sum(rows) + LIMIT", "", "", "", FOOTER, "",
    ]  # fmt: skip
    compile(view.text, "view", "exec")


@pytest.mark.parametrize(
    ("signature", "expected"),
    [
        ("def f():", 'def f() -> "XCom":'),
        ("def f() -> dict[str, int]:", 'def f() -> "XCom":'),
        ("def f(x: dict = {1: 2}): return x", 'def f(x: dict = {1: 2}) -> "XCom": return x'),
        ("async def f(x=lambda: 1):", 'async def f(x=lambda: 1) -> "XCom":'),
        ("def f() -> dict[\n    str, int\n]:", 'def f() -> (\n\n"XCom"):'),
    ],
)
def test_the_signature_says_xcom_on_as_many_lines_as_before(tmp_path: Path, signature: str, expected: str) -> None:
    body = "" if "return" in signature else "\n    return 1"
    (view,) = seen(tmp_path, f"from airflow.sdk import task\n@task.env('a')\n{signature}{body}\n")
    lines = view.text.split("\n")
    assert "\n".join(lines[2 : 2 + signature.count("\n") + 1]) == expected
    compile(view.text, "view", "exec")


def test_functions_of_one_name_are_in_views_of_their_own(tmp_path: Path) -> None:
    first, second = seen(
        tmp_path,
        """\
        from airflow.sdk import dag, task

        @dag
        def one():
            @task.env("a")
            def f():
                return 1

        @dag
        def two():
            if True:
                @task.env("a")
                def f():
                    return 2

            @task.env("a")
            def g():
                return 3
        """,
    )
    assert ("return 1" in first.text, "return 2" in first.text, "return 3" in first.text) == (True, False, True)
    assert "return 2" in second.text
    for view in (first, second):
        compile(view.text, "view", "exec")


def test_modules_beside_travel_whole_and_their_problems_are_named(tmp_path: Path) -> None:
    (view,) = seen(
        tmp_path,
        """\
        from airflow.sdk import task, Asset
        from shared import helper
        RAW = Asset("raw")

        @task.env("a")
        def f():
            return helper(RAW.name)
        """,
        shared="import other\ndef helper(x): ...\n",
        other="import shared\n",
    )
    ((_, luggage),) = view.luggage
    assert sorted(one.path.name for one in luggage.modules) == ["other.py", "shared.py"]
    (problem,) = luggage.problems
    assert (problem.name, problem.line, problem.column) == ("RAW", 7, 19)
    assert problem.remedy == "line 3 makes it with 'Asset', which comes from Airflow: pass it as an argument"
