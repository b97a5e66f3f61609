"""Tables to Parquet and back, by what the environment has; what Parquet would change is refused."""

from __future__ import annotations

import sys

from .tagged import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_COLUMNS = 200
"""Columns whose types a Reference names."""

# What `pandas.api.types.infer_dtype` says of a column of objects that comes back as it is.
_KEPT = ("string", "bytes", "decimal", "boolean", "date", "time", "empty")
_KEPT_BY_FASTPARQUET = ("string", "bytes", "empty")
_NESTED = ("list", "dict", "ndarray", "NoneType")
# With the type that holds such values properly.
_TYPED = {
    "integer": "astype('Int64')", "floating": "astype('float64')", "datetime": "pandas.to_datetime",
    "datetime64": "pandas.to_datetime", "timedelta": "pandas.to_timedelta", "timedelta64": "pandas.to_timedelta",
}  # fmt: skip


class Written:
    """The ``kind`` of a table, its ``rows``, and its ``schema`` as a Reference has it."""

    def __init__(self, kind: str, rows: int, schema: list[tuple[str, str]]) -> None:
        self.kind = kind
        self.rows = rows
        self.schema = schema[:MAX_COLUMNS]


def kind_of(value: Any) -> str | None:
    """The kind of table that ``value`` is; None if it is none. Imports nothing.

    Raises Refused for what nearly is one.
    """
    kind = type(value)
    library = str(kind.__module__).partition(".")[0]
    for known in ("pandas", "polars"):
        module = sys.modules.get(known)
        frame = getattr(module, "DataFrame", None)
        if frame is not None and isinstance(value, frame):
            if kind is not frame:
                name = kind.__qualname__.rpartition("<locals>.")[2]
                raise Refused(f"a {name} is more than Parquet keeps: return {known}.DataFrame(frame)")
            return f"{known}.DataFrame"
    if library in ("pandas", "polars") and kind.__name__ == "Series":
        raise Refused(f"a {library}.Series is not a table: return series.to_frame()")
    if library == "polars" and kind.__name__ == "LazyFrame":
        raise Refused("a polars.LazyFrame is not computed yet: return frame.collect()")
    table = getattr(sys.modules.get("pyarrow"), "Table", None)
    if table is not None and isinstance(value, table):
        return "pyarrow.Table"
    return "arrow" if hasattr(kind, "__arrow_c_stream__") else None


def write(value: Any, kind: str, path: str) -> Written:
    """Write ``value``, a table of ``kind``, to the file ``path``. Raises Refused."""
    writer = {"pandas.DataFrame": _write_pandas, "polars.DataFrame": _write_polars}.get(kind, _write_arrow)
    try:
        return writer(value, kind, path)
    except (Refused, MemoryError):
        raise
    except OSError as error:
        if error.errno is None:
            raise _unwritable(kind, error) from None
        raise
    except BaseException as error:
        if not _is_of_a_library(error):
            raise
        raise _unwritable(kind, error) from None


def read(path: str, library: str) -> Any:
    """The table in the file ``path`` as one of ``library``: pandas, polars or pyarrow. Raises Refused."""
    reader = {"pandas": _read_pandas, "polars": _read_polars, "pyarrow": _read_arrow}[library]
    try:
        return reader(path)
    except (Refused, MemoryError):
        raise
    except BaseException as error:
        if not _is_of_a_library(error):
            raise
        raise Refused(f"{library} cannot read the Parquet: {_line(error)}") from None


def _is_of_a_library(error: BaseException) -> bool:
    # The second is what polars raises where Rust panics.
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def has(library: str) -> bool:
    """True if the environment has ``library``."""
    if library in sys.modules:
        return sys.modules[library] is not None
    from importlib.util import find_spec

    return find_spec(library) is not None


def engine() -> str:
    """What writes and reads Parquet for pandas. Raises Refused where there is nothing."""
    for name in ("pyarrow", "fastparquet"):
        if has(name):
            _import(name)
            return name
    raise Refused("pandas needs pyarrow for Parquet: add pyarrow to the environment")


def _import(name: str) -> Any:
    """The module ``name`` of the environment."""
    try:
        __import__(name)
    except ImportError as error:
        raise Refused(f"{name} of this environment cannot be imported: {_line(error)}; lock another version") from None
    return sys.modules[name]


def _write_pandas(frame: Any, kind: str, path: str) -> Written:
    _check_names([(one, repr(one)) for one in frame.columns])
    by = engine()
    _check_index(frame, by)
    series = [(f"the column {name!r}", frame[name]) for name in frame.columns]
    series += [
        (f"the index {name!r}", frame.index.get_level_values(level)) for level, name in enumerate(frame.index.names)
    ]
    for label, values in series:
        _check_values(label, values, _KEPT if by == "pyarrow" else _KEPT_BY_FASTPARQUET)
    plain = frame.copy(deep=False)
    plain.attrs = {}
    plain.to_parquet(path, engine=by)
    if by == "pyarrow":
        schema = _import("pyarrow.parquet").read_schema(path)
        came = schema.empty_table().to_pandas()
        shown = [(field.name, str(field.type)) for field in schema]
    else:
        came = _import("fastparquet").ParquetFile(path)[:0].to_pandas()
        shown = [(str(name), str(kind)) for name, kind in frame.dtypes.items()]
    for name in frame.columns:
        before, after = str(frame[name].dtype), str(came[name].dtype)
        if before not in (after, "object"):
            raise Refused(
                f"the column {name!r} has the type {before}, and Parquet brings {after}: "
                f"return it as that, frame.astype({{{name!r}: {after!r}}})"
            )
    return Written(kind, len(frame), shown)


def _check_names(names: list[tuple[Any, str]]) -> None:
    seen = set()
    for name, shown in names:
        if not isinstance(name, str):
            raise Refused(f"the column name {shown} is not a text: set frame.columns to texts")
        if name in seen:
            raise Refused(f"two columns are named {shown}: rename one of them")
        seen.add(name)


def _check_index(frame: Any, by: str) -> None:
    for name in frame.index.names:
        if name is not None and not isinstance(name, str):
            raise Refused(f"the index name {name!r} is not a text: return frame.rename_axis(str({name!r}))")
    if not len(frame.columns) and len(frame) and type(frame.index).__name__ == "RangeIndex":
        raise Refused("the frame has rows and no columns, and Parquet keeps no such rows: return their number")
    if by == "fastparquet" and None in frame.index.names and type(frame.index).__name__ != "RangeIndex":
        raise Refused("fastparquet keeps no index without a name: return frame.rename_axis('id'), or add pyarrow")


def _check_values(label: str, values: Any, kept: tuple[str, ...]) -> None:
    """Refuse objects that come back as something else."""
    infer_dtype = sys.modules["pandas"].api.types.infer_dtype
    if str(values.dtype) == "category":
        if infer_dtype(values.dtype.categories, skipna=True) not in ("string", "empty"):
            raise Refused(
                f"{label} has categories that are no texts, and Parquet keeps none: return it as plain values"
            )
        if not len(values) and len(values.dtype.categories):
            raise Refused(f"{label} has categories and no rows, and Parquet keeps none then: return it as texts")
        return
    if str(values.dtype) != "object":
        return
    inferred = infer_dtype(values, skipna=True)
    if inferred in kept:
        return
    if inferred in _TYPED:
        raise Refused(f"{label} holds {inferred} values as objects: give it their type, with {_TYPED[inferred]}")
    types = {type(one).__name__ for one in values}
    if "pyarrow" in sys.modules and types <= {*_NESTED} and len(types - {"NoneType"}) == 1:
        keys = {frozenset(one) for one in values if isinstance(one, dict)}
        if len(keys) <= 1:
            return
        raise Refused(f"{label} holds dicts of different keys: give all the same keys")
    shown = ", ".join(sorted(types - {"NoneType"})[:5])
    raise Refused(f"{label} holds objects of type {shown}: give it one type that Parquet has")


def _write_polars(frame: Any, kind: str, path: str) -> Written:
    frame.write_parquet(path)
    came = sys.modules["polars"].read_parquet_schema(path)
    for name, type_ in frame.schema.items():
        if came[name] != type_:
            raise Refused(f"the column {name!r} has the type {type_}, and Parquet brings {came[name]}: cast it to that")
    return Written(kind, frame.height, [(name, str(type_)) for name, type_ in frame.schema.items()])


def _write_arrow(value: Any, kind: str, path: str) -> Written:
    if not has("pyarrow"):
        raise Refused(f"a {type(value).__qualname__} is written by pyarrow: add pyarrow to the environment")
    pyarrow, parquet = _import("pyarrow"), _import("pyarrow.parquet")
    table = value if isinstance(value, pyarrow.Table) else pyarrow.RecordBatchReader.from_stream(value)
    _check_names([(name, repr(name)) for name in table.schema.names])
    rows = 0
    with parquet.ParquetWriter(path, table.schema) as writer:
        if isinstance(table, pyarrow.Table):
            writer.write_table(table)
            rows = table.num_rows
        else:
            for batch in table:
                writer.write_batch(batch)
                rows += batch.num_rows
    for before, after in zip(table.schema, parquet.read_schema(path)):
        if before.type != after.type:
            raise Refused(
                f"the column {before.name!r} has the type {before.type}, and Parquet brings {after.type}: cast it"
            )
    return Written(kind, rows, [(field.name, str(field.type)) for field in table.schema])


def _read_pandas(path: str) -> Any:
    by = engine()
    with open(path, "rb") as file:  # of a path with "=" pyarrow would make a column
        return _import("pandas").read_parquet(file, engine=by)


def _read_polars(path: str) -> Any:
    polars = _import("polars")
    if not {*"*?["} & {*path}:
        return polars.read_parquet(path)
    with open(path, "rb") as file:  # polars would look for files that match
        return polars.read_parquet(file)


def _read_arrow(path: str) -> Any:
    with open(path, "rb") as file:
        return _import("pyarrow.parquet").ParquetFile(file).read()


def _unwritable(kind: str, error: BaseException) -> Refused:
    return Refused(f"this {kind} cannot be written as Parquet: {_line(error)}; change what that names")


def _line(error: BaseException) -> str:
    """The text of another library's error, in one line."""
    parts = [str(one) for one in error.args] or [type(error).__name__]
    return " ".join(" ".join(parts).split())[:500].rstrip(".")
