"""What a function uses of its own file: what travels with it, and what is refused with its remedy."""

from __future__ import annotations

import functools
import linecache
import math
import os.path
import re
import sys
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests import fakeairflow

from podenv.call.source import build_call, extract, refuse_airflows
from podenv.errors import SourceChanged, SourceError
from podenv.runtime.call import Call
from podenv.runtime.load import texts

HEAD = "from airflow.sdk import DAG, Variable, dag, task\n"


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], dict[str, Any]]:
    """The names of a DAG file with this text below its import of Airflow."""

    def made(text: str) -> dict[str, Any]:
        return fakeairflow.load(tmp_path / "dag.py", HEAD + textwrap.dedent(text))

    return made


def sent(function: Any) -> list[str]:
    """The lines that travel, without the function's own."""
    source = extract(function)
    lines = [line for text in texts(source.code).values() for line in text.split("\n") if line]
    return lines[: lines.index(next(line for line in lines if re.search(rf"def {source.name}(\[|\()", line)))]


def refused(function: Any) -> list[str]:
    """What does not travel, each with its remedy."""
    with pytest.raises(SourceError) as caught:
        extract(function)
    head, _, names = str(caught.value).partition(" uses what does not travel with it to another environment: ")
    assert re.fullmatch(r".*:\d+: \w+", head)
    return re.split(r"; (?=')", names.removesuffix("."))


FILE = """
import json, math
import os.path as p
from decimal import (
    Decimal,
    getcontext as context,
)
from dataclasses import dataclass
import numpy  # never used by the task

LIMIT: int = 3; UNUSED = 4
NAMES = ["a"]
NAMES.append("b")
NAMES[0] = "c"
OTHER = []
OTHER.append(1)
for name in NAMES:
    OTHER.append(name)
try:
    import tomllib
except ImportError:
    tomllib = None
if LIMIT > 2:
    BIG = True
else:
    BIG = False


@dataclass
class Row:
    size: int = LIMIT

    def doubled(self) -> "Nowhere":
        return helper(self.size)


def helper(x: Decimal) -> Variable:
    return x * 2 + p.sep

def unused():
    return Variable.get("x")

"""


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return 1", []),
        ("return math.pi", ["import math"]),
        ("return p.sep", ["import os.path as p"]),
        ("return context()", ["from decimal import getcontext as context"]),
        ("return LIMIT", ["LIMIT: int = 3"]),
        ("return UNUSED + LIMIT", ["LIMIT: int = 3; UNUSED = 4"]),
        ("return NAMES", ['NAMES = ["a"]', 'NAMES.append("b")', 'NAMES[0] = "c"']),
        ("return tomllib", ["try:", "    import tomllib", "except ImportError:", "    tomllib = None"]),
        ("return BIG", ["LIMIT: int = 3", "if LIMIT > 2:", "    BIG = True", "else:", "    BIG = False"]),
        (
            "return helper(1)",
            ["import os.path as p", "def helper(x: Decimal) -> Variable:", "    return x * 2 + p.sep"],
        ),
        (
            "return Row()",
            [
                "import os.path as p",
                "from dataclasses import dataclass",
                "LIMIT: int = 3",
                "@dataclass",
                "class Row:",
                "    size: int = LIMIT",
                '    def doubled(self) -> "Nowhere":',
                "        return helper(self.size)",
                "def helper(x: Decimal) -> Variable:",
                "    return x * 2 + p.sep",
            ],
        ),
    ],
)
def test_what_the_function_uses_travels_and_nothing_else(
    body: str, expected: list[str], load: Callable[[str], dict[str, Any]]
) -> None:
    names = load(
        FILE.replace("import numpy  # never used by the task\n", "") + f"@task.env('a')\ndef f():\n    {body}\n"
    )
    assert sent(names["f"]) == expected


def test_a_loop_that_fills_what_is_used_travels(load: Callable[[str], dict[str, Any]]) -> None:
    names = load(
        "TABLE = {}\nfor one in ['a']:\n    TABLE[one] = 1\nfor two in ['b']: print(two)\ndef f():\n    return TABLE\n"
    )
    assert sent(names["f"]) == ["TABLE = {}", "for one in ['a']:", "    TABLE[one] = 1"]


REGISTERING = """
import functools
KNOWN = {}
def known(function):
    KNOWN[function.__name__] = function
    return function
def known_as(name):
    def add(function):
        return KNOWN.setdefault(name, function)
    return add
def fill(table):
    table["filled"] = known
def learn():
    KNOWN["learned"] = known
OTHER = {}
def look(table):
    print(table)
look(KNOWN)
print(KNOWN)
@known
def one(): pass
@known_as("two")
class Two: pass
fill(KNOWN)
learn()
fill(OTHER)
@functools.singledispatch
def show(value): return "?"
@show.register
def _(value: int): return "int"
@show.register(str)
def _(value): return "str"
@functools.lru_cache
def unused(): pass
class Step:
    all = []
    def __init_subclass__(cls): Step.all.append(cls)
class First(Step): pass
class Second(First): pass
class Other(dict): pass
"""


def test_what_registers_itself_in_what_is_used_travels(load: Callable[[str], dict[str, Any]]) -> None:
    used = "def f():\n    return KNOWN\ndef g():\n    return show(1)\ndef h():\n    return Step.all\n"
    names = load(REGISTERING + used)
    lines = sent(names["f"])
    heads = ("@", "fill", "learn", "look", "print", "KNOWN", "OTHER", "import")
    assert [line for line in lines if line.startswith(heads)] == [
        "KNOWN = {}", "@known", '@known_as("two")', "fill(KNOWN)", "learn()"
    ]  # fmt: skip
    assert sent(names["g"]) == [
        "import functools",
        "@functools.singledispatch",
        'def show(value): return "?"',
        "@show.register",
        'def _(value: int): return "int"',
        "@show.register(str)",
        'def _(value): return "str"',
    ]

    assert [line for line in sent(names["h"]) if line.startswith("class")] == [
        "class Step:", "class First(Step): pass", "class Second(First): pass"
    ]  # fmt: skip


def test_what_registers_itself_and_is_airflows_is_named(load: Callable[[str], dict[str, Any]]) -> None:
    names = load(
        "class Steps(list):\n    def add(self, one):\n        self.append(one)\n        return one\nSTEPS = Steps()\n"
        "@STEPS.add\ndef reads():\n    return Variable\ndef f():\n    return STEPS\n"
    )
    assert refused(names["f"]) == ["'STEPS' (line 7 changes it by what comes from Airflow: pass it as an argument)"]


def test_a_call_of_airflows_that_is_handed_what_is_used_stays(load: Callable[[str], dict[str, Any]]) -> None:
    names = load("ROWS = [1]\n@task\ndef reads(rows):\n    pass\nreads(ROWS)\ndef f():\n    return ROWS\n")
    assert sent(names["f"]) == ["ROWS = [1]"]


def test_lines_stay_in_their_places(load: Callable[[str], dict[str, Any]]) -> None:
    names = load("\n\nA = 1\n\n\nB = (\n    A,\n)\n\ndef f():\n    return B\n")
    (text,) = texts(extract(names["f"]).code).values()
    assert text == "\n\n\nA = 1\n\n\nB = (\n    A,\n)\n\ndef f():\n    return B\n"


NESTED = """
RATE = 2

@dag
def pipeline(size=5, thing=object()):
    import json
    from math import pi as number
    offset = 10
    pattern = {"a": object()}

    def inner(x):
        return x + offset + size * RATE

    class Kind:
        step = inner(1)

    @task.env("a")
    def f(x, y=offset, *, z=pattern):
        return inner(x), json, number, Kind

    @task.env("a")
    def g():
        return thing

    @task.env("a")
    def counter():
        nonlocal offset
        offset += 1
        return counter
    return f, g, counter

f, g, counter = pipeline()
"""


def test_what_the_function_around_it_has_travels_by_value_else_by_its_statement(
    load: Callable[[str], dict[str, Any]],
) -> None:
    code = extract(load(NESTED)["f"]).code
    assert (code.around, code.values, code.defaults) == (
        "pipeline",
        {"number": math.pi, "offset": 10, "size": 5},
        {"y": 10},
    )
    assert [text.split("\n")[0].strip() for _, _, text in code.pieces] == ["RATE = 2"]
    assert [text.split("\n")[0].strip() for _, _, text in code.inner] == [
        "import json",
        'pattern = {"a": object()}',
        "def inner(x):",
        "class Kind:",
        "def f(x, y=offset, *, z=pattern):",
    ]


def test_a_name_that_the_function_changes_in_the_one_around_it_travels_too(
    load: Callable[[str], dict[str, Any]],
) -> None:
    code = extract(load(NESTED)["counter"]).code
    assert (code.values, [text.split("\n")[0].strip() for _, _, text in code.inner]) == (
        {"offset": 10},
        ["def counter():"],
    )


def test_an_argument_of_the_function_around_it_that_has_no_text_is_refused(
    load: Callable[[str], dict[str, Any]],
) -> None:
    assert refused(load(NESTED)["g"]) == ["'thing' (pass it as an argument)"]


def test_statements_of_a_with_dag_block_travel_one_by_one(load: Callable[[str], dict[str, Any]]) -> None:
    names = load(
        """
        with DAG("d") as d:
            LIMIT = 3
            with DAG("inner"):
                def helper(): return LIMIT
                @task.env("a")
                def f(): return helper()
            @task.env("a")
            def g(): return d
        """
    )
    assert sent(names["f"]) == ["    LIMIT = 3", "        def helper(): return LIMIT"]
    assert refused(names["g"]) == [f"'d' ({AIRFLOW.format(3, 'DAG')}: pass it as an argument)"]


AIRFLOW = "line {} makes it with {!r}, which comes from Airflow"

LOOP = """
tasks = {}
for name in ["a", "b"]:
    table = f"t_{name}"
    def helper(): return 1
    @task.env("x")
    def f(value=name, where=table): return value, where, helper()
    @task.env("x")
    def g(): return name, table
    tasks[name] = f, g
"""


def test_a_loops_variable_travels_as_a_default(load: Callable[[str], dict[str, Any]]) -> None:
    tasks = load(LOOP)["tasks"]
    assert [extract(tasks[name][0]).code.defaults for name in "ab"] == [
        {"value": "a", "where": "t_a"},
        {"value": "b", "where": "t_b"},
    ]
    assert sent(tasks["a"][0]) == ["    def helper(): return 1"]


def test_a_loops_variable_that_the_function_looks_up_is_refused(load: Callable[[str], dict[str, Any]]) -> None:
    remedy = "the loop at line 4 sets it: pass it as an argument, or make it a default, "
    assert refused(load(LOOP)["tasks"]["a"][1]) == [f"'name' ({remedy}`name=name`)", f"'table' ({remedy}`table=table`)"]


FROM_AIRFLOW = """
REGION = Variable.get("region")
BUCKET = f"data-{REGION}"
OPTIONS = {}
OPTIONS["region"] = Variable.get("region")

def reads(): return Variable.get("x")
class Reads:
    def read(self): return reads()

@task
def other(): return 1

@task.env("a")
def f(): return REGION, BUCKET, OPTIONS, reads(), Reads(), other(), Variable
"""


def test_what_comes_from_airflow_is_refused_with_the_line_that_makes_it(load: Callable[[str], dict[str, Any]]) -> None:
    assert refused(load(FROM_AIRFLOW)["f"]) == [
        f"'BUCKET' ({AIRFLOW.format(4, 'REGION')}: pass it as an argument)",
        "'OPTIONS' (line 6 changes it by what comes from Airflow: pass it as an argument)",
        f"'REGION' ({AIRFLOW.format(3, 'Variable')}: pass it as an argument)",
        f"'Reads' ({AIRFLOW.format(9, 'reads')}: pass what it needs as an argument, or import that inside it)",
        "'Variable' (it is Airflow's: pass what you need of it as an argument, or import it inside the function)",
        "'other' (it is a task, line 12: move what both need into a function without a decorator)",
        f"'reads' ({AIRFLOW.format(8, 'Variable')}: pass what it needs as an argument, or import that inside it)",
    ]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("def f(): return Variable.get('x')\n", "Variable"),
        ("def reads(): return Variable.get('x')\ndef f(): return reads()\n", "reads"),
        ("with DAG('d') as d:\n    def f(): return d\n", "d"),
        ("@dag\ndef made():\n    raw = task(len)\n    def f(): return raw\n    return f\nf = made()\n", "raw"),
        ("@task\ndef other(): ...\ndef f(): return other\n", "other"),
    ],
)
def test_what_is_airflows_is_refused_when_the_dag_is_parsed(
    text: str, name: str, load: Callable[[str], dict[str, Any]]
) -> None:
    with pytest.raises(SourceError, match=rf"dag\.py:\d+: f uses what does not travel .*: '{name}' \("):
        refuse_airflows(load(text)["f"])


def test_a_function_that_only_has_attributes_named_like_airflows_names_passes_the_parse(
    load: Callable[[str], dict[str, Any]],
) -> None:
    refuse_airflows(load("def f(x): return x.task, x.dag, later()\n")["f"])


WRAPPED = """
import functools

def twice(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args), function(*args)
    return wrapper

def counted(function):
    return function

def hides(function):
    def wrapper(*args):
        return function(*args)
    return wrapper

def with_variable(function):
    @functools.wraps(function)
    def wrapper(*args):
        return Variable.get("x")
    return wrapper

@twice
@task.env("a")
@twice
@counted
def f(x): return x

@task.env("a")
@hides
def g(x): return x

@task.env("a")
@with_variable
def h(x): return x
"""


def test_decorators_that_wrap_the_function_travel_and_those_of_the_task_stay(
    load: Callable[[str], dict[str, Any]],
) -> None:
    names = load(WRAPPED)
    assert sent(names["f"]) == [
        "import functools",
        "def twice(function):",
        "    @functools.wraps(function)",
        "    def wrapper(*args):",
        "        return function(*args), function(*args)",
        "    return wrapper",
        "def counted(function):",
        "    return function",
        "@twice",
        "@counted",
    ]


def test_a_decorator_that_hides_its_function_or_needs_airflow_is_refused(load: Callable[[str], dict[str, Any]]) -> None:
    names = load(WRAPPED)
    assert refused(names["g"]) == ["'function' (its decorator hides the function: let it use functools.wraps)"]
    assert refused(names["h"]) == [
        "'with_variable' (the decorator at line 36 wraps the function and needs it, and it comes from Airflow: put "
        "that decorator above the task's own)"
    ]


def test_a_wrapper_that_is_no_decorator_is_refused_and_one_that_wraps_twice_travels(
    load: Callable[[str], dict[str, Any]],
) -> None:
    names = load(
        WRAPPED
        + textwrap.dedent(
            """
            def plain(x): return x
            wrapped = task.env("a")(twice(plain))

            def both(function): return twice(twice(function))
            @task.env("a")
            @both
            def two(x): return x
            """
        )
    )
    assert refused(names["wrapped"]) == [
        "'plain' (it is wrapped by what is not one of its decorators: write that above it, as `@...`)"
    ]
    assert sent(names["two"])[-2:] == ["def both(function): return twice(twice(function))", "@both"]


def test_a_decorator_may_change_the_signature(load: Callable[[str], dict[str, Any]]) -> None:
    names = load(
        """
        import functools, inspect
        def with_session(function):
            @functools.wraps(function)
            def wrapper(x):
                return function(x, session=1)
            wrapper.__signature__ = inspect.signature(lambda x: None)
            return wrapper
        @task.env("a")
        @with_session
        def f(x, session): return x, session
        """
    )
    assert build_call(names["f"], [1], {}).args == [1]


def test_what_python_warns_of_in_a_text_is_said_once_when_it_is_loaded(load: Callable[[str], dict[str, Any]]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = load("A = '\\d'\ndef f(x):\n    return x is 'a', A, '\\d'\n")
    assert sent(names["f"]) == ["A = '\\d'"]


def test_names_for_a_type_checker_do_not_travel(load: Callable[[str], dict[str, Any]]) -> None:
    names = load(
        """
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            from nowhere import Row
        def helper(row: Row) -> Row: return row
        def f(x: Row) -> Row:
            y: Row = helper(x)
            return TYPE_CHECKING
        """.replace("def helper(row: Row) -> Row", "def helper(row: 'Row') -> 'Row'").replace(
            "f(x: Row) -> Row", "f(x: 'Row') -> 'Row'"
        )
    )
    assert sent(names["f"]) == ["from typing import TYPE_CHECKING", "def helper(row: 'Row') -> 'Row': return row"]


def test_names_of_a_star_import_travel_as_imports_of_their_own(load: Callable[[str], dict[str, Any]]) -> None:
    assert sent(load("from math import *\ndef f(): return pi, sqrt(2)\n")["f"]) == []
    pieces = extract(load("from math import *\ndef f(): return pi, sqrt(2)\n")["f"]).code.pieces
    assert [text for _, _, text in pieces[:2]] == ["from math import sqrt\n", "from math import pi\n"]


def test_what_is_nowhere_is_named(load: Callable[[str], dict[str, Any]]) -> None:
    names = load(
        "def f(x=1):\n    global made\n    made = 1\n    return made, NOWHERE, f\"{x!r:>{WIDTH}} {'a' + FIRST}\"\n"
    )
    assert refused(names["f"]) == [
        f"'{name}' (it is not defined; import or define it)" for name in ("FIRST", "NOWHERE", "WIDTH")
    ]


ANNOTATED = """
def f(x: int) -> int:
    class Row:
        names: Field = []
    def inner(a: Given = 1, *b: Rest, **c: More) -> Back:
        local: Local = 1
    return inner
"""


def test_annotations_inside_the_function_are_evaluated_as_in_plain_python(
    load: Callable[[str], dict[str, Any]],
) -> None:
    assert [name.split("'")[1] for name in refused(load(ANNOTATED)["f"])] == ["Back", "Field", "Given", "More", "Rest"]


def test_no_annotation_is_evaluated_where_the_file_postpones_them(tmp_path: Path) -> None:
    names = fakeairflow.load(tmp_path / "dag.py", f"from __future__ import annotations\n{ANNOTATED}")
    assert extract(names["f"]).code.postponed


def test_what_it_carries_itself_needs_nothing(load: Callable[[str], dict[str, Any]]) -> None:
    names = load(
        """
        def f(x, *rest, **more):
            import math, os.path
            global total
            total = len(rest)
            y = 1
            def inner(a):
                nonlocal y
                y += a
                return f if a else total
            class Point:
                y: int
                def __init__(self):
                    super().__init__()
                    self.__hidden = __name__
            try:
                return [inner(k) for k in range(3) if (w := k)], w, math, os.path, Point
            except (ValueError, OSError) as error:
                print(error, __file__)
                raise
        """
    )
    assert sent(names["f"]) == []


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters came with Python 3.12")
def test_type_aliases_and_parameters_travel(load: Callable[[str], dict[str, Any]]) -> None:
    names = load(
        "type Pair = tuple[int, int]\ndef f[T](x: T) -> T:\n    type Own = tuple[T, Pair]\n    return Pair, Own\n"
    )
    assert sent(names["f"]) == ["type Pair = tuple[int, int]"]


def test_a_function_named_like_what_it_calls_is_kept_apart(load: Callable[[str], dict[str, Any]]) -> None:
    names = load(
        """
        def clean(x): return x
        def prepare(x): return clean(x)
        @dag
        def pipeline():
            @task.env("a")
            def clean(x): return prepare(x)
            return clean
        task_clean = pipeline()
        """
    )
    code = extract(names["task_clean"]).code
    assert [text.split("(")[0].strip() for _, _, text in code.pieces] == ["def clean", "def prepare"]
    assert ([text.split("(")[0].strip() for _, _, text in code.inner], code.around) == (["def clean"], "pipeline")


CELLS = {
    "<ipython-input-1-a>": "import math as m\nLIMIT = [1]\ndef helper(x): return 'old'\n",
    "<ipython-input-2-b>": "LIMIT.append(2)\nimport re\nPATTERN = re.compile('a')\n",
    "<ipython-input-3-c>": "def helper(x): return m.sqrt(x)\n",
    "<ipython-input-4-d>": "def f(x): return helper(x), LIMIT, PATTERN\n",
}


def test_a_cell_uses_what_other_cells_have_made(monkeypatch: pytest.MonkeyPatch) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    monkeypatch.setattr(linecache, "cache", {})
    for name, text in CELLS.items():
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        exec(compile(text, name, "exec", dont_inherit=True), namespace)
    code = extract(namespace["f"]).code
    assert [(name[15], text.strip()) for name, _, text in code.pieces] == [
        ("1", "import math as m"),
        ("2", "import re"),
        ("2", "PATTERN = re.compile('a')"),
        ("3", "def helper(x): return m.sqrt(x)"),
        ("4", "def f(x): return helper(x), LIMIT, PATTERN"),
    ]
    assert code.constants == {"LIMIT": [1, 2]}


def test_the_log_says_what_travels(load: Callable[[str], dict[str, Any]], tmp_path: Path) -> None:
    names = load("A = 1\nB = 2\ndef f(): return A\ndef g(): return A + B\ndef h(): return 1\n")
    call = build_call(names["g"], [], {})
    assert isinstance(call, Call)
    assert call.travels == f"With g travel 2 statements of {tmp_path.name}/dag.py: 0.0 KiB."
    assert build_call(names["f"], [], {}).travels == f"With f travel 1 statement of {tmp_path.name}/dag.py: 0.0 KiB."
    assert build_call(names["h"], [], {}).travels == ""


def test_a_constant_that_changed_in_the_file_travels_as_it_was_loaded(load: Callable[[str], dict[str, Any]]) -> None:
    first = load("A = 1\ndef f(): return A\n")
    load("A = 2\ndef f(): return A\n")
    assert extract(first["f"]).code.constants == {"A": 1}


def test_another_function_that_changed_in_the_file_is_refused_where_it_would_travel(
    load: Callable[[str], dict[str, Any]],
) -> None:
    text = "def g(): return {}\ndef f(): return g()\ndef h(): return 1\n"
    first = load(text.format(1))
    load(text.format(22))
    assert extract(first["h"]).name == "h"
    with pytest.raises(SourceChanged, match=r"dag\.py:3: f was loaded from a file that has changed since\."):
        extract(first["f"])


def test_of_two_texts_with_the_same_function_the_one_that_was_loaded_is_taken(
    load: Callable[[str], dict[str, Any]],
) -> None:
    text = "A = [{0}]\ndef g(): return {0}\ndef f(): return A, g()\n"
    loaded = {}
    for number in (1, 2):
        loaded[number] = load(text.format(number))["f"]
        extract(loaded[number])
    assert [sent(loaded[number]) for number in (1, 2)] == [
        [f"A = [{number}]", f"def g(): return {number}"] for number in (1, 2)
    ]


def test_what_travels_is_part_of_what_the_call_is(load: Callable[[str], dict[str, Any]]) -> None:
    text = "A = {}\ndef f(): return A\n"
    first, second = (build_call(load(text.format(number))["f"], [], {}).encode() for number in (1, 2))
    assert first != second


THRESHOLD = 3


def test_the_tests_own_file_is_one_like_any_other() -> None:
    def uses() -> Any:
        return THRESHOLD, math.pi, os.path.sep, functools

    code = extract(uses).code
    assert [text.strip() for _, _, text in code.pieces[:-1]] == [
        "import functools",
        "import math",
        "import os.path",
        "THRESHOLD = 3",
    ]
