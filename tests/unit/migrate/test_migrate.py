"""`podenv migrate` on DAG files of every form; nothing is executed, no program is started."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from podenv import image
from podenv.catalogue.environment import Catalogue
from podenv.migrate import changes
from podenv.migrate import plan as planning
from podenv.migrate.findings import Content, Migration

HEAD = "from airflow.sdk import task\n"
OPERATORS = "from airflow.providers.standard.operators.python import {}\n"


def plan(tmp_path: Path, text: str | bytes, *, name: str = "dag.py") -> Migration:
    file = tmp_path / "dags" / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else dedent(text).encode())
    return planning.plan([file], tmp_path / "envs", python="3.11")


def edited(migration: Migration) -> str:
    (change,) = migration.files
    assert change.error is None
    return change.after.decode()


def left(migration: Migration) -> list[tuple[int, str]]:
    assert not migration.proposals
    assert edited(migration) == migration.files[0].before.decode()
    return [(one.line, one.why) for one in migration.left]


def remarks(migration: Migration) -> list[tuple[int, str]]:
    return [(one.line, one.text) for one in migration.remarks]


def contents(migration: Migration) -> dict[str, tuple[str, tuple[str, ...]]]:
    return {one.name: (one.content.python, one.content.requirements) for one in migration.proposals}


# The edit


def test_a_decorator_names_the_environment_and_loses_what_moved_there(tmp_path: Path) -> None:
    migration = plan(
        tmp_path,
        """\
        from airflow.sdk import task as t

        # before
        @t.virtualenv(
            serializer="dill",  # Use `dill`.
            system_site_packages=False,
            requirements=["funcsigs"],
        )
        def extract():
            return   1  # as it was
        """,
    )
    assert edited(migration) == dedent(
        """\
        from airflow.sdk import task as t

        # before
        @t.env("funcsigs")
        def extract():
            return   1  # as it was
        """
    )
    assert contents(migration) == {"funcsigs": ("3.11", ("funcsigs",))}
    assert remarks(migration) == [
        (4, "arguments and values travel as JSON (with dates, Decimal, tuples and sets), never by pickle")
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("@task.virtualenv\n", '@task.env("python-3-11")\n'),
        ("@task.virtualenv()\n", '@task.env("python-3-11")\n'),
        ("@task.branch_virtualenv\n", '@task.env_branch("python-3-11")\n'),
        ("@task.branch_external_python(python=sys.executable)\n", '@task.env_branch("python-3-11")\n'),
        (
            '@task.virtualenv(task_id="x", requirements=["a"], retries=2)\n',
            '@task.env("a", task_id="x", retries=2)\n',
        ),
        (
            '@task.virtualenv(\n    task_id="x", requirements=["a"], system_site_packages=False\n)\n',
            '@task.env("a", task_id="x")\n',
        ),
        (
            '@task.virtualenv(\n    requirements=["a"],\n    retries=2,  # twice\n    task_id="x",\n)\n',
            '@task.env(\n    "a",\n    retries=2,  # twice\n    task_id="x",\n)\n',
        ),
        (
            '@task.virtualenv(\n    task_id="x",\n    # why two\n    retries=2,\n    requirements=["a"],\n)\n',
            '@task.env(\n    "a",\n    task_id="x",\n    # why two\n    retries=2,\n)\n',
        ),
        (
            '@task.virtualenv(\n    # a name\n    task_id="x",  # x\n    # why a\n    requirements=["a"],  # a\n'
            "    # at most\n    retries=2  # two\n)\n",
            '@task.env(\n    "a",\n    # a name\n    task_id="x",  # x\n    # at most\n    retries=2  # two\n)\n',
        ),
        (
            '@task.virtualenv(\n    requirements=["a"],  # a\n    # two\n    retries=2,  # twice\n'
            '    python_version="3.11",\n)\n',
            '@task.env(\n    "a",\n    # two\n    retries=2,  # twice\n)\n',
        ),
        (
            '@task.virtualenv(\n    retries=2,\n    requirements=["a"],\n    # a name\n    task_id="x"\n)\n',
            '@task.env(\n    "a",\n    retries=2,\n    # a name\n    task_id="x"\n)\n',
        ),
    ],
)
def test_what_stays_in_the_call_keeps_its_form(tmp_path: Path, before: str, after: str) -> None:
    body = "def f():\n    pass\n"
    assert edited(plan(tmp_path, HEAD + before + body)) == HEAD + after + body


def test_an_operator_becomes_podenvs_with_its_import(tmp_path: Path) -> None:
    migration = plan(
        tmp_path,
        """\
        from airflow.providers.standard.operators.python import (
            PythonOperator,
            PythonVirtualenvOperator,
        )
        from airflow.sdk import DAG

        def work(a, b):
            import numpy

        with DAG("x"):
            first = PythonVirtualenvOperator(
                task_id="first",
                python_callable=work,
                op_args=[1],
                op_kwargs={"b": "{{ ds }}"},
                requirements=["numpy"],
                system_site_packages=False,
            )
            PythonOperator(task_id="plain", python_callable=work)
            PythonVirtualenvOperator.partial(task_id="many", python_callable=work, requirements=["numpy"]).expand(
                op_args=[[1, 2], [3, 4]]
            )
        """,
    )
    assert edited(migration) == dedent(
        """\
        from airflow.providers.standard.operators.python import (
            PythonOperator,
        )
        from airflow.sdk import DAG
        from podenv import EnvPodOperator

        def work(a, b):
            import numpy

        with DAG("x"):
            first = EnvPodOperator(
                task_id="first",
                env="numpy",
                python_callable=work,
                op_args=[1],
                op_kwargs={"b": "{{ ds }}"},
            )
            PythonOperator(task_id="plain", python_callable=work)
            EnvPodOperator.partial(task_id="many", env="numpy", python_callable=work).expand(
                op_args=[[1, 2], [3, 4]]
            )
        """
    )


@pytest.mark.parametrize(
    ("imports", "operator", "after"),
    [
        (
            "import airflow.operators.python as ops\n",
            "ops.PythonVirtualenvOperator",
            "import airflow.operators.python as ops\nfrom podenv import EnvPodOperator\n",
        ),
        (
            "from airflow.operators.python_operator import PythonVirtualenvOperator as Venv\nimport os\n\nX = 1\n",
            "Venv",
            "import os\nfrom podenv import EnvPodOperator\n\nX = 1\n",
        ),
        (
            "try:\n    from airflow.operators.python import PythonVirtualenvOperator\n"
            "except ImportError:\n    PythonVirtualenvOperator = None\n",
            "PythonVirtualenvOperator",
            "try:\n    from airflow.operators.python import PythonVirtualenvOperator\n"
            "except ImportError:\n    PythonVirtualenvOperator = None\nfrom podenv import EnvPodOperator\n",
        ),
        (
            "from podenv import EnvPodOperator\nfrom airflow.operators.python import PythonVirtualenvOperator\n",
            "PythonVirtualenvOperator",
            "from podenv import EnvPodOperator\n",
        ),
        (
            "# about\nfrom airflow.operators.python import PythonVirtualenvOperator  # noqa\n",
            "PythonVirtualenvOperator",
            "# about\nfrom podenv import EnvPodOperator  # noqa\n",
        ),
        (
            "import os; from airflow.operators.python import PythonVirtualenvOperator\n",
            "PythonVirtualenvOperator",
            "import os\nfrom podenv import EnvPodOperator\n",
        ),
        (
            "from airflow.operators.python import PythonVirtualenvOperator\n__all__ = ['PythonVirtualenvOperator']\n",
            "PythonVirtualenvOperator",
            "from airflow.operators.python import PythonVirtualenvOperator\nfrom podenv import EnvPodOperator\n"
            "__all__ = ['PythonVirtualenvOperator']\n",
        ),
    ],
)
def test_imports_of_every_form_are_followed(tmp_path: Path, imports: str, operator: str, after: str) -> None:
    body = "def work(): pass\nt = {}(task_id='t', {}python_callable=work)\n"
    migration = plan(tmp_path, imports + body.format(operator, "requirements='a', "))
    assert edited(migration) == after + body.format("EnvPodOperator", 'env="a", ')


def test_an_import_inside_a_function_is_replaced_there(tmp_path: Path) -> None:
    migration = plan(
        tmp_path,
        """\
        def make():
            from airflow.operators.python import ExternalPythonOperator

            def work():
                import json
            return ExternalPythonOperator(task_id="t", python="/opt/python3.9/bin/python3.9", python_callable=work)
        """,
    )
    assert edited(migration) == dedent(
        """\
        def make():
            from podenv import EnvPodOperator

            def work():
                import json
            return EnvPodOperator(task_id="t", env="python-3-9", python_callable=work)
        """
    )


def test_bytes_outside_of_the_edit_stay_as_they_are(tmp_path: Path) -> None:
    before = (
        b"\xef\xbb\xbf# \xc3\xa4\r\nfrom airflow.sdk import task\r\n@task.virtualenv(requirements=['a'])\r\n"
        b"def f():\r\n\tx = 'tab'  \r\n\treturn x"
    )
    (change,) = plan(tmp_path, before).files
    assert change.after == before.replace(b"@task.virtualenv(requirements=['a'])", b'@task.env("a")')


# What is read


@pytest.mark.parametrize(
    ("given", "lines"),
    [
        ('["b==1", "a>=2,<3"]', ("a>=2,<3", "b==1")),
        ('("a",)', ("a",)),
        ('{"a"}', ("a",)),
        ('"a==1"', ("a==1",)),
        ('"a==1\\nb  # why\\n\\n# alone\\n"', ("a==1", "b")),
        ('"a b".split()', ("a", "b")),
        ("MORE", ("a", "b")),
        ('["c", *MORE]', ("a", "b", "c")),
        ('["c"] + MORE', ("a", "b", "c")),
        ('["a" "==1"]', ("a==1",)),
        ('[f"a=={VERSION}"]', ("a==2.1",)),
        ("None", ()),
        ("[]", ()),
        ('["a", "a"]', ("a",)),
        ("[\"a ; python_version < '3.12'\"]", ("a ; python_version < '3.12'",)),
        ('["a @ https://example.com/a-1-py3-none-any.whl"]', ("a @ https://example.com/a-1-py3-none-any.whl",)),
        ('["--no-binary a", "a"]', ("--no-binary a", "a")),
        ('"pip/requirements.txt"', ("a==1", "b")),
    ],
)
def test_requirements_may_be_written_in_every_way_that_the_file_alone_explains(
    tmp_path: Path, given: str, lines: tuple[str, ...]
) -> None:
    (tmp_path / "dags" / "pip").mkdir(parents=True)
    (tmp_path / "dags" / "pip" / "requirements.txt").write_text("# all\n-r more.in\nb\n")
    (tmp_path / "dags" / "pip" / "more.in").write_text("a==1 --hash=sha256:0123\n")
    migration = plan(
        tmp_path,
        f'{HEAD}VERSION = "2.1"\nMORE = ["a", "b"]\n@task.virtualenv(requirements={given})\ndef f(): pass\n',
    )
    assert migration.left == []
    assert [one.content.requirements for one in migration.proposals] == [lines]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("make()", "its requirements is computed (make()); write the value itself, then migrate again"),
        (
            "CHANGED",
            "its requirements is computed (CHANGED); write the value itself, then migrate again",
        ),
        ("GROWN", "its requirements is computed (GROWN); write the value itself, then migrate again"),
        ("ITSELF", "its requirements is computed (ITSELF); write the value itself, then migrate again"),
        ('["{{ params.version }}"]', "'{{ params.version }}' is a template, known only when the task runs"),
        ('"{{ var.value.reqs }}.txt"', "'{{ var.value.reqs }}.txt' is a template, known only when the task runs"),
        ("[1]", "its requirements is neither a text nor a list of texts"),
        (
            '["git+https://example.com/a.git"]',
            "'git+https://example.com/a.git' is not a requirement with a name; write it as `NAME @ ADDRESS`",
        ),
        ('["./wheels/a.whl"]', "'./wheels/a.whl' is not a requirement with a name; write it like `pandas>=2.1,<3`"),
        ('["-e ."]', "pip's option -e has no counterpart in requirements.in"),
        (
            '["a @ https://me:secret@example.com/a.whl"]',
            "the address of a holds credentials; move them to the netrc file",
        ),
    ],
)
def test_requirements_that_only_a_run_knows_leave_the_task_as_it_is(tmp_path: Path, given: str, why: str) -> None:
    text = (
        f"{HEAD}CHANGED = ['a']\nCHANGED.append('b')\nGROWN = ['a']\nGROWN += ['b']\nITSELF = [*ITSELF]\n"
        f"@task.virtualenv(requirements={given})\ndef f(): pass\n"
    )
    assert left(plan(tmp_path, text)) == [(7, why)]


def test_a_requirements_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    migration = plan(tmp_path, f"{HEAD}@task.virtualenv(requirements='gone.txt')\ndef f(): pass\n")
    assert left(migration) == [(2, f"{tmp_path / 'dags' / 'gone.txt'} cannot be read (No such file or directory)")]


def test_comments_of_requirements_come_along(tmp_path: Path) -> None:
    migration = plan(
        tmp_path,
        """\
        from airflow.sdk import task
        @task.virtualenv(
            # As the report of 2023 had them.
            requirements=[
                # not the newest
                "pandas==2.1.*",  # 2.2 breaks the report
                "numpy",  # for pandas
            ],
        )
        def f(): pass
        """,
    )
    planning.write(migration)
    lines = (tmp_path / "envs" / "numpy-pandas" / "requirements.in").read_text().splitlines()
    assert lines[3:] == [
        "# As the report of 2023 had them.",
        "numpy  # for pandas",
        "pandas==2.1.*  # not the newest; 2.2 breaks the report",
    ]


def test_options_of_pip_become_lines_or_are_named(tmp_path: Path) -> None:
    migration = plan(
        tmp_path,
        """\
        from airflow.sdk import task
        @task.virtualenv(
            requirements=["a"],
            pip_install_options=["--no-cache-dir", "--no-binary=a", "--pre", "--index-url", "https://pypi.acme.io/simple"],
            index_urls=["https://me:secret@pypi.b.io"],
        )
        def f(): pass
        """,
    )
    (proposal,) = migration.proposals
    assert proposal.content.requirements == ("--no-binary a", "a")
    assert proposal.content.index == "https://pypi.acme.io/simple"
    assert remarks(migration) == [
        (2, "--pre has no counterpart: name the pre-release itself, like `pandas>=3.0rc1`"),
        (
            2,
            "its index has credentials in the address, which have no place in a values file: "
            "set UV_DEFAULT_INDEX, or put them into the netrc file",
        ),
    ]


def test_indexes_go_into_the_values(tmp_path: Path) -> None:
    migration = plan(
        tmp_path,
        """\
        from airflow.sdk import task
        @task.virtualenv(requirements="a", index_urls=["https://a.io/simple", "https://b.io/x", "https://pypi.org/simple"])
        def f(): pass
        @task.virtualenv(requirements="a", index_urls="https://pypi.org/simple/")
        def g(): pass
        """,
    )
    planning.write(migration)
    first, second = (Catalogue(tmp_path / "envs")[one.name].spec for one in migration.proposals)
    assert first.image.index == "https://a.io/simple"
    assert [(one.name, one.url) for one in first.indexes] == [
        ("b-io-x", "https://b.io/x"),
        ("pypi-org-simple", "https://pypi.org/simple"),
    ]
    assert (second.image.index, second.indexes) == ("", [])
    again = plan(
        tmp_path, f"{HEAD}@task.virtualenv(requirements='a', index_urls='https://pypi.org/simple')\ndef h(): 0\n"
    )
    assert [(one.name, one.new) for one in again.proposals] == [(migration.proposals[1].name, None)]


@pytest.mark.parametrize(
    ("given", "python"), [('"3.12"', "3.12"), ('"3"', "3.11"), ("None", "3.11"), ('"3.12.4"', "3.12")]
)
def test_the_python_is_the_one_that_the_task_names(tmp_path: Path, given: str, python: str) -> None:
    migration = plan(tmp_path, f"{HEAD}@task.virtualenv(requirements='a', python_version={given})\ndef f(): pass\n")
    assert contents(migration) == {"a": (python, ("a",))}
    assert bool(migration.remarks) == (given == '"3.12.4"')


@pytest.mark.parametrize("given", ['"2.7"', '"3.7"', "3.12", '"pypy3"'])
def test_a_python_that_podenv_has_not_leaves_the_task_as_it_is(tmp_path: Path, given: str) -> None:
    migration = plan(tmp_path, f"{HEAD}@task.virtualenv(python_version={given})\ndef f(): pass\n")
    shown = given.replace('"', "'")
    assert left(migration) == [
        (2, f"its python_version is {shown}; podenv runs Python 3.8 and newer, written like 3.12")
    ]


def test_equal_requirements_share_an_environment_and_others_get_names_of_their_own(tmp_path: Path) -> None:
    decorator = "@task.virtualenv(requirements={}, python_version={!r})\ndef {}(): pass\n"
    text = HEAD + "".join(
        decorator.format(*one)
        for one in [
            ('["pandas", "numpy"]', "3.11", "a"),
            ('["numpy", "pandas"]', "3.11", "b"),
            ('["numpy", "pandas"]', "3.12", "c"),
            ('["numpy==1.26", "pandas"]', "3.12", "d"),
            ('["w", "x", "y", "z"]', "3.12", "many_things"),
            ("[]", "3.12", "e"),
        ]
    )
    migration = plan(tmp_path, text)
    assert [(one.name, [task.name for task in one.tasks]) for one in migration.proposals] == [
        ("numpy-pandas", ["a", "b"]),
        ("numpy-pandas-py312", ["c"]),
        ("numpy-pandas-2", ["d"]),
        ("many-things", ["many_things"]),
        ("python-3-12", ["e"]),
    ]


def test_the_same_content_may_be_written_in_other_ways(tmp_path: Path) -> None:
    text = "@task.virtualenv(requirements={})\ndef {}(): pass\n"
    images = "@task.kubernetes(image={!r})\ndef {}(): pass\n"
    whole = HEAD + text.format(["Foo_Bar>=1,<2", "b"], "f") + text.format(["b", "foo-bar <2, >=1"], "g")
    whole += images.format("python:3.11", "h") + images.format("docker.io/library/python:3.11", "i")
    migration = plan(tmp_path, whole)
    assert [[task.name for task in one.tasks] for one in migration.proposals] == [["f", "g"], ["h", "i"]]
    planning.write(migration)
    again = plan(tmp_path, whole)
    assert [(one.name, one.new) for one in again.proposals] == [(one.name, None) for one in migration.proposals]


def test_an_environment_that_exists_and_holds_the_same_is_used(tmp_path: Path) -> None:
    folder = tmp_path / "envs" / "tables"
    folder.mkdir(parents=True)
    (folder / "values.yaml").write_text('python: "3.11"\n')
    (folder / "requirements.in").write_text("# what it needs\npandas\nnumpy\n")
    (tmp_path / "envs" / "numpy").mkdir()
    (tmp_path / "envs" / "project").mkdir()
    (tmp_path / "envs" / "project" / "values.yaml").write_text('python: "3.11"\nsource: ../../pyproject.toml\n')
    (tmp_path / "envs" / "project" / "requirements.in").write_text("numpy\n")
    migration = plan(
        tmp_path,
        f"{HEAD}@task.virtualenv(requirements=['numpy', 'pandas'])\ndef f(): pass\n"
        "@task.virtualenv(requirements=['numpy'])\ndef g(): pass\n",
    )
    assert [(one.name, one.new is None) for one in migration.proposals] == [("tables", True), ("numpy-py311", False)]


# What cannot be carried over


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "@task.virtualenv(requirements='a', pool_slot=2)\ndef f(): pass\n",
            "podenv does not know its argument pool_slot; Did you mean 'pool_slots'? remove it, then migrate again",
        ),
        (
            "@task.virtualenv(requirements='a', string_args=['x'])\ndef f(): pass\n",
            "string_args has no counterpart: the function reads virtualenv_string_args; pass the texts by op_args, as "
            "arguments of the function",
        ),
        (
            "@task.virtualenv(requirements='a', templates_dict={})\ndef f(): pass\n",
            "templates_dict has no counterpart: pass the templates by op_kwargs, which Airflow renders too",
        ),
        (
            "@task.virtualenv(**COMMON)\ndef f(): pass\n",
            "it takes COMMON by **; write its arguments out in the call",
        ),
        (
            "@task.virtualenv(f)\ndef f(): pass\n",
            "it has an argument without a name; write `name=value`",
        ),
        (
            "@task.virtualenv(requirements='a')\ndef f(): print(virtualenv_string_args)\n",
            "line 3: the function reads virtualenv_string_args; pass the texts by op_args, as arguments of the "
            "function",
        ),
        (
            "@task.virtualenv(requirements='a')\ndef f(): pass\nf.override(requirements='b')()\n",
            "`f.override(requirements=...)` gives it another environment; write a second function for that",
        ),
        (
            "@task.virtualenv()\ndef f(): pass\ndag(default_args={'requirements': ['a']})\n",
            "default_args of this file hold requirements; write it into the calls, then migrate again",
        ),
        (
            "@task.virtualenv(requirements='a')\ndef f(): pass\nD = {'namespace': 'x'}\ndag(default_args=D)\n",
            "default_args of this file hold namespace; write it into the calls, then migrate again",
        ),
        (
            "@task.kubernetes_cmd(image='a')\ndef f(): pass\n",
            'its function makes the command when the task runs; use EnvPodOperator(env="...", cmds=[...])',
        ),
        (
            "venv = task.virtualenv\n",
            "it is not called here, so its arguments are elsewhere; edit it by hand",
        ),
        (
            "@task.bash\ndef f():\n    return '/opt/venvs/etl/bin/python etl.py'\n",
            "its command starts a Python of its own: make an environment with what that one holds, and write "
            'EnvPodOperator(env="...", cmds=[...])',
        ),
        (
            "from airflow.operators.python import *\n",
            "what it brings cannot be told; import the names themselves",
        ),
    ],
)
def test_what_cannot_be_carried_over_stays_and_is_named(tmp_path: Path, text: str, why: str) -> None:
    assert left(plan(tmp_path, HEAD + text)) == [(2, why)]


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        (
            "PythonVirtualenvOperator.partial(task_id='t', python_callable=f).expand(requirements=['a', 'b'])\n",
            2,
            "it is mapped over requirements, and each environment needs a task of its own",
        ),
        (
            "class Own(PythonVirtualenvOperator): pass\n",
            2,
            "it is not called here, so its arguments are elsewhere; edit it by hand",
        ),
        (
            "x: PythonVirtualenvOperator\nmake(PythonVirtualenvOperator, requirements='a')\n",
            3,
            "it is not called here, so its arguments are elsewhere; edit it by hand",
        ),
    ],
)
def test_operators_that_cannot_be_carried_over_stay_and_are_named(
    tmp_path: Path, text: str, line: int, why: str
) -> None:
    migration = plan(tmp_path, OPERATORS.format("PythonVirtualenvOperator") + text)
    assert left(migration) == [(line, why)]


def test_a_plain_bash_command_and_names_of_others_are_not_mentioned(tmp_path: Path) -> None:
    migration = plan(
        tmp_path,
        """\
        from airflow.operators.bash import BashOperator
        from acme.operators import PythonVirtualenvOperator
        BashOperator(task_id="a", bash_command="dbt run")
        PythonVirtualenvOperator(requirements="a")
        @task.virtualenv(requirements="a")
        def f(): pass
        """,
    )
    assert left(migration) == []


# External interpreters


def make_venv(root: Path, *, requested: bool = True) -> Path:
    site = root / "lib" / "python3.12" / "site-packages"
    for name, version in [("Pandas", "2.1.4"), ("numpy", "1.26.4"), ("pip", "24")]:
        folder = site / f"{name}-{version}.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        if requested and name == "Pandas":
            (folder / "REQUESTED").touch()
    (root / "pyvenv.cfg").write_text("version = 3.12.1\n")
    return root / "bin" / "python"


@pytest.mark.parametrize(
    ("requested", "lines"), [(True, ("pandas==2.1.4",)), (False, ("numpy==1.26.4", "pandas==2.1.4"))]
)
def test_a_virtual_environment_that_is_here_is_read_and_not_started(
    tmp_path: Path, requested: bool, lines: tuple[str, ...]
) -> None:
    python = make_venv(tmp_path / "report", requested=requested)
    migration = plan(tmp_path, f"{HEAD}@task.external_python(python='{python}')\ndef f():\n    import pandas\n")
    assert [one.content for one in migration.proposals] == [Content("3.12", lines)]


def test_an_interpreter_that_is_not_here_is_replaced_only_where_no_package_is_needed(tmp_path: Path) -> None:
    decorator = "@task.external_python(python=PYTHON)\n"
    migration = plan(
        tmp_path,
        f"import sys\n{HEAD}PYTHON = sys.executable\n{decorator}def f():\n    import json\n"
        f"{decorator}def g():\n    import pandas\n",
    )
    assert contents(migration) == {"python-3-11": ("3.11", ())}
    assert [(one.line, one.why) for one in migration.left] == [
        (
            7,
            "what PYTHON holds cannot be read here, and the function imports pandas; "
            "run podenv where that virtual environment is, or make an environment by hand",
        )
    ]


# Pods


def test_an_image_becomes_an_external_one_with_its_namespace(tmp_path: Path) -> None:
    migration = plan(
        tmp_path,
        """\
        from airflow.sdk import task
        from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
        IMAGE = "registry.acme.io:5000/ml/train-py3.12:4"

        @task.kubernetes(image=IMAGE, namespace="ml", in_cluster=True, use_dill=True)
        def train(rows):
            import sklearn
            return len(rows)

        KubernetesPodOperator(
            task_id="report",
            name="report",
            namespace="ml",
            image=IMAGE,
            cmds=["report"],
            arguments=["--day", "{{ ds }}"],
            do_xcom_push=True,
        )
        """,
    )
    assert edited(migration) == dedent(
        """\
        from airflow.sdk import task
        from podenv import EnvPodOperator
        IMAGE = "registry.acme.io:5000/ml/train-py3.12:4"

        @task.env("train-py3-12", in_cluster=True, do_xcom_push=False)
        def train(rows):
            import sklearn
            return len(rows)

        EnvPodOperator(
            task_id="report",
            env="train-py3-12",
            name="report",
            cmds=["report"],
            arguments=["--day", "{{ ds }}"],
            do_xcom_push=True,
        )
        """
    )
    planning.write(migration)
    environment = Catalogue(tmp_path / "envs")["train-py3-12"]
    assert str(image.external(environment)) == "registry.acme.io:5000/ml/train-py3.12:4"
    assert environment.spec.namespace == "ml"


@pytest.mark.parametrize(
    ("reference", "place", "python"),
    [
        ("python:3.9-slim", "docker.io/library/python:3.9-slim", "3.9"),
        ("python:3", "docker.io/library/python:3", "3.11"),
        ("acme/train", "docker.io/acme/train:latest", "3.11"),
        ("ghcr.io/acme/train:py3.10", "ghcr.io/acme/train:py3.10", "3.10"),
        (f"ghcr.io/acme/train@sha256:{'0' * 64}", f"ghcr.io/acme/train@sha256:{'0' * 64}", "3.11"),
    ],
)
def test_references_of_images_are_written_out(tmp_path: Path, reference: str, place: str, python: str) -> None:
    migration = plan(tmp_path, f"{HEAD}@task.kubernetes(image={reference!r})\ndef f(): pass\n")
    planning.write(migration)
    (environment,) = Catalogue(tmp_path / "envs")
    assert (str(image.external(environment)), environment.python) == (place, python)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ("image='alpine:3', cmds=['date']", "the image alpine:3 has no Python, which podenv needs to start anything"),
        ("image='acme/x'", "it runs the image's own entrypoint; name the command by cmds=[...], then migrate again"),
        ("cmds=['x']", "it names no image here; make an environment for what it runs by hand"),
        (
            "cmds=['x'], image='acme/x:{{ params.tag }}'",
            "its image is a template, known only when the task runs; make an environment for each image",
        ),
        ("cmds=['x'], image=IMAGE", "its image is computed (IMAGE); write the value itself, then migrate again"),
    ],
)
def test_pods_whose_image_cannot_be_an_environment_stay(tmp_path: Path, arguments: str, why: str) -> None:
    head = "from airflow.providers.cncf.kubernetes.operators.kubernetes_pod import KubernetesPodOperator\n"
    assert left(plan(tmp_path, f"{head}KubernetesPodOperator(task_id='t', {arguments})\n")) == [(2, why)]


def test_a_namespace_that_only_a_run_knows_is_named(tmp_path: Path) -> None:
    migration = plan(
        tmp_path,
        f"{HEAD}@task.kubernetes(image='acme/x:py3.12', namespace=conf.get('a', 'b'), base_container_name='x')\n"
        "def f(): pass\n",
    )
    assert remarks(migration) == [
        (2, "base_container_name goes: an environment's container is always named `base`"),
        (
            2,
            "its namespace is computed: the environment gets one of its own; set `namespace` in values.yaml where it "
            "needs Secrets or a service account of another",
        ),
    ]


# What to look at


def test_what_a_function_may_not_find_in_its_environment_is_named_by_line(tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "shared.py").touch()
    migration = plan(
        tmp_path,
        """\
        from airflow.sdk import task

        @task.virtualenv(requirements=["scikit-learn", "google-cloud-storage", "PyYAML", "python-dateutil", "opencv2"])
        def f(ds=None, **context):
            import dateutil.parser, json, shared, yaml
            from airflow.sdk import Variable
            from google.cloud import storage
            from sklearn import svm
            import pandas as pd
            import os
            return os.environ["HOME"] + context["run_id"]
        """,
    )
    assert remarks(migration) == [
        (
            6,
            "the function imports airflow, which its environment does not have: pass what it needs as an argument "
            "(connections=[...] brings Connections, variables=[...] Variables), or add apache-airflow-task-sdk",
        ),
        (
            9,
            "the function imports pandas, and no requirement is named so: add pandas unless another package brings it",
        ),
        (
            11,
            "the function reads environment variables; those of Airflow's worker are not there: pass env_vars=, or set "
            "`env` in its values.yaml",
        ),
        (
            11,
            "**context gets no context values: name in the signature those that it uses (ds, params, run_id ...)",
        ),
    ]


def test_variables_are_not_mentioned_where_the_task_had_none_of_the_worker(tmp_path: Path) -> None:
    text = f"{HEAD}@task.virtualenv(inherit_env=False)\ndef f():\n    import os\n    os.getenv('X')\n"
    assert remarks(plan(tmp_path, text)) == []


# Errors, and writing


def test_a_file_that_does_not_parse_is_named_and_stops_no_other(tmp_path: Path) -> None:
    good, bad, gone, binary = (tmp_path / name for name in ("good.py", "bad.py", "gone.py", "binary.py"))
    good.write_text(f"{HEAD}@task.virtualenv(requirements='a')\ndef f(): pass\n")
    bad.write_text("x = 1\ndef f(:\n")
    binary.write_bytes(b"\xff\xfe\x00")
    migration = planning.plan([bad, gone, good, binary], tmp_path / "envs", python="3.11")
    errors = [str(change.error) for change in migration.files]
    assert errors[0] == f"{bad}:2: it does not parse as Python: invalid syntax. Correct it, then migrate again."
    assert errors[1] == f"{gone} cannot be read: No such file or directory; check the path."
    assert errors[2] == "None"
    assert errors[3].startswith(f"{binary}")
    planning.write(migration)
    assert '@task.env("a")' in good.read_text()
    assert bad.read_text() == "x = 1\ndef f(:\n"


def test_a_second_run_finds_nothing_to_do(tmp_path: Path) -> None:
    first = plan(tmp_path, f"{HEAD}@task.virtualenv(requirements='a')\ndef f(): pass\n")
    planning.write(first)
    assert [change.written for change in first.files] == [True]
    again = planning.plan([first.files[0].file], tmp_path / "envs", python="3.11")
    assert (again.proposals, again.left, again.files[0].changed) == ([], [], False)


def test_planning_writes_nothing(tmp_path: Path) -> None:
    text = f"{HEAD}@task.virtualenv(requirements='a')\ndef f(): pass\n"
    migration = plan(tmp_path, text)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["dag.py", "dags"]
    assert migration.files[0].file.read_text() == text
    diff = changes.diff(migration.files[0], "dag.py")
    assert diff.splitlines()[3:] == [
        " from airflow.sdk import task",
        "-@task.virtualenv(requirements='a')",
        '+@task.env("a")',
        " def f(): pass",
    ]


def test_a_file_whose_environment_cannot_be_made_is_unchanged(tmp_path: Path) -> None:
    text = f"{HEAD}@task.virtualenv(requirements='a')\ndef f(): pass\n"
    migration = plan(tmp_path, text)
    (tmp_path / "envs").write_text("a file")
    planning.write(migration)
    (change,) = migration.files
    assert str(change.error) == f"{tmp_path / 'envs' / 'a'} cannot be made: Not a directory."
    assert change.file.read_text() == text


def test_a_file_that_changes_meanwhile_is_unchanged(tmp_path: Path) -> None:
    migration = plan(tmp_path, f"{HEAD}@task.virtualenv(requirements='a')\ndef f(): pass\n")
    (change,) = migration.files
    change.file.write_text("# by somebody else\n")
    planning.write(migration)
    assert str(change.error) == f"{change.file} was changed while it was read; migrate again."
    assert change.file.read_text() == "# by somebody else\n"
    assert [path.name for path in change.file.parent.iterdir()] == ["dag.py"]


def test_a_link_stays_a_link_and_rights_stay(tmp_path: Path) -> None:
    real = tmp_path / "real.py"
    real.write_text(f"{HEAD}@task.virtualenv(requirements='a')\ndef f(): pass\n")
    real.chmod(0o640)
    link = tmp_path / "link.py"
    link.symlink_to(real)
    planning.write(planning.plan([link], tmp_path / "envs", python="3.11"))
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert '@task.env("a")' in real.read_text()


def test_lines_of_what_is_left_are_those_of_the_written_file(tmp_path: Path) -> None:
    migration = plan(
        tmp_path,
        """\
        from airflow.sdk import task
        @task.virtualenv(
            requirements="a",
            system_site_packages=False,
        )
        def f(): pass
        @task.docker(image="a")
        def g(): pass
        """,
    )
    (change,) = migration.files
    assert [planning.line_after(change, one.line) for one in migration.left] == [7]
    planning.write(migration)
    assert [planning.line_after(change, one.line) for one in migration.left] == [4]
