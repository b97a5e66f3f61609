"""`podenv.catalogue.values` reads and merges values files as helm does: real helm prints what it has read."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.chart.helm import Helm

from podenv.catalogue import values
from podenv.errors import ProgramFailed, ValuesError

# fmt: off
NASTY = [
    "1e3", "12:30:45", "2001-12-14", "2001-12-14t21:59:43.10-05:00", "010", "0o10", "0x1F", "0b101", "1_000",
    "1__0", "_1", "1_", "+1", "-1", "+.5", ".5", "5.", ".", ".e3", "1.5e+3", "1e400", "-0", "-0.0", "0", "00",
    "08", "y", "Y", "yes", "Yes", "YES", "yEs", "n", "N", "no", "on", "On", "off", "OFF", "true", "True", "tRUE",
    "false", "~", "null", "Null", "nULL", "9223372036854775807", "9223372036854775808", "18446744073709551615",
    "18446744073709551616", "-9223372036854775808", "-9223372036854775809", "1e-7", "0.1", "1.0",
    "123456789012345678901234567890", "1.2.3", "v1", "=", "3.10", "1,000", "0x", "0b2", "0xg", "1e", "1e+", "e5",
    "<<", "é", "日本", "500m", "2Gi", "+y", "-n", "0x_1", "0b_1", "0_1", "1_.5",
    "0O0", "0O17", "0O8", "0X1f", "0B11", "-0O7", "+0B1", "0b-1", "0o-7", "0o+7", "-0o-7", "-0b-1", "+0o-7", "0x-1",
    "0B-1", "-0X1F", "0b-0x1", "0o_7", "0b-2", "0o--7",
]
UNREADABLE = [".inf", "-.INF", ".nan", "{a: 1", "[", "'a", "@x", "%x", "a: b: c", "\t- x", "{null: 1}", "{~: 1}"]
# fmt: on

# Plain scalars of the characters that numbers, dates and words are made of.
plain = st.text("0123456789+-._eExXoObBnNaAiIfFtTyY~", min_size=1, max_size=8).filter(lambda one: one not in "-~" * 9)
scalar = st.sampled_from(NASTY) | plain | st.text(max_size=5).map(json.dumps).filter(lambda one: "\\ud" not in one)
key = st.sampled_from(["a", "b", "c", "1", "1.5", "y", "null", "'null'", '"y"', "0x10", "1e3"])
trees = st.recursive(
    scalar,
    lambda inner: (
        st.dictionaries(key, inner, max_size=3).map(
            lambda tree: "{" + ", ".join(f"{one}: {below}" for one, below in tree.items()) + "}"
        )
        | st.lists(inner, max_size=2).map(lambda items: f"[{', '.join(items)}]")
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def printing_chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    chart = tmp_path_factory.mktemp("printing") / "chart"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: printing\nversion: 0.1.0\n")
    (chart / "templates" / "values.yaml").write_text("# {{ toJson .Values | b64enc }}\n")
    return chart


def read_by_helm(helm: Helm, chart: Path, *files: Path) -> Any:
    options = [word for file in files for word in ("--values", file)]
    rendered = helm.run("template", "x", chart, *options)
    return json.loads(b64decode(rendered.rpartition("# ")[2]))


def read_by_podenv(*files: Path) -> Any:
    tree: dict[str, Any] = {}
    for file in files:
        tree = values.merge(tree, values.read(file))
    return tree


def typed(tree: Any) -> Any:
    """The tree with each scalar's type beside it: True is not 1; JSON does not tell 1.0 from 1."""
    if isinstance(tree, dict):
        return {one: typed(below) for one, below in tree.items()}
    if isinstance(tree, list):
        return [typed(one) for one in tree]
    if isinstance(tree, int | float) and not isinstance(tree, bool):
        return ("number", float(tree))
    return (type(tree).__name__, tree)


def write(folder: Path, name: str, texts: list[str]) -> Path:
    """One values file of many cases."""
    file = folder / f"{name}.yaml"
    file.write_text("".join(f"case{index}: {text}\n" for index, text in enumerate(texts)), encoding="utf-8")
    values._read.cache_clear()  # the files are rewritten within the clock's resolution
    return file


def is_read(folder: Path, text: str) -> bool:
    try:
        values.read(write(folder, "probe", [text]))
    except ValuesError:
        return False
    return True


def test_nasty_scalars_are_read_as_helm_reads_them(any_helm: Helm, printing_chart: Path, tmp_path: Path) -> None:
    file = write(tmp_path, "nasty", NASTY)
    assert typed(read_by_podenv(file)) == typed(read_by_helm(any_helm, printing_chart, file))


@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@given(cases=st.lists(st.tuples(trees, trees), min_size=20, max_size=40))
def test_two_files_merge_as_helm_merges_them(
    helm: Helm, printing_chart: Path, tmp_path_factory: pytest.TempPathFactory, cases: list[tuple[str, str]]
) -> None:
    folder = printing_chart.parent
    cases = [case for case in cases if all(is_read(folder, text) for text in case)]
    files = [write(folder, name, [case[index] for case in cases]) for index, name in enumerate(("first", "second"))]
    assert typed(read_by_podenv(*files)) == typed(read_by_helm(helm, printing_chart, *files))


values_of_any_kind = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9).map(lambda one: round(one, 3))
    | st.sampled_from(NASTY + UNREADABLE) | plain | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8),
    lambda inner: st.dictionaries(plain, inner, max_size=3) | st.lists(inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@given(cases=st.lists(values_of_any_kind, min_size=20, max_size=40))
def test_what_podenv_writes_helm_and_podenv_read_as_it_was(helm: Helm, printing_chart: Path, cases: list[Any]) -> None:
    tree = {f"case{index}": case for index, case in enumerate([*cases, *NASTY, *UNREADABLE])}
    file = printing_chart.parent / "written.yaml"
    file.write_text(values.dump(tree), encoding="utf-8")
    values._read.cache_clear()
    assert typed(read_by_podenv(file)) == typed(tree)
    assert typed(read_by_helm(helm, printing_chart, file)) == typed(tree)


@pytest.mark.parametrize("text", UNREADABLE)
def test_what_helm_cannot_read_podenv_refuses(helm: Helm, printing_chart: Path, tmp_path: Path, text: str) -> None:
    file = write(tmp_path, "wrong", [text])
    with pytest.raises(ValuesError):
        values.read(file)
    with pytest.raises(ProgramFailed):
        read_by_helm(helm, printing_chart, file)
