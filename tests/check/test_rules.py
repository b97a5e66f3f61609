"""Each rule, with wheels of an index on disk and the real type checker."""

import hashlib
import sys
from pathlib import Path

import pytest
from tests.check.project import Project, line
from tests.packageindex import Index

from podenv.catalogue.automemory import NEEDS_CAP
from podenv.check import standard
from podenv.check.findings import Skipped


def test_a_module_of_another_environment_is_named_with_the_package_that_brings_it(
    index: Index, project: Project
) -> None:
    index.add("alpha", "1.0", files={"alphalib/__init__.py": ""})
    index.add("beta", "1.0")
    project.environment("a", "alpha\n")
    project.environment("b", "beta\n")
    file = project.dag("""
        @task.env("a")
        def good():
            import alphalib

        @task.env("b")
        def bad():
            import alphalib
        """)
    (found,) = project.found("import")
    assert (found.file, found.line, found.column) == ("dags/etl.py", line("def bad", file) + 1, 12)
    assert found.message == "`alphalib` is not in 'b' (Python 3.11); 'a' has it."
    assert found.remedy == "Add `alpha` to envs/b/requirements.in, or use that environment."
    assert (found.task, found.environment, found.severity) == ("bad", "b", "error")


def test_modules_that_idle_pods_load_are_in_the_lock_or_the_standard_library(index: Index, project: Project) -> None:
    index.add("alpha", "1.0")
    project.dag("X = 1\n", "beside.py")
    project.environment("a", "alpha\n", values="warm: {idle: 1, imports: [json, alpha, beside, polars]}\n")
    project.environment("b", "alpha\n", values="warm: {imports: [polars]}\n")
    found = project.found("import")
    assert [(one.file, one.message) for one in found] == [
        ("envs/a/values.yaml", f"`{name}` in warm.imports is not in 'a' (Python 3.11).")
        for name in ("beside", "polars")
    ]
    assert found[0].remedy == "Add its package to envs/a/requirements.in, or take it out of warm.imports."


def test_an_import_that_may_not_run_is_a_warning_and_one_whose_absence_is_caught_is_nothing(
    index: Index, project: Project
) -> None:
    index.add("alpha", "1.0")
    project.environment("a", "alpha\n")
    file = project.dag("""
        @task.env("a")
        def f(fast: bool):
            if fast:
                import polars
            try:
                import orjson
            except ImportError:
                orjson = None
            import alpha
        """)
    (found,) = project.found("import")
    assert (found.line, found.severity) == (line("import polars", file), "warning")


def test_an_extension_module_a_namespace_package_and_made_modules_are_no_findings(
    index: Index, project: Project
) -> None:
    index.add(
        "alpha",
        "1.0",
        files={
            "fast.cpython-311-x86_64-linux-gnu.so": "",
            "cloud/storage/__init__.py": "",
            "lazy/__init__.py": "import sys\nsys.modules['lazy.inner'] = sys\n",
            "sixth.py": "",
        },
    )
    project.environment("a", "alpha\n")
    project.dag("""
        @task.env("a")
        def f():
            import cloud.storage
            import fast
            import lazy.inner
            import sixth.moves
        """)
    assert project.found("import") == []


def test_a_submodule_that_a_package_lacks_is_found_with_the_version_in_the_lock(index: Index, project: Project) -> None:
    index.add("alpha", "1.2", files={"alpha/__init__.py": "", "alpha/readers.py": ""})
    project.environment("a", "alpha\n")
    project.dag("""
        @task.env("a")
        def f():
            import alpha.reader
        """)
    (found,) = project.found("import")
    assert found.message == "`alpha.reader` is not in 'a' (Python 3.11): its alpha 1.2 has no such module."
    assert found.remedy == "Did you mean 'alpha.readers'?"


def test_setuptools_brings_distutils_back(index: Index, project: Project) -> None:
    index.add("setuptools", "80.0", files={"setuptools/__init__.py": "", "distutils-precedence.pth": "import os\n"})
    index.add("alpha", "1.0")
    project.environment("with", "setuptools\n", python="3.13")
    project.environment("without", "alpha\n", python="3.13")
    project.dag("""
        def f():
            import distutils.util

        @task
        def both():
            run_in_env("with", f)
            run_in_env("without", f)
        """)
    (found,) = project.found("stdlib")
    assert found.environment == "without"
    assert found.message == (
        "`distutils` is not in the standard library of Python 3.13: Python 3.11 was the last one to have it."
    )


def test_what_travels_is_checked_too_module_by_module(index: Index, project: Project) -> None:
    index.add("alpha", "1.0")
    project.environment("a", "alpha\n")
    project.dag("import gamma\n\n\ndef helper():\n    return gamma\n", "shared/tools.py", head="")
    project.dag("import delta\n", "unrelated.py", head="")
    project.dag(
        """
        from shared.tools import helper
        import epsilon


        @task.env("a")
        def f():
            return str(helper())


        @task.env("a")
        def g():
            return epsilon.VERSION
        """
    )
    found = project.found("import")
    assert [(one.file, one.message) for one in found] == [
        ("dags/etl.py", "`epsilon` is not in 'a' (Python 3.11)."),
        ("dags/shared/tools.py", "`gamma` is not in 'a' (Python 3.11)."),
    ]


def test_modules_that_import_each_other_are_followed_once(index: Index, project: Project) -> None:
    index.add("alpha", "1.0")
    project.environment("a", "alpha\n")
    project.dag("import two\n", "one.py", head="")
    project.dag("import one\nimport gamma\n", "two.py", head="")
    project.dag("import one\n\n\n@task.env('a')\ndef f():\n    return one.__name__\n")
    (found,) = project.found("import")
    assert (found.file, found.line) == ("dags/two.py", 2)


def test_newer_syntax_is_found_without_the_type_checker_as_well(
    index: Index, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.environment("old", python="3.8")
    file = project.dag("""
        @task.env("old")
        def f(kind: str):
            return kind.removesuffix("x") if (n := 1) else {**{}} | {}

        @task.env("old")
        def g(kind: str):
            match kind:
                case "a":
                    return 1
        """)
    (by_engine,) = project.found("syntax")
    monkeypatch.setattr("podenv.check.engine.find", lambda: None)
    (alone,) = project.found("syntax")
    assert by_engine.line == line("match kind", file)
    assert line("match kind", file) <= alone.line <= line("return 1", file)
    assert alone.remedy == "Write it as Python 3.8 reads it, or raise `python` in envs/old/values.yaml."


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the nested quotes of f-strings need Python 3.12 here")
def test_nested_quotes_in_an_f_string_are_found_for_an_older_environment(index: Index, project: Project) -> None:
    project.environment("old", python="3.11")
    project.dag("""
        @task.env("old")
        def f(row: dict):
            return f"{row["a"]}"
        """)
    assert [one.rule for one in project.found("syntax")] == ["syntax"]


def test_a_name_that_a_module_lacks_is_an_error_unless_the_module_may_make_it(index: Index, project: Project) -> None:
    index.add(
        "alpha",
        "1.0",
        files={
            "alpha/__init__.py": "def read(): ...\n",
            "alpha/dynamic.py": "globals()['made'] = 1\n",
            "alpha/star.py": "from alpha import *\n",
        },
    )
    project.environment("a", "alpha\n")
    file = project.dag("""
        @task.env("a")
        def f():
            import alpha
            from alpha import raed
            from alpha.dynamic import made
            from alpha.star import anything

            alpha.write()
        """)
    first, second = project.found("import-name")
    assert (first.line, first.message) == (line("import raed", file), "`alpha` has no `raed` in 'a' (alpha 1.0).")
    assert first.remedy == "Did you mean 'read'?"
    assert second.line == line("alpha.write", file)


def test_attributes_and_arguments_are_warnings(index: Index, project: Project) -> None:
    index.add("alpha", "1.0", files={"alpha/__init__.py": "class Reader:\n    def __init__(self, path: str): ...\n"})
    project.environment("a", "alpha\n")
    project.dag("""
        @task.env("a")
        def f():
            from alpha import Reader

            Reader(path="x", sep=",")
            Reader("x").close()
        """)
    found = project.found("attribute", "argument")
    assert [(one.rule, one.severity) for one in found] == [("argument", "warning"), ("attribute", "warning")]


def test_comments_for_type_checkers_and_settings_of_the_project_hide_nothing(index: Index, project: Project) -> None:
    index.add("alpha", "1.0", files={"alpha/__init__.py": ""})
    project.environment("a", "alpha\n")
    (project.root / "pyproject.toml").write_text('[tool.ty.rules]\nall = "ignore"\n')
    project.dag("""
        @task.env("a")
        def f():
            from alpha import gone  # type: ignore
        """)
    assert len(project.found("import-name")) == 1


@pytest.mark.parametrize(
    ("name", "body", "remedy"),
    [
        ("LIMITER", "return LIMITER", "It is not defined; import or define it."),
        (
            "task",
            "return task",
            "It is Airflow's: pass what you need of it as an argument, or import it inside the function.",
        ),
        ("f", "yield 1", "It is a generator, which would not run before it is read: return a list."),
    ],
)
def test_what_cannot_travel_is_named_with_what_to_do(
    index: Index, project: Project, name: str, body: str, remedy: str
) -> None:
    project.environment("a")
    project.dag(f"""
        @task.env("a")
        def f():
            {body}
        """)
    (found,) = project.found("not-carried")
    assert (found.message, found.remedy) == (f"`{name}` does not travel to 'a'.", remedy)


def test_a_value_that_is_known_when_the_task_runs_is_no_finding(index: Index, project: Project) -> None:
    project.environment("a")
    project.dag("""
        @dag(schedule=None)
        def etl(size: int = 3):
            for day in ("mon", "tue"):
                @task.env("a")
                def f():
                    return [day, size]

                f()
        """)
    assert project.found("not-carried") == []


def test_a_lambda_has_no_source(index: Index, project: Project) -> None:
    project.environment("a")
    project.dag("""
        @task
        def f():
            return run_in_env("a", lambda: 1)
        """)
    (found,) = project.found("not-carried")
    assert found.message == "A lambda has no source of its own."


GOOD = [
    "1", "None", "'text'", "[1, 2.5, True]", "{'a': [1, (2, 3)], 'b': {4}}", "(1, 'a')", "{'a': None}.get('a')",
    "__import__('datetime').datetime.now()", "__import__('decimal').Decimal(1)", "__import__('uuid').uuid4()",
    "__import__('json').loads('{}')", "__import__('collections').Counter('abc')", "range(3)", "frozenset({1})",
    "[row for row in rows]", "{str(n): n for n in range(3)}", "rows",
]  # fmt: skip
BAD = {
    "{1: 'a'}": "Let its keys be texts: {str(key): value ...}.",
    "(n for n in range(3))": "Return list(value).",
    "{'a': 1}.items()": "Return list(value).",
    "object": "Return a value, not a class.",
    "1j": "Return [value.real, value.imag].",
}


def test_good_values_are_silent_and_bad_ones_have_a_remedy(index: Index, project: Project) -> None:
    project.environment("a")
    functions = [
        f"@task.env('a')\ndef f{number}(rows: list[dict]):\n    return {value}\n\n"
        for number, value in enumerate([*GOOD, *BAD])
    ]
    project.dag("\n".join(functions))
    found = project.found("xcom-value")
    assert [(one.task, one.remedy) for one in found] == [
        (f"f{number}", remedy) for number, remedy in enumerate(BAD.values(), start=len(GOOD))
    ]
    assert {one.severity for one in found} == {"error"}


def test_a_value_that_is_one_of_several_is_a_warning_and_a_typed_dict_is_a_dict(index: Index, project: Project) -> None:
    project.environment("a")
    project.dag("""
        @task.env("a")
        def f(many: bool):
            return 1j if many else "x"

        @task.env("a")
        def g():
            from typing import TypedDict

            class Row(TypedDict):
                a: int

            row: Row = {"a": 1}
            return row

        @task.env("a", do_xcom_push=False)
        def h():
            return b"nobody reads it"
        """)
    (found,) = project.found("xcom-value")
    assert (found.task, found.severity) == ("f", "warning")


def test_what_goes_to_storage_is_a_note(index: Index, project: Project) -> None:
    project.environment("a")
    project.dag("""
        @task.env("a")
        def f():
            return b"x"

        @task.env("a")
        def g():
            from pathlib import Path

            return {"a": [Path("/tmp/x")]}
        """)
    found = project.found("xcom-value")
    assert [(one.task, one.severity) for one in found] == [("f", "note"), ("g", "note")]
    assert {one.remedy for one in found} == {"Set [podenv] exchange for where it runs, so that it goes to storage."}


def test_limits_are_held_against_the_range_the_quota_and_the_declared_node(index: Index, project: Project) -> None:
    values = """
resources: {requests: {cpu: 100m, memory: 128Mi}, limits: {cpu: "1", memory: 256Mi}}
limitRange: {max: {memory: 4Gi}}
resourceQuota: {hard: {limits.memory: 6Gi, requests.cpu: "3"}}
check: {largestNode: {cpu: "8", memory: 32Gi}}
"""
    project.environment("a", values=values)
    project.dag("""
        @task.env("a", memory="5Gi")
        def above_the_range(): ...

        @task.env("a", cpu="4")
        def above_the_quota(): ...

        @task.env("a", container_resources={"requests": {"memory": "64Gi"}, "limits": {"memory": "64Gi"}})
        def above_everything(): ...

        @task.env("a", memory="3Gi", cpu=1)
        def fits(): ...
        """)
    found = project.found("limit")
    limit_range, quota = "limitRange.max in envs/a/values.yaml", "resourceQuota.hard in envs/a/values.yaml"
    assert [one.message for one in found] == [
        f"`above_the_range` may use memory 5Gi, and {limit_range} allows 4Gi.",
        f"`above_the_quota` asks for cpu 4, and {quota} has requests.cpu 3.",
        "`above_everything` asks for memory 64Gi, and check.largestNode in envs/a/values.yaml says 32Gi.",
        f"`above_everything` may use memory 64Gi, and {limit_range} allows 4Gi.",
        f"`above_everything` may use memory 64Gi, and {quota} has limits.memory 6Gi.",
    ]


def test_a_wrong_name_a_missing_lock_and_a_stale_lock_are_errors(index: Index, project: Project) -> None:
    index.add("alpha", "1.0")
    project.environment("unlocked", "alpha\n", locked=False)
    folder = project.environment("stale", "alpha\n")
    (folder / "requirements.in").write_text("alpha>=1\n")
    project.dag("""
        @task.env("stael")
        def f(): ...

        @task.env("unlocked")
        def g(): ...

        @task.env("stale")
        def h(): ...
        """)
    found = project.found("unknown-environment", "lock-missing", "lock-stale")
    assert [(one.rule, one.file) for one in found] == [
        ("unknown-environment", "dags/etl.py"),
        ("lock-stale", "envs/stale/requirements.txt"),
        ("lock-missing", "envs/unlocked/values.yaml"),
    ]
    assert found[0].message == "There is no environment 'stael' in envs."
    assert found[0].remedy.startswith("Did you mean 'stale'?")


def test_environments_and_requirements_that_nobody_uses_are_notes_only_where_everything_is_known(
    index: Index, project: Project
) -> None:
    for name in ("alpha", "beta", "gamma"):
        index.add(name, "1.0", requires=["gamma"] if name == "alpha" else [])
    project.environment("a", "alpha\nbeta  # for nothing\ngamma\n")
    project.environment("idle")
    project.dag("""
        @task.env("a")
        def f():
            import alpha
        """)
    found = project.found("unused-environment", "unused-requirement")
    assert [(one.rule, one.file, one.line) for one in found] == [
        ("unused-requirement", "envs/a/requirements.in", 2),  # alpha can use gamma
        ("unused-environment", "envs/idle/values.yaml", 1),
    ]
    project.dag("x = 1\n", "part/other.py")
    assert project.check([project.root / "dags" / "part"], rules=["unused-environment"]).findings == []
    project.dag("@task.env(str(1))\ndef g(): ...\n", "computed.py")
    assert project.check(rules=["unused-environment", "unused-requirement"]).findings == []


def test_a_package_that_an_annotation_names_is_used(index: Index, project: Project) -> None:
    for name in ("alpha", "beta", "gamma"):
        index.add(name, "1.0")
    project.environment("a", "alpha\nbeta\ngamma\n")
    project.dag("""
        @task.env("a")
        def f(rows: "alpha.DataFrame", *, more: list[beta.Table] | None = None, gamma: int = 1): ...
        """)
    (found,) = project.found("unused-requirement")
    assert found.message == "No task of 'a' imports `gamma`."


def test_an_annotation_names_a_library_by_its_usual_alias_too(index: Index, project: Project) -> None:
    index.add("polars", "1.0")
    project.environment("a", "polars\n")
    project.dag("""
        @task.env("a")
        def f(rows: "pl.DataFrame"): ...
        """)
    assert project.found("unused-requirement") == []


def test_a_package_that_only_another_one_asks_for_is_a_note(index: Index, project: Project) -> None:
    index.add("alpha", "1.0", requires=["beta"])
    index.add("beta", "1.0")
    project.environment("a", "alpha\n")
    project.dag("""
        @task.env("a")
        def f():
            import alpha
            import beta
        """)
    (found,) = project.found("transitive-import")
    assert (found.severity, found.message) == ("note", "`beta` is in 'a' only through alpha.")


def test_memory_that_is_auto_without_a_cap_is_an_error_in_the_words_of_airflow(project: Project) -> None:
    project.environment("a")
    project.environment("b", values="resources: {maxMemory: 2Gi}\nlimitRange: {max: {memory: 1Gi}}\n")
    project.dag("""
        @task.env("a", memory="auto")
        def without(): ...

        @task.env("a", memory="auto", max_memory="64Gi")
        def of_its_own(): ...

        @task.env("b", memory="auto")
        def of_the_environment(): ...
    """)
    (found,) = project.found("limit")
    assert (found.task, found.severity, found.message) == ("without", "error", f"`without`: {NEEDS_CAP}")


def test_a_task_that_needs_nothing_is_a_note_but_for_limits_faults_and_other_pythons(
    index: Index, project: Project
) -> None:
    index.add("alpha", "1.0")
    project.environment("a", "alpha\n", python=standard.HERE)
    project.environment("b", "alpha\n", python="3.8")
    project.dag("""
        @task.env("a")
        def idle():
            import json

            return json.dumps(1)

        @task.env("a", memory="300Mi")
        def limited(): ...

        @task.env("b")
        def elsewhere(): ...

        @task.env("a")
        def faulty():
            import nowhere

        @task.env("a")
        def busy():
            import alpha
        """)
    report = project.check()
    assert [one.task for one in report.findings if one.rule == "no-environment-needed"] == ["idle"]


def test_commands_that_are_not_there_are_warnings(index: Index, project: Project) -> None:
    scripts = {"alpha-1.0.dist-info/entry_points.txt": "[console_scripts]\nalpha = alpha:main\n"}
    index.add("alpha", "1.0", files={"alpha/__init__.py": "def main(): ...\n", **scripts})
    project.environment("a", "alpha\n")
    project.environment("b", "alpha\n", values="systemPackages: [graphviz]\n")
    project.dag("""
        EnvPodOperator(task_id="own", env="a", cmds=["alpha"])
        EnvPodOperator(task_id="shell", env="a", cmds=["bash", "-c", "x"])
        EnvPodOperator(task_id="by_path", env="a", cmds=["/opt/x"])
        EnvPodOperator(task_id="of_debian", env="b", cmds=["dot"])
        EnvPodOperator(task_id="absent", env="a", cmds=["dot"])
        EnvPodOperator(task_id="no_main", env="a", cmds=["python", "-m", "alpha"])
        EnvPodOperator(task_id="of_python", env="a", cmds=["python", "-m", "json.tool"])
        """)
    found = project.found("command")
    assert [(one.task, one.message) for one in found] == [
        ("absent", "'a' has no program `dot`."),
        ("no_main", "`python -m alpha` cannot run: the package has no `__main__`."),
    ]


def test_ignores_hide_their_rule_on_the_line_the_task_or_the_environment_and_useless_ones_are_told(
    index: Index, project: Project
) -> None:
    index.add("alpha", "1.0")
    project.environment("a", "alpha\n")
    project.environment("b", "alpha\n", values="check: {ignore: [import, stdlib]}\n")
    file = project.dag("""
        @task.env("a")
        def f():
            import one  # podenv: ignore[import]
            import two  # podenv: ignore[stdlib]

        @task.env("a")  # podenv: ignore
        def g():
            import three

        @task.env("b")
        def h():
            import four  # podenv: ignore[imprt]
        """)
    report = project.check(rules=["import", "stdlib", "unused-ignore"])
    assert [(one.rule, one.file, one.line, one.message) for one in report.findings] == [
        ("import", "dags/etl.py", line("import two", file), "`two` is not in 'a' (Python 3.11)."),
        ("unused-ignore", "dags/etl.py", line("import two", file), "This comment hides nothing of `stdlib`."),
        ("unused-ignore", "dags/etl.py", line("import four", file), "There is no rule `imprt`."),
        ("unused-ignore", "envs/b/values.yaml", 2, "`check.ignore` of 'b' names `stdlib`, and hides nothing by it."),
    ]


def test_the_same_check_again_asks_the_type_checker_nothing(
    index: Index, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.add("alpha", "1.0", files={"alpha/__init__.py": ""})
    project.environment("a", "alpha\n")
    project.dag("""
        @task.env("a")
        def f():
            from alpha import gone
        """)
    first = project.found("import-name")
    monkeypatch.setattr("podenv.check.engine.run", lambda *_: pytest.fail("it was asked again"))
    assert project.found("import-name") == first
    assert len(first) == 1


# What bad input gets


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_checked(index: Index, project: Project) -> None:
    index.add("alpha", "1.0")
    project.environment("a", "alpha\n")
    project.dag("def broken(:\n", "broken.py")
    (project.root / "dags" / "latin.py").write_bytes(b"x = '\xff'\n")
    (project.root / "dags" / "null.py").write_bytes(b"x = 1\0\n")
    (project.root / "dags" / "deep.py").write_text(f"x = {'-' * 200_000}1\n")
    project.dag("@task.env('a')\ndef f():\n    import nowhere\n")
    report = project.check(rules=["dag-syntax", "import"])
    assert [(one.rule, one.file) for one in report.findings] == [
        ("dag-syntax", "dags/broken.py"),
        ("dag-syntax", "dags/deep.py"),
        ("import", "dags/etl.py"),
        ("dag-syntax", "dags/latin.py"),
        ("dag-syntax", "dags/null.py"),
    ]


def test_computed_names_notebooks_and_functions_from_elsewhere_are_named(index: Index, project: Project) -> None:
    project.environment("a")
    (project.root / "dags" / "explore.ipynb").write_text("{}")
    project.dag("""
        import os

        @task.env(os.environ["WHICH"])
        def f(): ...

        @task
        def g():
            return run_in_env("a", os.getcwd)
        """)
    report = project.check(rules=["import"])
    assert [one.why for one in report.skipped] == [
        "dags/explore.ipynb is a notebook; only .py files are read.",
        "dags/etl.py:9: the environment of `f` is computed.",
        "dags/etl.py:14: the function of `g` is not in a file here.",
    ]


def test_a_very_long_file_is_checked_like_any_other(index: Index, project: Project) -> None:
    project.environment("a")
    filler = "".join(f"VALUE_{number} = {number}\n" for number in range(20_000))
    project.dag(filler + "\n\n@task.env('a')\ndef f():\n    import nowhere\n")
    (found,) = project.found("import")
    assert found.line > 20_000


def test_a_lock_that_cannot_be_unpacked_is_a_failure_that_names_the_package(index: Index, project: Project) -> None:
    index.add("alpha", "1.0", tag="cp311-cp311-macosx_11_0_arm64", files={"alpha/__init__.py": ""})
    folder = project.environment(
        "a", "alpha\n", values="image: {platform: linux/arm64}\nplatforms: [linux/arm64]\n", locked=False
    )
    wheel = next((project.root.parent / "index" / "alpha").glob("*.whl"))
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (folder / "requirements.txt").write_text(f"alpha==1.0 --hash=sha256:{digest}\n")
    project.dag("@task.env('a')\ndef f():\n    import alpha\n")
    report = project.check(rules=["import"])
    assert report.findings == []
    (skipped,) = report.skipped
    assert skipped.failed
    assert skipped.why.startswith("The lock of 'a' cannot be unpacked for linux/arm64: alpha")


def test_without_network_and_cache_it_is_said_what_could_not_be_judged(
    index: Index, project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    index.add("alpha", "1.0")
    project.environment("a", "alpha\n")
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
    project.dag("@task.env('a')\ndef f():\n    import alpha\n")
    (skipped,) = project.check(rules=["import"]).skipped
    assert (skipped.rule, skipped.failed) == ("import", True)
    assert "cannot be reached; connect, and run it again" in skipped.why


def test_without_the_type_checker_the_other_rules_run_and_it_is_said(
    index: Index, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.environment("a")
    project.dag("@task.env('a')\ndef f():\n    import nowhere\n")
    monkeypatch.setattr("podenv.check.engine.find", lambda: None)
    report = project.check(rules=["import", "import-name"])
    assert [one.rule for one in report.findings] == ["import"]
    assert report.skipped == [Skipped("import-name", "ty is not installed: `pip install 'podenv[check]'`.")]


def test_no_sync_unpacks_nothing_and_says_so(index: Index, project: Project, tmp_path: Path) -> None:
    project.environment("a")
    project.dag("@task.env('a')\ndef f():\n    import nowhere\n")
    report = project.check(rules=["import"], sync=False)
    assert report.findings == []
    assert [one.failed for one in report.skipped] == [False]
    assert not (tmp_path / "cache" / "shelves").exists()


def test_a_package_that_has_to_be_built_leaves_open_what_is_missing(index: Index, project: Project) -> None:
    index.add_source("alpha", "1.0")
    index.add("beta", "1.0")
    folder = project.environment("a", "beta\n")
    text = (folder / "requirements.txt").read_text()
    (folder / "requirements.txt").write_text(f"{text}--no-binary alpha\nalpha==1.0 --hash=sha256:{'0' * 64}\n")
    project.dag("@task.env('a')\ndef f():\n    import alpha\n    import beta\n")
    assert project.found("import") == []


def test_only_one_environment_can_be_asked_about(index: Index, project: Project) -> None:
    project.environment("a")
    project.environment("b")
    project.dag("@task.env('a')\ndef f():\n    import x1\n\n\n@task.env('b')\ndef g():\n    import x2\n")
    report = project.check(rules=["import"], environments=["b"])
    assert [one.environment for one in report.findings] == ["b"]


def test_another_type_checker_than_podenv_knows_is_a_failure_that_says_so(
    index: Index, project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    project.environment("a")
    project.dag("@task.env('a')\ndef f():\n    return 1\n")
    place = '{"path": "ty.toml", "positions": {"begin": {"line": 1, "column": 1}}}'
    said = f'[{{"check_name": "renamed-rule", "description": "`x` has been renamed to `y`", "location": {place}}}]'
    program = tmp_path / "ty"
    program.write_text(f"#!/bin/sh\nif [ $1 = version ]; then echo ty 9.9; else echo '{said}'; fi\n")
    program.chmod(0o755)
    monkeypatch.setattr("podenv.check.engine.find", lambda: program)
    (skipped,) = project.check(rules=["import-name"]).skipped
    assert skipped.failed
    assert skipped.why == "ty 9.9 is not the one that podenv knows: `x` has been renamed to `y`."
