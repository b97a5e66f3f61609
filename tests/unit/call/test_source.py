"""From a function to a Call: what is refused, the text it was loaded from, and what its arguments become."""

from __future__ import annotations

import asyncio
import functools
import linecache
import math
import random
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from podenv.call.source import build_call, extract
from podenv.errors import CallError, SourceChanged, SourceError
from podenv.runtime.call import Call
from podenv.runtime.load import texts


def helper() -> int:
    return 1


class Model:
    def method(self) -> None: ...


def load(path: Path, text: str) -> dict[str, Any]:
    """The names of a DAG file with this text."""
    path.write_text(textwrap.dedent(text))
    namespace: dict[str, Any] = {"__name__": path.stem, "__file__": str(path)}
    exec(compile(path.read_text(), str(path), "exec", dont_inherit=True), namespace)
    return namespace


def text_of(function: Callable[..., Any]) -> str:
    """What travels, without the lines before it."""
    (text,) = texts(extract(function).code).values()
    return text.lstrip("\n")


def test_text_and_place_stay_as_they_are() -> None:
    def keep(x: int = 1, *, y: str = "é") -> str:
        # a comment
        return f"""{x}
# no comment
    {y}"""

    source = extract(keep)
    assert text_of(keep) == (
        '    def keep(x: int = 1, *, y: str = "é") -> str:\n'
        "        # a comment\n"
        '        return f"""{x}\n'
        "# no comment\n"
        '    {y}"""\n'
    )
    assert (source.name, source.code.filename) == ("keep", __file__)
    assert linecache.getline(__file__, source.code.line).strip().startswith("def keep(")


def test_tabs_and_a_file_without_a_last_newline(tmp_path: Path) -> None:
    file = tmp_path / "dag.py"
    file.write_text("if True:\n\tdef f():\n\t\treturn 1")
    namespace: dict[str, Any] = {}
    exec(compile(file.read_text(), str(file), "exec"), namespace)
    assert text_of(namespace["f"]).rstrip("\n") == "\tdef f():\n\t\treturn 1"


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
    assert [text_of(names[name]).strip() for name in ("first", "f", "third")] == [
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
    assert text_of(namespace["cell"]) == text


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
    assert text_of(first["f"]) == "def f():\n    return 1\n"
    for body in ("return 22", "return 3"):
        second = load(tmp_path / "dag.py", f"\ndef f():\n    {body}\n")
        assert text_of(second["f"]) == f"def f():\n    {body}\n"
        assert text_of(first["f"]) == "def f():\n    return 1\n"


def test_what_was_loaded_travels_where_pythons_line_cache_still_has_it(tmp_path: Path) -> None:
    names = load(tmp_path / "dag.py", "def f():\n    return 1\n")
    linecache.getlines(str(tmp_path / "dag.py"))
    (tmp_path / "dag.py").write_text("def f():\n    return 22\n")
    assert text_of(names["f"]) == "def f():\n    return 1\n"


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
        (Model, "Model is a class. Write a function that makes and uses it."),
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
    assert text_of(later).startswith("    async def later(x: int)")


def test_five_hundred_functions_of_one_file_take_no_longer_than_their_number(tmp_path: Path) -> None:
    names = load(tmp_path / "dag.py", "".join(f"def f{number}(x):\n    return x\n\n" for number in range(500)))
    began = time.process_time()
    for number in range(500):
        extract(names[f"f{number}"])
    assert time.process_time() - began < 3
