"""Which Python a function is written for, by the interpreter that these tests run on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from tests.syntaxcorpus import CORPUS

from podenv.call.source import check_syntax, extract
from podenv.call.syntax import newest
from podenv.errors import SourceError

HOST = sys.version_info[1]


@pytest.mark.parametrize(("least", "text"), CORPUS)
def test_syntax_is_refused_below_the_python_that_brought_it_and_nowhere_else(least: int, text: str) -> None:
    if least > HOST:
        pytest.skip(f"needs Python 3.{least}: an older one cannot load it")
    refused = [minor for minor in range(8, 16) if newest(text, (3, minor))]
    assert refused == list(range(8, least))


@pytest.mark.parametrize(
    ("body", "python", "line", "why"),
    [
        (
            "match x:\n        case 1: return 2",
            "3.9",
            5,
            "Pattern matching is only supported in Python 3.10 and greater",
        ),
        ("return 1\n    x[*x]", "3.10", 5, "A star in an index is only supported in Python 3.11 and greater"),
    ],
)
def test_syntax_newer_than_the_environments_python_is_named_with_its_line(
    body: str, python: str, line: int, why: str, tmp_path: Path
) -> None:
    file = tmp_path / "dag.py"
    file.write_text(f"if True:\n  @staticmethod\n  def f(x):\n    {body}\n")
    namespace: dict[str, Any] = {}
    exec(compile(file.read_text(), str(file), "exec"), namespace)
    source = extract(namespace["f"].__func__)
    check_syntax(source, python="3.11")
    with pytest.raises(SourceError) as caught:
        check_syntax(source, python=python)
    assert str(caught.value) == (
        f"{file}:{line}: f is written for a newer Python than the environment's {python}: {why}. Write it as Python "
        f"{python} reads it, or raise the environment's `python`."
    )
