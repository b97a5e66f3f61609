"""Values from one environment to another on the local backend: what comes, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.exchange.conftest import Tasks

import podenv
from podenv.errors import ExchangeRefused, PodenvError, ResultRefused, StorageError
from podenv.exchange.calls import Exchange, plain_store
from podenv.exchange.keys import Place
from podenv.runtime.reference import Reference

if TYPE_CHECKING:
    import pandas
    import pandas as pd
    import polars as pl
    import pyarrow


def frame(rows: int = 3) -> Any:
    import pandas as pd

    whole = pd.DataFrame(
        {
            "count": [1, 2, 3],
            "kind": pd.Categorical(["b", None, "a"], categories=["z", "b", "a"], ordered=True),
            "maybe": pd.array([1, None, 3], dtype="Int64"),
            "when": pd.date_range("2024-03-30", periods=3, tz="Europe/Paris"),
            "tags": [["x"], [], ["y", "z"]],
        },
        index=pd.MultiIndex.from_tuples([(1, "a"), (1, "b"), (2, "a")], names=["day", "shop"]),
    )
    return whole.iloc[:rows]


def doubled(function: Any) -> Any:
    import functools

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        number, library = function(*args, **kwargs)
        return [2 * number, library]

    return wrapper


@doubled
def twice_over(table: "pl.DataFrame") -> Any:  # noqa: UP037
    return [table["a"][0], type(table).__module__]


def as_pandas(table: Any) -> Any:
    return [
        {name: str(kind) for name, kind in table.dtypes.items()},
        list(table.index.names),
        [list(one) for one in table.index],
        list(table["kind"].cat.categories),
        table["when"].iloc[-1].isoformat(),
        [list(one) for one in table["tags"]],
    ]


def test_a_data_frame_comes_to_another_python_as_the_library_that_its_parameter_names(tasks: Tasks) -> None:
    def as_polars(table: "pl.DataFrame") -> Any:  # noqa: UP037
        import sys

        return [sys.version_info[1], {name: str(kind) for name, kind in table.schema.items()}, table["shop"].to_list()]

    def as_arrow(table: "pyarrow.Table | None") -> Any:  # noqa: UP037
        assert table is not None
        return [str(type(table)), table.num_rows, table["maybe"].to_pylist()]

    reference = tasks("pandas", frame)
    assert isinstance(reference, Reference)
    assert (reference.kind, reference.rows) == ("pandas.DataFrame", 3)
    assert reference.schema is not None
    assert reference.schema[:3] == [
        ("count", "int64"),
        ("kind", "dictionary<values=string, indices=int32, ordered=1>"),
        ("maybe", "int64"),
    ]
    assert (tasks.store / reference.key).stat().st_size == reference.bytes
    assert tasks("polars", as_polars, reference) == [
        13,
        {
            "count": "Int64", "kind": "Categorical", "maybe": "Int64",
            "when": "Datetime(time_unit='ns', time_zone='Europe/Paris')", "tags": "List(String)", "day": "Int64",
            "shop": "String",
        },
        ["a", "b", "a"],
    ]  # fmt: skip
    assert tasks("arrow", as_arrow, reference) == ["<class 'pyarrow.lib.Table'>", 3, [1, None, 3]]


def test_a_data_frame_keeps_its_index_and_its_types(tasks: Tasks) -> None:
    assert tasks("pandas", as_pandas, tasks("pandas", frame)) == [
        {
            "count": "int64", "kind": "category", "maybe": "Int64", "when": "datetime64[ns, Europe/Paris]",
            "tags": "object",
        },
        ["day", "shop"],
        [[1, "a"], [1, "b"], [2, "a"]],
        ["z", "b", "a"],
        "2024-04-01T00:00:00+02:00",
        [["x"], [], ["y", "z"]],
    ]  # fmt: skip


def test_a_task_of_polars_hands_on_to_pandas_and_to_fastparquet(tasks: Tasks) -> None:
    def make() -> Any:
        import polars as pl

        return pl.DataFrame({"a": [1, None], "s": ["x", "ü"]})

    def read(table: "pandas.DataFrame") -> Any:  # noqa: UP037
        return [table["s"].tolist(), float(table["a"].sum())]

    reference = tasks("polars", make)
    assert reference.kind == "polars.DataFrame"
    assert tasks("pandas", read, reference) == [["x", "ü"], 1.0]
    assert tasks("fastparquet", read, reference) == [["x", "ü"], 1.0]


def test_fastparquet_alone_writes_and_reads_frames(tasks: Tasks) -> None:
    def make() -> Any:
        import pandas as pd

        return pd.DataFrame({"a": [1, 2], "s": ["x", None]}, index=pd.Index([3, 4], name="id"))

    def read(table: Any) -> Any:
        return [table["a"].tolist(), table["s"].tolist(), table.index.tolist(), table.index.name]

    reference = tasks("fastparquet", make)
    assert tasks("fastparquet", read, reference) == [[1, 2], ["x", None], [3, 4], "id"]
    assert tasks("pandas", read, reference) == [[1, 2], ["x", None], [3, 4], "id"]


def test_lists_and_dicts_hold_tables_files_folders_and_bytes(tasks: Tasks) -> None:
    def make() -> Any:
        import pathlib
        import tempfile

        import pandas as pd

        folder = pathlib.Path(tempfile.mkdtemp(), "model")
        (folder / "parts" / "empty").mkdir(parents=True)
        (folder / "weights.bin").write_bytes(b"\x00" * 10)
        (folder / "run").write_text("#!")
        (folder / "run").chmod(0o755)
        one = pd.DataFrame({"a": [1]})
        return {
            "train": [one, one, one + 1], "model": folder, "file": folder / "run", "raw": bytearray([255]), "auc": 0.5,
        }  # fmt: skip

    def read(found: "dict[str, Any]", *, again: "list[pandas.DataFrame]", folder: "Path") -> Any:  # noqa: UP037
        import os

        return [
            [len(one) for one in again],
            {str(one.relative_to(folder)): one.stat().st_size if one.is_file() else None for one in folder.rglob("*")},
            folder.name,
            os.access(folder / "run", os.X_OK),
            [found["file"].name, found["file"].read_text()],
            list(found["raw"]),
            found["auc"],
        ]

    returned = tasks("pandas", make)
    assert returned["train"][0] == returned["train"][1] != returned["train"][2]
    assert {name: getattr(one, "kind", one) for name, one in returned.items() if name != "train"} == {
        "model": "folder", "file": "file", "raw": "bytes", "auc": 0.5,
    }  # fmt: skip
    assert tasks("pandas", read, returned, kwargs={"again": returned["train"], "folder": returned["model"]}) == [
        [1, 1, 1],
        {"parts": None, "parts/empty": None, "weights.bin": 10, "run": 2},
        "model",
        True,
        ["run", "#!"],
        [255],
        0.5,
    ]


def test_a_large_value_goes_to_storage_and_a_small_one_does_not(tasks: Tasks) -> None:
    def large() -> Any:
        return {"rows": [{"number": number, "text": "x" * 20} for number in range(40_000)], "when": 1}

    def small() -> Any:
        return {"a": (1, 2)}

    def length(value: Any) -> Any:
        return [len(value["rows"]), value["rows"][-1]["number"]]

    reference = tasks("old", large)
    assert reference.kind == "json"
    assert tasks("polars", length, reference) == [40_000, 39_999]
    assert tasks("old", small) == {"a": (1, 2)}
    assert len(list(tasks.store.rglob("0"))) == 1


def test_a_set_holds_what_goes_to_storage_too(tasks: Tasks) -> None:
    def parts() -> Any:
        return {b"one", b"two"}

    def read(given: Any) -> Any:
        return sorted(one.decode() for one in given)

    found = tasks("old", parts)
    assert {one.kind for one in found} == {"bytes"}
    kept = Exchange(plain_store(tasks.store.as_uri()), Place("d", "r", "t")).found(found)
    assert {type(one) for one in kept} == {podenv.Reference}
    assert tasks("polars", read, kept) == ["one", "two"]


def test_all_values_go_there_where_that_is_asked_for(tasks: Tasks) -> None:
    def small() -> Any:
        return {"a": (1, 2), "none": None}

    def mixed() -> Any:
        return {"score": 0.5, "raw": b"1"}

    def same(value: Any) -> Any:
        return [value["score"], len(value["raw"])]

    def given(value: Any) -> Any:
        return value

    reference = tasks("old", small, everything=True)
    assert reference.kind == "json"
    assert tasks("old", given, reference) == {"a": (1, 2), "none": None}
    parts = tasks("old", mixed, everything=True)
    assert {name: one.kind for name, one in parts.items()} == {"score": "json", "raw": "bytes"}
    assert tasks("polars", same, parts) == [0.5, 1]


def test_a_task_with_a_ticket_that_needs_none_loads_nothing_for_it(tasks: Tasks) -> None:
    def loaded() -> Any:
        import sys

        return sorted(name.partition(".")[2] for name in sys.modules if name.startswith("_podenv."))

    own = tasks("old", loaded)
    assert not {"exchange", "transfer", "storage", "web", "files", "tables", "annotation", "reference"} & set(own)


def test_the_peak_of_a_task_counts_the_memory_in_which_its_table_is_written(tasks: Tasks) -> None:
    def lazily() -> Any:
        import pyarrow as pa

        class Table:
            def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
                bytearray(b"x") * (200 * 1024**2)
                return pa.table({"a": [1]}).__arrow_c_stream__(requested_schema)

        return Table()

    assert tasks("arrow", lazily).rows == 1
    assert tasks.usage["peak_memory_bytes"] > 200 * 1024**2


def test_annotations_of_every_kind_of_parameter_count(tasks: Tasks) -> None:
    def make() -> Any:
        import polars as pl

        return [pl.DataFrame({"a": [number]}) for number in range(4)]

    def take(
        first: "pandas.DataFrame | pl.DataFrame",  # noqa: UP037
        /,
        second: "DataFrame",  # type: ignore[name-defined]  # noqa: F821, UP037
        *rest: "Any",  # noqa: UP037
        pair: "tuple[pl.DataFrame, Any]",  # noqa: UP037
        **more: "list[pl.DataFrame]",  # noqa: UP037
    ) -> Any:
        every = [first, second, *rest, *pair, *more["x"]]
        return [one["a"][0] if hasattr(one, "columns") else one for one in every]

    one, two, three, four = tasks("polars", make)
    kwargs = {"pair": (four, 1), "x": [one]}
    assert tasks("polars", take, one, two, three, kwargs=kwargs) == [0, 1, 2, 3, 1, 0]


def test_a_function_below_a_decorator_gets_what_it_annotates(tasks: Tasks) -> None:
    def make() -> Any:
        import pandas as pd

        return pd.DataFrame({"a": [1]})

    assert tasks("polars", twice_over, tasks("pandas", make)) == [2, "polars.dataframe.frame"]


# What is refused


def refusal(tasks: Tasks, kind: type[PodenvError], environment: str, function: Callable[..., Any], *args: Any) -> str:
    with pytest.raises(kind) as raised:
        tasks(environment, function, *args)
    assert getattr(raised.value, "retry", None) is False
    return str(raised.value)


def test_an_environment_without_what_writes_parquet_names_the_package(tasks: Tasks) -> None:
    assert refusal(tasks, ResultRefused, "engineless", frame) == (
        "Environment 'engineless': the returned value: pandas needs pyarrow for Parquet: add pyarrow to the "
        "environment."
    )


def test_an_environment_without_the_library_names_what_it_has(tasks: Tasks) -> None:
    def first(table: Any) -> None: ...

    def named(table: "pandas.DataFrame") -> None: ...  # noqa: UP037

    reference = tasks("pandas", frame)
    assert refusal(tasks, ExchangeRefused, "polars", first, reference) == (
        "Environment 'polars': table: a pandas.DataFrame is in storage, and this environment has no pandas: annotate "
        "the parameter with 'polars.DataFrame', or add pandas to it."
    )
    assert refusal(tasks, ExchangeRefused, "polars", named, {"x": [reference]}) == (
        "Environment 'polars': table['x'][0]: a pandas.DataFrame is in storage, and this environment has no pandas: "
        "annotate the parameter with 'polars.DataFrame', or add pandas to it."
    )
    assert refusal(tasks, ExchangeRefused, "polars", named, reference) == (
        "Environment 'polars': table: its annotation names pandas, which this environment has not: add pandas to it."
    )
    assert "add pyarrow to the environment" in refusal(tasks, ExchangeRefused, "engineless", named, reference)
    assert refusal(tasks, ExchangeRefused, "old", first, reference) == (
        "Environment 'old': table: a pandas.DataFrame is in storage, and this environment has no pandas: add pandas to "
        "it."
    )


def test_an_annotation_that_does_not_fit_is_refused(tasks: Tasks) -> None:
    def raw() -> Any:
        return b"1"

    def path(value: "Path") -> None: ...  # noqa: UP037

    def number(value: int) -> None: ...

    def frames(value: "list[pd.DataFrame]") -> None: ...  # noqa: UP037

    reference = tasks("old", raw)
    assert refusal(tasks, ExchangeRefused, "old", path, reference) == (
        "Environment 'old': value: a bytes is in storage, and its annotation names pathlib.Path: annotate bytes."
    )
    table = tasks("pandas", frame)
    assert refusal(tasks, ExchangeRefused, "pandas", number, table) == (
        "Environment 'pandas': value: a pandas.DataFrame is in storage, and its annotation names int: annotate "
        "pandas.DataFrame, polars.DataFrame or pyarrow.Table."
    )
    assert "its annotation names list" in refusal(tasks, ExchangeRefused, "pandas", frames, table)


def odd_columns() -> Any:
    import pandas as pd

    return {"bad": [pd.DataFrame({"a": [1, "x"]})]}


def numbered_columns() -> Any:
    import pandas as pd

    return pd.DataFrame([[1, 2]])


def twice() -> Any:
    import pandas as pd

    return pd.DataFrame([[1, 2]], columns=["a", "a"])


def objects_of_numbers() -> Any:
    import pandas as pd

    return pd.DataFrame({"a": pd.Series([1, None], dtype=object)})


def other_unit() -> Any:
    import pandas as pd

    return pd.DataFrame({"a": pd.date_range("2020", periods=1).astype("datetime64[s]")})


def number_categories() -> Any:
    import pandas as pd

    return pd.DataFrame({"a": pd.Categorical([1])})


def series() -> Any:
    import pandas as pd

    return pd.Series([1])


def sparse() -> Any:
    import pandas as pd

    return pd.DataFrame({"a": pd.arrays.SparseArray([0, 1])})


def subclass() -> Any:
    import pandas as pd

    class Geo(pd.DataFrame):  # type: ignore[misc]
        pass

    return Geo({"a": [1]})


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (odd_columns, "['bad'][0]: the column 'a' holds objects of type int, str: give it one type that Parquet has"),
        (numbered_columns, ": the column name 0 is not a text: set frame.columns to texts"),
        (twice, ": two columns are named 'a': rename one of them"),
        (
            objects_of_numbers,
            ": the column 'a' holds integer values as objects: give it their type, with astype('Int64')",
        ),
        (
            other_unit,
            ": the column 'a' has the type datetime64[s], and Parquet brings datetime64[ms]: return it as that, "
            "frame.astype({'a': 'datetime64[ms]'})",
        ),
        (
            number_categories,
            ": the column 'a' has categories that are no texts, and Parquet keeps none: return it as plain values",
        ),
        (series, ": a pandas.Series is not a table: return series.to_frame()"),
        (
            sparse,
            ": this pandas.DataFrame cannot be written as Parquet: Sparse pandas data (column a) not supported; change "
            "what that names",
        ),
        (subclass, ": a Geo is more than Parquet keeps: return pandas.DataFrame(frame)"),
    ],
)  # fmt: skip
def test_what_parquet_would_change_is_refused_by_name(tasks: Tasks, function: Callable[[], Any], message: str) -> None:
    assert refusal(tasks, ResultRefused, "pandas", function) == f"Environment 'pandas': the returned value{message}."
    assert tasks.kept() == []


def test_a_lazy_frame_is_refused_with_what_to_return(tasks: Tasks) -> None:
    def lazy() -> Any:
        import polars as pl

        return pl.LazyFrame({"a": [1]})

    assert refusal(tasks, ResultRefused, "polars", lazy).endswith("return frame.collect().")


def missing() -> Any:
    import pathlib

    return pathlib.Path("/tmp/no-such-file")


def outside() -> Any:
    import pathlib

    return pathlib.Path("/etc/hostname")


def leads_outside() -> Any:
    import pathlib
    import tempfile

    link = pathlib.Path(tempfile.mkdtemp(), "link")
    link.symlink_to("/etc/hostname")
    return link


def fifo() -> Any:
    import os
    import pathlib
    import tempfile

    path = pathlib.Path(tempfile.mkdtemp(), "fifo")
    os.mkfifo(path)
    return path


def link_inside() -> Any:
    import pathlib
    import tempfile

    folder = pathlib.Path(tempfile.mkdtemp())
    (folder / "link").symlink_to("/etc/hostname")
    return folder


def many_files() -> Any:
    import pathlib
    import tempfile

    folder = pathlib.Path(tempfile.mkdtemp())
    for number in range(10_001):
        (folder / str(number)).touch()
    return folder


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (missing, "/tmp/no-such-file does not exist: return the path of what the function has written"),
        (outside, "/etc/hostname lies outside of the task's folders "),
        (leads_outside, "/link leads to /etc/hostname, which lies outside of the task's folders "),
        (fifo, "/fifo is a FIFO, which does not travel: return plain files and folders"),
        (link_inside, "/link in the folder is a symbolic link, which does not travel: return plain files and folders"),
        (many_files, " holds more than 10,000 files: make an archive of them, and return its path"),
    ],
)
def test_a_path_that_does_not_travel_is_refused_by_name(
    tasks: Tasks, function: Callable[[], Any], message: str
) -> None:
    assert message in refusal(tasks, ResultRefused, "old", function)


def test_more_values_than_addresses_are_refused(tasks: Tasks) -> None:
    def many() -> Any:
        return [bytes([number]) for number in range(3)]

    with pytest.raises(ResultRefused, match=r"value\[2\]: a task brings at most 2 tables and files to storage"):
        tasks("old", many, most=2)
    assert tasks.kept() == []


def test_a_value_that_is_gone_is_an_error_of_the_storage(tasks: Tasks) -> None:
    def raw() -> Any:
        return b"12"

    def read(value: Any) -> Any: ...

    reference = tasks("old", raw)
    (tasks.store / reference.key).write_bytes(b"13")
    with pytest.raises(StorageError, match="is not what was written, its checksum differs") as raised:
        tasks("old", read, reference)
    assert raised.value.retry is False
    (tasks.store / reference.key).unlink()
    with pytest.raises(StorageError, match="is not in the storage any more"):
        tasks("old", read, reference)


@pytest.mark.parametrize("kind", ["table", "bytes"])
def test_a_full_store_is_an_error_that_a_retry_may_help_and_leaves_nothing(
    tasks: Tasks, mounted: Callable[[str], Path], kind: str
) -> None:
    def large(kind: str) -> Any:
        if kind == "bytes":
            return b"1" * 3_000_000
        import numpy as np
        import pandas as pd

        return pd.DataFrame({"a": np.random.default_rng(0).random(400_000)})

    tasks.store = mounted("size=1m")
    with pytest.raises(StorageError, match="cannot be written: no space is left on the disk, free some") as raised:
        tasks("pandas", large, kind)
    assert raised.value.retry is True
    assert tasks.kept() == []


def test_nothing_is_left_in_the_temporary_folder(tasks: Tasks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()

    def passed_on(value: Any) -> Any:
        return [value, value.parent]

    def raises(value: Any) -> Any:
        raise ValueError(str(value))

    def write() -> Any:
        import pathlib

        path = pathlib.Path("/tmp") / "podenv-test-value"
        path.write_text("1")
        return path

    monkeypatch.delitem(os.environ, "TMPDIR")
    reference = tasks("old", write)
    monkeypatch.setitem(os.environ, "TMPDIR", str(tmp_path / "tmp"))
    assert [one.kind for one in tasks("old", passed_on, reference)] == ["file", "folder"]
    with pytest.raises(PodenvError):
        tasks("old", raises, reference)
    assert list((tmp_path / "tmp").iterdir()) == []
