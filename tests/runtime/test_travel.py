"""What travels with a function, in real processes, on every Python of this machine from 3.8 on."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from tests import fakeairflow
from tests.runtime.test_runtime import PYTHONS, TOKEN, VERSIONS, Ran, finish, run

from podenv.call.source import build_call
from podenv.runtime import command, travel_env


@pytest.fixture(params=VERSIONS)
def python(request: pytest.FixtureRequest) -> str:
    return PYTHONS[request.param]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "dags"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))


def load(root: Path, text: str) -> dict[str, Any]:
    """The names of the DAG file; the modules that it imports are forgotten again, and their files are gone."""
    with own_modules(root):
        return fakeairflow.load(root / "dag.py", textwrap.dedent(text))


@contextmanager
def own_modules(root: Path) -> Iterator[None]:
    """Imports find what lies in ``root``, not what another test imported by such a name, and are forgotten again."""
    own = {path.stem for path in root.iterdir()}
    with mock.patch.dict(sys.modules):
        for name in [name for name in sys.modules if name.partition(".")[0] in own]:
            del sys.modules[name]
        yield


def run_elsewhere(python: str, function: Callable[..., Any], gone: Path) -> Ran:
    """As in a pod, which has no such file or folder."""
    env = travel_env(build_call(function, [], {}), TOKEN, linger=0)
    gone.rename(gone.with_name("gone"))
    return finish(subprocess.Popen(command(python), env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))


def plain(ran: Ran) -> Any:
    """The value; the log holds nothing but the line of what travels."""
    assert [line for line in ran.log if not line.startswith("With ")] == []
    return ran.value


OWN = '''
import logging
from airflow.sdk import DAG, dag, task
from dataclasses import dataclass, field
from functools import lru_cache, wraps

log = logging.getLogger("own")
THRESHOLD: int = 3
NAMES = ["a"]; OTHER = task
NAMES.append("b")


@dataclass
class Row:
    size: int
    tags: list = field(default_factory=list)

    def grown(self, by: "Nowhere") -> Nowhere if False else "Nowhere":
        return Row(self.size + by, self.tags)


def twice(function):
    @wraps(function)
    def wrapper(*args, **kwargs):
        return [function(*args, **kwargs), function(*args, **kwargs)]
    return wrapper


@lru_cache(maxsize=None)
def helper(x: DAG) -> DAG:
    return x * THRESHOLD


@dag
def pipeline(factor=2):
    import json as js
    offset = [10]

    def nested(x):
        return x * factor + offset[0]

    tasks = []
    for number in (1, 2):
        @task.env("a")
        @twice
        def f(x, start=number, *, end=offset):
            """Text
            at its column."""
            return nested(x), helper(2), NAMES, js.loads("1"), Row(1).grown(1).size, start, end, f.__qualname__
        tasks.append(f)

    @task.env("a")
    def fails():
        return nested(None)
    return [*tasks, fails]


first, second, fails = pipeline()


@task.env("a")
def reads():
    import inspect
    return inspect.getsource(reads), inspect.getsource(helper), inspect.getsource(Row.grown), __file__[-6:]
'''


def test_its_own_file(python: str, root: Path) -> None:
    names = load(root, OWN)
    expected = (14, 6, ["a", "b"], 1, 2)
    for number, name in enumerate(("first", "second"), 1):
        value = (*expected, number, [10], "pipeline.<locals>.f")
        assert plain(run(python, names[name], 2)) == [value, value]


def test_sources_are_what_they_are_at_home(python: str, root: Path) -> None:
    names = load(root, OWN)
    own, helper, method, file = plain(run_elsewhere(python, names["reads"], root / "dag.py"))
    assert own == OWN[OWN.index("def reads") :]
    assert helper == "@lru_cache(maxsize=None)\ndef helper(x: DAG) -> DAG:\n    return x * THRESHOLD\n"
    assert method.startswith('    def grown(self, by: "Nowhere")')
    assert file == "dag.py"


def test_tracebacks_have_the_files_own_lines(python: str, root: Path) -> None:
    trace = run(python, load(root, OWN)["fails"]).error.traceback
    line = OWN[: OWN.index("return x * factor")].count("\n") + 1
    assert f'dag.py", line {line}, in nested\n    return x * factor + offset[0]\n' in trace
    assert trace.count("  File ") == 2


MODULES = {
    "common/__init__.py": "from .clean import clean\n",
    "common/clean.py": """
        from __future__ import annotations
        import logging
        import re
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            from airflow.sdk import Context
        from . import words
        log = logging.getLogger(__name__)

        def clean(text: str, context: Context = None) -> str:
            log.info("cleans")
            return words.lower(re.sub("  +", " ", text))

        def fails():
            raise ValueError("in a module")
        """,
    "common/words.py": "def lower(text): return text.lower()\n",
    "common/sql/one.sql": "select 1",
    "common/note.txt": "a note",
    "space/inner.py": "X = 5\n",
}
USES = """
    from airflow.sdk import task
    from common.clean import clean, fails as failing
    import common.words

    @task.env("a")
    def f():
        import inspect, os, sys
        import space.inner
        return clean("A   B"), common.words.lower("C"), space.inner.X, common.clean.__name__, common.__package__, [
            os.path.relpath(common.words.__file__, os.path.dirname(__file__)), inspect.getsource(common.words.lower)]

    @task.env("a")
    def fails():
        return failing()

    @task.env("a")
    def reads():
        import pkgutil, warnings
        from importlib import resources
        warnings.simplefilter("ignore")  # Python 3.11 has deprecated what 3.8 has alone
        found = [pkgutil.get_data("common", "sql/one.sql").decode()]
        with resources.open_text("common", "note.txt") as file:
            found.append(file.read())
        if hasattr(resources, "files"):
            folder = resources.files(common)
            found += [(folder / "sql" / "one.sql").read_text(), sorted(one.name for one in folder.iterdir()),
                      folder.joinpath("note.txt").is_file(),
                      resources.files("common.sql").joinpath("one.sql").read_text()]
        return found
    """


def test_modules_beside_it(python: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # of what this process loads
    write(root, MODULES)
    names = load(root, USES)
    ran = run(python, names["f"], popen={"cwd": root.parent})
    assert ran.value == (
        "a b", "c", 5, "clean", "common", ["common/words.py", "def lower(text): return text.lower()\n"],
    )  # fmt: skip
    assert ran.log[1:] == ["INFO:common.clean:cleans"]
    assert not list(root.glob("**/__pycache__/*"))


def test_tracebacks_of_modules_beside_it(python: str, root: Path) -> None:
    write(root, MODULES)
    names = load(root, USES)
    trace = run_elsewhere(python, names["fails"], root / "common").error.traceback
    line = textwrap.dedent(MODULES["common/clean.py"]).split("\n").index('    raise ValueError("in a module")') + 1
    assert f'common/clean.py", line {line}, in fails\n    raise ValueError("in a module")\n' in trace


def test_data_files_of_packages_beside_it(python: str, root: Path) -> None:
    write(root, MODULES)
    names = load(root, USES)
    found = plain(run(python, names["reads"]))
    assert found[:2] == ["select 1", "a note"]
    if len(found) > 2:
        assert found[2:] == ["select 1", ["note.txt", "sql"], True, "select 1"]
    else:
        assert python == PYTHONS["3.8"]


def test_what_the_environment_has_goes_before_what_travels_and_a_line_says_so(
    python: str, root: Path, tmp_path: Path
) -> None:
    write(root, {"tools.py": "WHERE = 'beside'\n", "mine.py": "WHERE = 'beside'\n"})
    write(tmp_path / "environment", {"tools.py": "WHERE = 'environment'\n"})
    names = load(root, "def f():\n    import mine, tools\n    return mine.WHERE, tools.WHERE\n")
    ran = run(python, names["f"], env={"PYTHONPATH": str(tmp_path / "environment")})
    assert ran.value == ("beside", "environment")
    assert ran.log[1:] == [
        f"tools is the environment's own, from {tmp_path}/environment/tools.py; the one beside the DAG is not used."
    ]


def test_a_mere_folder_of_the_environment_hides_nothing(python: str, root: Path, tmp_path: Path) -> None:
    write(root, {"tools.py": "WHERE = 'beside'\n", "space/mine.py": "WHERE = 'beside'\n"})
    write(tmp_path / "environment", {"tools/x.txt": "", "space/own.py": "WHERE = 'environment'\n"})
    body = "import space.mine, space.own, tools\n    return tools.WHERE, space.mine.WHERE, space.own.WHERE\n"
    names = load(root, f"def f():\n    {body}")
    ran = run(python, names["f"], env={"PYTHONPATH": str(tmp_path / "environment")})
    assert plain(ran) == ("beside", "beside", "environment")


def test_a_module_that_imports_airflow_says_what_to_do(python: str, root: Path) -> None:
    write(root, {"tools.py": "\nfrom airflow.sdk import Variable\n"})
    without = str(Path(python).resolve())  # not the virtual environment of these tests, which has Airflow
    error = run(without, load(root, "def f():\n    import tools\n")["f"]).error
    assert (error.type, error.message) == (
        "ModuleNotFoundError",
        "No module named 'airflow': this environment has none. Let a module that travels import it inside the "
        "functions that need it, or move what the task uses into a module without it",
    )
    assert 'tools.py", line 2, in <module>\n    from airflow.sdk import Variable\n' in error.traceback


def test_a_circle_of_imports_works_as_in_plain_python_or_fails_in_its_words(python: str, root: Path) -> None:
    write(root, {"one.py": "import two\nX = 1\n", "two.py": "import one\ndef x(): return one.X\n"})
    write(root, {"three.py": "from four import y\nX = 1\n", "four.py": "from three import X\ny = X\n"})
    names = load(root, "def f():\n    import two\n    return two.x()\ndef g():\n    import three\n")
    assert plain(run(python, names["f"])) == 1
    error = run(python, names["g"]).error
    assert error.type == "ImportError"
    assert error.message.startswith("cannot import name 'X' from partially initialized module 'three'")
    assert "circular import" in error.message
    files = re.findall(r'File "(.*)", line', error.traceback)
    assert [Path(file).name for file in files[1:]] == ["three.py", "four.py"]  # no frame of ours, as none of Python's


def test_compiled_modules_are_kept_where_podenv_says(python: str, root: Path, tmp_path: Path) -> None:
    write(root, {"tools.py": "X = 1\n"})
    function = load(root, "def f():\n    import tools\n    return tools.X, tools.__file__\n")["f"]
    for _ in range(2):
        value = plain(run(python, function, bytecode=str(tmp_path / "kept")))
        assert value == (1, str(root / "tools.py"))
    (kept,) = (tmp_path / "kept").iterdir()
    kept.write_bytes(b"damaged")
    assert plain(run(python, function, bytecode=str(tmp_path / "kept"))) == (1, str(root / "tools.py"))


def test_a_function_of_a_package_brings_its_package_and_imports_from_it(python: str, root: Path) -> None:
    write(
        root,
        {
            "acme/__init__.py": "",
            "acme/other.py": "X = 7\n",
            "acme/features.py": "from .other import X\ndef f(): return X\n",
        },
    )
    with own_modules(root):
        from acme.features import f  # type: ignore[import-not-found]
    assert plain(run(python, f)) == 7


def test_a_notebooks_cells_together(python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import linecache

    cells = {
        "<ipython-input-1-a>": "import math as m\nLIMIT = [1]\ndef helper(x):\n    return m.sqrt(x)\n",
        "<ipython-input-2-b>": "LIMIT.append(2)\n",
        "<ipython-input-3-c>": "\ndef f(x):\n    if x < 0:\n        return helper(x)\n    return helper(x), LIMIT\n",
    }
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for name, text in cells.items():
        monkeypatch.setitem(linecache.cache, name, (len(text), None, text.splitlines(keepends=True), name))
        exec(compile(text, name, "exec", dont_inherit=True), namespace)
    function: Callable[..., Any] = namespace["f"]
    assert plain(run(python, function, 16)) == (4.0, [1, 2])
    trace = run(python, function, -1).error.traceback
    assert '<ipython-input-1-a>", line 4, in helper\n    return m.sqrt(x)\n' in trace
