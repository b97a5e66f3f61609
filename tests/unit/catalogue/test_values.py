"""The values of a file are those that Helm reads from it (seen with Helm 4.1.4)."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podenv.catalogue import values
from podenv.errors import ValuesError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def read(tmp_path: Path, text: str) -> dict[str, Any]:
    file = tmp_path / "values.yaml"
    file.write_text(text, encoding="utf-8")
    return values.read(file)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e3", 1000),
        ("12:30:45", "12:30:45"),
        ("2020-01-01", "2020-01-01"),
        ("2001-12-14t21:59:43.10-05:00", "2001-12-14t21:59:43.10-05:00"),
        ("yes", True),
        ("y", True),
        ("N", False),
        ("OFF", False),
        ("TRUE", True),
        ("tRue", "tRue"),
        ('"1"', "1"),
        ("!!str 1", "1"),
        ("010", 8),
        ("0o10", 8),
        ("0o8", "0o8"),
        ("08", 8),
        ("0x1F", 31),
        ("0b11", 3),
        ("1_000", 1000),
        ("_1", "_1"),
        ("+1", 1),
        ("-.5", -0.5),
        ("1.", 1),
        ("3.10", 3.1),
        ("~", None),
        ("", None),
        ('""', ""),
        ("nULL", "nULL"),
        ("1e400", "1e400"),
        ("=", "="),
        ("0x", "0x"),
        ("123456789012345678901234567890", 1.2345678901234568e29),
    ],
)
def test_a_scalar_is_read_as_helm_reads_it(tmp_path: Path, text: str, value: object) -> None:
    found = read(tmp_path, f"key: {text}\n")["key"]
    assert found == value
    assert isinstance(found, bool) == isinstance(value, bool)


def test_keys_are_texts_as_in_json(tmp_path: Path) -> None:
    assert read(tmp_path, "1: a\ntrue: b\n1.5: c\n") == {"1": "a", "true": "b", "1.5": "c"}


def test_anchors_and_merge_keys_work(tmp_path: Path) -> None:
    text = "base: &base {a: 1, b: 1}\nover: {<<: *base, b: 2}\n"
    assert read(tmp_path, text)["over"] == {"a": 1, "b": 2}


def test_an_empty_file_holds_no_values(tmp_path: Path) -> None:
    assert read(tmp_path, "# nothing yet\n") == {}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3, column 1: the key 'a' stands here twice"),
        ("a: [1\n", "line 2, column 1: did not find expected ',' or ']'"),
        ("a: .inf\n", "line 1, column 4: .inf is not a number that Helm can pass on"),
        ("- 1\n", "it must be a map of keys to values"),
        ("a: 1\n---\nb: 2\n", "line 2, column 1: but found another document"),
        ("a: !!python/object:os.system x\n", "line 1, column 4: could not determine a constructor"),
        ("a: " + "[" * 5000 + "]" * 5000, "it is nested too deep; lay it out flatter."),
        ("? [a]\n: 2\n", "line 1, column 3: a key must be a plain text"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ValuesError) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'values.yaml'}: {why}")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_bytes(b"a: \xff\n")
    with pytest.raises(ValuesError, match="it is not YAML text"):
        values.read(file)


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    assert read(tmp_path, "a: 1\n") == {"a": 1}
    assert read(tmp_path, "a: 20\n") == {"a": 20}


def test_maps_merge_lists_are_replaced_and_a_null_stays() -> None:
    base = {"map": {"a": 1, "b": 2}, "list": [1, 2], "gone": {"x": 1}, "kept": 1}
    over = {"map": {"b": 3, "c": 4}, "list": [3], "gone": None}
    assert values.merge(base, over) == {"map": {"a": 1, "b": 3, "c": 4}, "list": [3], "gone": None, "kept": 1}
    assert base == {"map": {"a": 1, "b": 2}, "list": [1, 2], "gone": {"x": 1}, "kept": 1}


@given(st.dictionaries(st.text(max_size=3), JSON), st.dictionaries(st.text(max_size=3), JSON))
def test_merging_twice_changes_nothing(base: dict[str, Any], over: dict[str, Any]) -> None:
    once = values.merge(base, over)
    assert values.merge(once, over) == once
    assert set(once) == set(base) | set(over)
