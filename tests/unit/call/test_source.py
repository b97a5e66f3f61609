"""From a function to a Call: what it carries, what it lacks, and what its arguments become."""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import inspect
import json as js
import linecache
import math
import os.path
import random
import sys
import textwrap
from collections.abc import Callable
from decimal import Decimal
from math import sqrt
from pathlib import Path
from typing import Any

import pytest

from podenv.call.source import build_call, extract
from podenv.errors import CallError, SourceChanged, SourceError
from podenv.runtime.call import Call

THRESHOLD = 3


def helper() -> int:
    return 1


class Model:
    def method(self) -> None: ...


def task(*names: Any, **options: Any) -> Callable[[Any], Any]:
    """Like Airflow's: what it returns is no function, but knows it."""

    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            raise AssertionError("never called")

        return wrapper

    return decorate


t = task


def load(path: Path, text: str) -> dict[str, Any]:
    """The names of a DAG file with this text."""
    path.write_text(textwrap.dedent(text))
    namespace: dict[str, Any] = {"__name__": path.stem, "__file__": str(path)}
    exec(compile(path.read_text(), str(path), "exec", dont_inherit=True), namespace)
    return namespace


def missing(function: Callable[..., Any]) -> str:
    with pytest.raises(SourceError) as caught:
        extract(function)
    message = str(caught.value)
    head, _, names = message.partition(" uses what does not travel with it to another environment: ")
    code = inspect.unwrap(function).__code__
    assert head.startswith(f"{code.co_filename}:")
    assert head.endswith(f": {function.__name__}")
    return names


def test_every_decorator_is_left_out_and_the_text_stays_as_it_is() -> None:
    @task("a", memory="1Gi")
    @t(
        "b",
        # a comment
    )
    @task("c")
    def keep(x: int = 1, *, y: str = "é") -> str:
        # a comment
        return f"""{x}
# no comment
    {y}"""

    source = extract(keep)
    assert source.text == (
        '    def keep(x: int = 1, *, y: str = "é") -> str:\n'
        "        # a comment\n"
        '        return f"""{x}\n'
        "# no comment\n"
        '    {y}"""\n'
    )
    assert (source.name, source.filename) == ("keep", __file__)
    assert linecache.getline(__file__, source.first_line).strip().startswith("def keep(")


def test_tabs_and_a_file_without_a_last_newline(tmp_path: Path) -> None:
    file = tmp_path / "dag.py"
    file.write_text("if True:\n\tdef f():\n\t\treturn 1")
    namespace: dict[str, Any] = {}
    exec(compile(file.read_text(), str(file), "exec"), namespace)
    assert extract(namespace["f"]).text.rstrip("\n") == "\tdef f():\n\t\treturn 1"


def test_of_two_functions_of_one_name_the_one_at_its_line_is_taken(tmp_path: Path) -> None:
    names = load(
        tmp_path / "dag.py",
        """\
        def f(): return 1
        first = f
        def f(): return 2
        def outer():
            def f(): return 3
            return f
        third = outer()
        """,
    )
    assert [extract(names[name]).text.strip() for name in ("first", "f", "third")] == [
        "def f(): return 1",
        "def f(): return 2",
        "def f(): return 3",
    ]


def test_a_function_of_a_notebook_has_a_source() -> None:
    text = "def cell(x):\n    return x\n"
    name = "<ipython-input-7-abc>"
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    namespace: dict[str, Any] = {}
    exec(compile(text, name, "exec"), namespace)
    assert extract(namespace["cell"]).text == text


def test_a_function_typed_at_a_prompt_has_none() -> None:
    namespace: dict[str, Any] = {}
    exec("def typed(): pass", namespace)
    with pytest.raises(SourceError) as caught:
        extract(namespace["typed"])
    assert str(caught.value) == ("<string>:1: typed has no source to send. Write it in a file or in a notebook's cell.")


CHANGED = (
    "dag.py:1: f was loaded from a file that has changed since. Run it again with what the file holds now, or restart "
    "this process."
)


@pytest.mark.parametrize("now", ["\n\n\ndef f():\n    return 2\n# longer\n", "def f():\n    return 2\n", "def f(:\n"])
def test_a_file_that_changed_since_it_was_loaded_is_refused_as_what_may_be_retried(now: str, tmp_path: Path) -> None:
    names = load(tmp_path / "dag.py", "def f():\n    return 1\n")
    (tmp_path / "dag.py").write_text(now)
    with pytest.raises(SourceChanged) as caught:
        extract(names["f"])
    assert str(caught.value) == f"{tmp_path}/{CHANGED}"


def test_what_was_loaded_travels_where_its_text_was_seen_before(tmp_path: Path) -> None:
    first = load(tmp_path / "dag.py", "def f():\n    return 1\n")
    assert extract(first["f"]).text == "def f():\n    return 1\n"
    for body in ("return 22", "return 3"):
        second = load(tmp_path / "dag.py", f"\ndef f():\n    {body}\n")
        assert extract(second["f"]).text == f"def f():\n    {body}\n"
        assert extract(first["f"]).text == "def f():\n    return 1\n"


def test_what_was_loaded_travels_where_pythons_line_cache_still_has_it(tmp_path: Path) -> None:
    names = load(tmp_path / "dag.py", "def f():\n    return 1\n")
    linecache.getlines(str(tmp_path / "dag.py"))
    (tmp_path / "dag.py").write_text("def f():\n    return 22\n")
    assert extract(names["f"]).text == "def f():\n    return 1\n"


def test_another_part_of_the_file_may_change(tmp_path: Path) -> None:
    names = load(tmp_path / "dag.py", "def f():\n    return 1\n\nLIMIT = 1\n")
    (tmp_path / "dag.py").write_text("def f():\n    return 1\n\nLIMIT = 22\n")
    assert extract(names["f"]).name == "f"


def generator() -> Any:
    yield 1


async def async_generator() -> Any:
    yield 1


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: 1, "<lambda>: a lambda has no source of its own. Write it as a function with `def`."),
        (len, "len is built in, so it has no source. Write a function that calls it."),
        (Model, "Model is a class. Write a function that makes and uses it, with the class inside."),
        (Model().method, "Model.method is a method, and its object does not travel. Write a function that takes what"),
        (functools.partial(helper), "a partial has no source of its own. Pass the function and its arguments."),
        (generator, "generator is a generator, which would not run before it is read. Return a list."),
        (async_generator, "async_generator is a generator, which would not run before it is read. Return a list."),
        (type("Callable", (), {"__call__": helper})(), "Callable is a Callable, no function. Write a function that"),
    ],
)
def test_what_is_no_function_with_a_source_is_refused(function: Any, message: str) -> None:
    with pytest.raises(SourceError) as caught:
        extract(function)
    assert message in str(caught.value)


def test_each_kind_of_name_that_is_missing_has_its_remedy() -> None:
    offset = 5

    def needy(rows: Any) -> Any:
        Model()
        NOWHERE.x()  # type: ignore[name-defined]  # noqa: F821
        return (
            js.loads(rows) + sqrt(THRESHOLD) + helper() + offset + math.pi + os.path.sep + Decimal(1) + dt.date(1, 1, 1)
        )

    assert missing(needy) == (
        "'Decimal' (import it inside the function: `from decimal import Decimal`); "
        "'Model' (define it inside the function, or put it into a package of the environment); "
        "'NOWHERE' (it is not defined; import or define it inside the function); "
        "'THRESHOLD' (pass it as an argument); "
        "'dt' (import it inside the function: `import datetime as dt`); "
        "'helper' (define it inside the function, or put it into a package of the environment); "
        "'js' (import it inside the function: `import json as js`); "
        "'math' (import it inside the function: `import math`); "
        "'offset' (pass it as an argument); "
        "'os' (import it inside the function: `import os`); "
        "'sqrt' (import it inside the function: `from math import sqrt`)."
    )


def test_names_in_nested_functions_classes_comprehensions_and_defaults_count() -> None:
    def nested(x: Any = THRESHOLD) -> Any:
        class Inner:
            y = math.pi

            def method(self) -> Any:
                return [sqrt(z) for z in range(js.loads("3"))]

        return lambda: helper() or Inner

    assert [name.split("'")[1] for name in missing(nested).split("; ")] == ["THRESHOLD", "helper", "js", "math", "sqrt"]


def test_names_in_every_f_string_count_even_where_python_3_11_cannot_write_it_back(tmp_path: Path) -> None:
    text = "def f(x):\n    return f\"{x!r:>{WIDTH}} {'a\N{ZERO WIDTH SPACE}b' + FIRST} {'é'.join(x)}\"\n"
    assert missing(load(tmp_path / "dag.py", text)["f"]) == (
        "'FIRST' (it is not defined; import or define it inside the function); "
        "'WIDTH' (it is not defined; import or define it inside the function)."
    )


def test_a_closure_that_the_function_changes_is_missing_too() -> None:
    count = 0

    def counter() -> Any:
        nonlocal count
        count += 1
        return count

    assert missing(counter) == "'count' (pass it as an argument)."


def test_what_it_carries_and_what_is_never_evaluated_is_not_missing() -> None:
    def complete(x: Unknown, *rest: Unknown, **more: Model) -> dt.date:  # type: ignore[name-defined]  # noqa: F821
        import math
        import os.path

        global total
        total = len(rest)  # type: ignore[name-defined]
        y: Unknown = 1  # type: ignore[name-defined]  # noqa: F821
        z: Model  # noqa: F842

        def inner(a: int) -> int:
            nonlocal y
            y += a
            return complete if a else total  # type: ignore[name-defined, return-value]

        class Point:
            x: int

            def __init__(self) -> None:
                super().__init__()
                self.__hidden: Unknown = __name__  # type: ignore[name-defined]  # noqa: F821

        try:
            return [inner(k) for k in range(3) if (w := k)], w, math, os.path, Point  # type: ignore[return-value]
        except (ValueError, OSError) as error:
            print(error)
            raise

    assert extract(complete).name == "complete"


ANNOTATED = """\
Outer = int

def f(x: Outer) -> Outer:
    class Row:
        names: Field = []
    def inner(a: Given = 1, *b: Rest, **c: More) -> Back:
        local: Local = 1
    return inner
"""


def test_annotations_inside_the_function_are_evaluated_as_in_plain_python(tmp_path: Path) -> None:
    assert [name.split("'")[1] for name in missing(load(tmp_path / "dag.py", ANNOTATED)["f"]).split("; ")] == [
        "Back", "Field", "Given", "More", "Rest",
    ]  # fmt: skip


def test_no_annotation_is_evaluated_where_the_file_postpones_them(tmp_path: Path) -> None:
    names = load(tmp_path / "dag.py", f"from __future__ import annotations\n{ANNOTATED}")
    assert extract(names["f"]).postponed


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters came with Python 3.12")
def test_type_parameters_are_names_of_the_function(tmp_path: Path) -> None:
    names = load(tmp_path / "dag.py", "def f[T](x: T) -> T:\n    type Pair = tuple[T, T]\n    return x\n")
    assert extract(names["f"]).name == "f"


def takes(a: Any, /, b: Any, *rest: Any, ds: Any = None, params: Any = None, **more: Any) -> None: ...


def arguments(call: Call) -> tuple[list[Any], dict[str, Any]]:
    back = Call.from_env(call.to_env())
    return back.args, back.kwargs


CONTEXT = {"ds": "2024-07-01", "params": {"x": 1}, "run_id": "r", "ti": object(), "more": 1, "b": 9}


def test_context_values_that_the_signature_names_come_along() -> None:
    assert arguments(build_call(takes, [1, 2, 3], {"z": 4}, CONTEXT)) == (
        [1, 2, 3],
        {"ds": "2024-07-01", "params": {"x": 1}, "z": 4},
    )


def test_what_the_caller_passes_goes_before_the_context() -> None:
    assert arguments(build_call(takes, [1], {"b": 2, "ds": "mine", "params": None}, CONTEXT)) == (
        [1, 2],
        {"ds": "mine", "params": None},
    )


def test_without_a_context_the_defaults_hold() -> None:
    assert arguments(build_call(takes, [1, 2], {})) == ([1, 2], {})


def test_a_context_value_fills_an_argument_without_default() -> None:
    def needs(run_id: str, rows: list[int]) -> None: ...

    assert arguments(build_call(needs, [], {"rows": [1]}, CONTEXT)) == (["r", [1]], {})


def test_a_context_value_that_cannot_travel_is_refused_by_name() -> None:
    def needs(ti: Any) -> None: ...

    with pytest.raises(CallError) as caught:
        build_call(needs, [], {}, CONTEXT)
    assert str(caught.value) == (
        f"{__file__}:{needs.__code__.co_firstlineno}: needs: the context value 'ti' cannot travel to another "
        "environment. Name `ds`, `run_id`, `params`, `logical_date` … instead, pass what you need of it as an "
        "argument, or give the parameter another name."
    )


def test_a_part_of_a_context_value_that_cannot_travel_is_refused_by_path() -> None:
    def needs(params: Any) -> None: ...

    with pytest.raises(CallError, match=r"needs: the argument params\['f'\]: a function cannot travel: "):
        build_call(needs, [], {}, {"params": {"f": helper}})


def test_arguments_that_do_not_fit_are_refused_as_python_says() -> None:
    def two(a: int, b: int) -> None: ...

    where = f"{__file__}:{two.__code__.co_firstlineno}: two"
    with pytest.raises(CallError) as caught:
        build_call(two, [1], {})
    assert str(caught.value) == f"{where} cannot be called with these arguments: missing a required argument: 'b'."
    with pytest.raises(CallError, match="too many positional arguments"):
        build_call(two, [1, 2, 3], {})
    with pytest.raises(CallError, match="got an unexpected keyword argument 'c'"):
        build_call(two, [1, 2], {"c": 3})


@pytest.mark.parametrize(
    ("args", "kwargs", "path"),
    [
        ([helper, 1], {}, "a: a function"),
        ([1], {"b": {"x": [helper]}}, r"b\['x'\]\[0\]: a function"),
        ([1, 2, 3, helper], {}, r"rest\[1\]: a function"),
        ([1, 2], {"z": math}, "z: a module"),
    ],
)
def test_an_argument_that_cannot_travel_is_refused_by_its_name(
    args: list[Any], kwargs: dict[str, Any], path: str
) -> None:
    with pytest.raises(CallError, match=f"takes: the argument {path} cannot travel: .*"):
        build_call(takes, args, kwargs)


def test_a_call_that_is_too_large_is_refused_before_anything_starts() -> None:
    with pytest.raises(CallError) as caught:
        build_call(takes, [random.Random(1).randbytes(700_000), 2], {})
    assert str(caught.value).endswith(
        "takes: the call to takes is 921 KiB compressed, a call holds at most 768 KiB: "
        "write the data to storage and pass its path."
    )


def test_an_async_function_travels_like_any_other() -> None:
    async def later(x: int) -> int:
        return x

    assert asyncio.run(later(1)) == 1
    assert extract(later).text.startswith("    async def later(x: int)")


def test_five_hundred_functions_of_one_file_take_no_longer_than_their_number(tmp_path: Path) -> None:
    names = load(tmp_path / "dag.py", "".join(f"def f{number}(x):\n    return x\n\n" for number in range(500)))
    started = dt.datetime.now()
    for number in range(500):
        extract(names[f"f{number}"])
    assert dt.datetime.now() - started < dt.timedelta(seconds=3)
