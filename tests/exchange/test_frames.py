"""Frames of every kind of column: what comes back from Parquet is what was written, in pandas and in polars."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podenv.runtime import tables
from podenv.runtime.tagged import Refused

MOMENTS = st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2200, 1, 1))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
AMOUNTS = st.decimals(-(10**6), 10**6, places=2, allow_nan=False)
SPANS = st.timedeltas(dt.timedelta(-10_000), dt.timedelta(10_000))
INTEGERS = st.integers(-(2**63), 2**63 - 1)


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


# Of each kind of column the values, and what makes a pandas column of them.
COLUMNS: dict[str, tuple[st.SearchStrategy[Any], Any]] = {
    "int64": (INTEGERS, lambda values: pd.Series(values, dtype="int64")),
    "float64": (st.floats(), lambda values: pd.Series(values, dtype="float64")),
    "bool": (st.booleans(), lambda values: pd.Series(values, dtype="bool")),
    "Int64": (maybe(INTEGERS), lambda values: pd.Series(values, dtype="Int64")),
    "boolean": (maybe(st.booleans()), lambda values: pd.Series(values, dtype="boolean")),
    "string": (maybe(TEXTS), lambda values: pd.Series(values, dtype="string")),
    "text": (maybe(TEXTS), lambda values: pd.Series(values, dtype="str")),
    "bytes": (maybe(st.binary(max_size=8)), lambda values: pd.Series(values, dtype=object)),
    "decimal": (maybe(AMOUNTS), lambda values: pd.Series(values, dtype=object)),
    "date": (maybe(st.dates()), lambda values: pd.Series(values, dtype=object)),
    "moment": (maybe(MOMENTS), lambda values: pd.Series(values, dtype="datetime64[us]")),
    "zoned": (maybe(MOMENTS), lambda values: pd.Series(values, dtype="datetime64[us]").dt.tz_localize("UTC")),
    "span": (maybe(SPANS), lambda values: pd.Series(values, dtype="timedelta64[us]")),
    "category": (maybe(st.sampled_from("abc")), lambda values: pd.Series(pd.Categorical(values, list("cxab")))),
    "lists": (st.lists(INTEGERS, max_size=3), lambda values: pd.Series(values, dtype=object)),
}


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    rows = draw(st.integers(1, 5))
    made = pd.DataFrame(index=pd.RangeIndex(rows))
    for name in draw(st.lists(TEXTS, min_size=1, max_size=5, unique=True)):
        values, column = draw(st.sampled_from(list(COLUMNS.values())))
        made[name] = column(draw(st.lists(values, min_size=rows, max_size=rows)))
    if draw(st.booleans()):
        made.index = pd.Index(draw(st.lists(INTEGERS, min_size=rows, max_size=rows)), name="the index")
    return made


def through(value: Any, library: str) -> Any:
    kind = tables.kind_of(value)
    assert kind is not None
    with TemporaryDirectory() as folder:
        path = str(Path(folder, "0"))
        written = tables.write(value, kind, path)
        assert written.rows == len(value)
        return tables.read(path, library)


@settings(max_examples=150)
@given(frames())
def test_a_frame_comes_back_to_pandas_as_it_was(frame: pd.DataFrame) -> None:
    came = through(frame, "pandas")
    for name in frame.columns:  # what was a list comes as an array
        if frame[name].map(type).eq(list).any():
            came[name] = pd.Series([list(one) for one in came[name]], index=came.index, dtype=object)
    pd.testing.assert_frame_equal(came, frame, check_freq=False)


@settings(max_examples=150)
@given(frames())
def test_polars_gets_the_same_values(frame: pd.DataFrame) -> None:
    came = through(frame, "polars")
    assert came.height == len(frame) or not len(frame.columns)
    for name in frame.columns:
        expected = [None if one is None or one is pd.NaT or one is pd.NA else one for one in frame[name].tolist()]
        assert [same(one) for one in came[name].to_list()] == [same(one) for one in expected]


def same(value: Any) -> Any:
    """Values that compare as equal where they are: NaN, and what a missing text or category is in pandas."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime(warn=False)
    return value.to_pytimedelta() if isinstance(value, pd.Timedelta) else value


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_frames_without_rows_or_without_columns_come_back(library: str) -> None:
    came = through(pd.DataFrame({"a": pd.Series([], dtype="Int64"), "s": pd.Series([], dtype=object)}), library)
    assert (len(came), list(came.column_names if library == "pyarrow" else came.columns)) == (0, ["a", "s"])
    assert len(through(pd.DataFrame(), library)) == 0


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_a_path_that_looks_like_a_pattern_or_a_partition_is_a_path(library: str, tmp_path: Path) -> None:
    folder = tmp_path / "year=2024" / "[a]*"
    folder.mkdir(parents=True)
    tables.write(pd.DataFrame({"n": [1]}), "pandas.DataFrame", str(folder / "0"))
    came = tables.read(str(folder / "0"), library)
    assert list(came.column_names if library == "pyarrow" else came.columns) == ["n"]


def test_polars_types_come_back_and_to_pandas() -> None:
    frame = pl.DataFrame(
        {
            "count": pl.Series([1, None], dtype=pl.UInt8),
            "kind": pl.Series(["x", None], dtype=pl.Categorical),
            "level": pl.Series(["low", "high"], dtype=pl.Enum(["low", "high"])),
            "when": pl.Series([dt.datetime(2024, 1, 1), None], dtype=pl.Datetime("ms", "Europe/Paris")),
            "time": [dt.time(1, 2), None],
            "day": [dt.date(2024, 1, 1), None],
            "amount": pl.Series([Decimal("1.50"), None], dtype=pl.Decimal(10, 2)),
            "nested": [{"a": [1, 2], "b": None}, {"a": [], "b": "x"}],
            "nothing": pl.Series([None, None], dtype=pl.Null),
        }
    )
    came = through(frame, "polars")
    assert came.schema == frame.schema
    assert came.equals(frame)
    there = through(frame, "pandas")
    assert there["kind"].tolist()[0] == "x"
    assert list(there["level"].cat.categories) == ["low", "high"]
    assert there["when"].iloc[0] == pd.Timestamp("2024-01-01", tz="UTC").tz_convert("Europe/Paris")
    assert there["amount"].iloc[0] == Decimal("1.50")


def test_arrow_tables_and_streams_come_back() -> None:
    table = pa.table({"a": pa.array([1, None]), "s": pa.array(["x", "y"]).dictionary_encode()})
    assert through(table, "pyarrow").equals(table)

    class Stream:
        """What any library may have that makes tables."""

        def __len__(self) -> int:
            return 2

        def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
            return table.__arrow_c_stream__(requested_schema)

    assert tables.kind_of(Stream()) == "arrow"
    assert through(Stream(), "pyarrow").equals(table)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]), "two columns are named 'a': rename one of them"),
        (pl.DataFrame({"a": pl.Series([object()], dtype=pl.Object)}), "this polars.DataFrame cannot be written"),
        (pd.DataFrame({"a": [{"x": 1}, {"y": 1}]}), "the column 'a' holds dicts of different keys"),
        (pd.DataFrame({"a": [{1, 2}]}), "the column 'a' holds objects of type set"),
        (pd.DataFrame({"a": [1]}, index=pd.Index(["x"], name=3)), "the index name 3 is not a text"),
        (pd.DataFrame({"a": pd.Categorical([], categories=["x"])}), "the column 'a' has categories and no rows"),
        (pd.DataFrame(index=pd.RangeIndex(3)), "the frame has rows and no columns"),
        (pd.DataFrame({"a": [1 + 2j]}), "this pandas.DataFrame cannot be written as Parquet: .*column a"),
    ],
)  # fmt: skip
def test_what_parquet_would_not_keep_is_refused(value: Any, why: str, tmp_path: Path) -> None:
    kind = tables.kind_of(value)
    assert kind is not None
    with pytest.raises(Refused, match=why):
        tables.write(value, kind, str(tmp_path / "0"))
