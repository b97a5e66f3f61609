"""The syntax trees that podenv reads."""

from __future__ import annotations

import ast
import gc
import re
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

import podenv
from podenv.call.tree import syntax_tree

SOURCE = Path(podenv.__file__).parent
TEXT = "\n".join(f"def f{n}(a, b={n}):\n    return [x for x in range(a) if x % (b + {n})]" for n in range(50))


@pytest.fixture
def threads_take_turns() -> Iterator[None]:
    """Collecting garbage lets another thread go on in the middle of what is made of C alone."""

    def pause(phase: str, info: dict[str, int]) -> None:
        time.sleep(0.0001)

    before = gc.get_threshold()
    gc.callbacks.append(pause)
    gc.set_threshold(50, 5, 5)
    yield
    gc.set_threshold(*before)
    gc.callbacks.remove(pause)


@pytest.mark.usefixtures("threads_take_turns")
def test_threads_read_texts_at_once() -> None:
    trees: list[ast.Module] = []
    failures: list[SystemError] = []

    def read() -> None:
        try:
            trees.extend(syntax_tree(TEXT) for _ in range(15))
        except SystemError as error:
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (failures, len(trees)) == ([], 60)


def test_one_place_reads_texts() -> None:
    own = re.compile(r"\bast\.parse\(|warnings\.catch_warnings\(")
    assert [str(file.relative_to(SOURCE)) for file in sorted(SOURCE.rglob("*.py")) if own.search(file.read_text())] == [
        "call/tree.py"
    ]


def test_a_text_that_python_warns_of_is_read_in_silence() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ast.unparse(syntax_tree(r"a = '\d' is 1")) == r"a = '\\d' is 1"
