"""Call and Result: every value that travels comes back the same; every other one is refused with its path."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import enum
import json
import math
import os
import random
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podenv.runtime.call import CALL_LIMIT, Call, Code, Failure, Result, TooLarge, pack, unpack
from podenv.runtime.revive import decode
from podenv.runtime.tagged import Refused, encode

PARIS = ZoneInfo("Europe/Paris")


def round_trip(value: Any) -> Any:
    return decode(json.dumps(encode(value, "value")))


def returned(value: Any) -> Any:
    return Result.decode(Result(value).encode()).value


def refusal(value: Any, *, result: bool = False) -> str:
    with pytest.raises(Refused) as caught:
        encode(value, "rows", result=result)
    return str(caught.value)


def same(left: Any, right: Any) -> bool:
    """Equal, of equal types all the way down; NaN is itself; a moment keeps its zone."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return left == right or (math.isnan(left) and math.isnan(right))
    if isinstance(left, Decimal):
        return str(left) == str(right)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, set | frozenset):
        return len(left) == len(right) and all(any(same(one, other) for other in right) for one in left)
    if isinstance(left, dict):
        return same(list(left.items()), list(right.items()))
    if isinstance(left, dt.datetime):
        return bool(left.isoformat() == right.isoformat() and left.fold == right.fold)
    return bool(left == right)


# Whole seconds: fromisoformat loses an offset of microseconds (CPython 3.8 to 3.13).
OFFSETS = st.integers(-82_800, 82_800).map(lambda seconds: dt.timezone(dt.timedelta(seconds=seconds)))
ZONES = st.sampled_from([PARIS, ZoneInfo("UTC"), ZoneInfo("Asia/Kolkata"), ZoneInfo("America/New_York")])
HASHABLE = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.integers(min_value=2**63, max_value=2**5000),
        st.floats(allow_nan=False),
        st.text(st.characters()),
        st.binary(),
        st.decimals(allow_nan=False),
        st.uuids(),
        st.dates(),
        st.times(),
        st.times(timezones=OFFSETS),
        st.timedeltas(),
        st.datetimes(),
        st.datetimes(timezones=OFFSETS),
        st.datetimes(timezones=ZONES),
    ),
    lambda inner: st.one_of(st.tuples(inner, inner), st.frozensets(inner, max_size=3)),
    max_leaves=4,
)
VALUES = st.recursive(
    st.one_of(HASHABLE, st.just(float("nan")), st.just(Decimal("sNaN"))),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text(max_size=3), inner, max_size=4),
        st.dictionaries(st.sampled_from(["$", "v", "zone"]), inner, max_size=3),
        st.dictionaries(HASHABLE, inner, max_size=3),
        st.sets(HASHABLE, max_size=3),
        st.tuples(inner, inner),
    ),
    max_leaves=10,
)


@settings(max_examples=150)
@given(VALUES)
def test_every_argument_arrives_as_it_left(value: Any) -> None:
    assert same(round_trip(value), value)


@given(st.binary(max_size=200))
def test_a_damaged_result_is_refused_and_nothing_else_happens(data: bytes) -> None:
    with pytest.raises(Refused):
        Result.decode(data)


@given(st.recursive(st.none() | st.integers() | st.text(), lambda i: st.dictionaries(st.sampled_from("$v"), i)))
def test_hand_made_json_is_a_plain_value_or_refused(document: Any) -> None:
    try:
        value = decode(json.dumps(document))
    except Refused:
        return
    assert type(value).__module__ in ("builtins", "datetime", "decimal", "uuid", "pathlib")


def test_a_zone_keeps_its_name_and_the_second_half_of_a_doubled_hour() -> None:
    moment = dt.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=PARIS)
    back = round_trip(moment)
    assert (back.isoformat(), back.fold, back.tzinfo) == ("2024-10-27T02:30:00+01:00", 1, PARIS)


def test_a_zone_that_is_unknown_there_leaves_its_offset() -> None:
    encoded = encode(dt.datetime(2024, 7, 1, tzinfo=PARIS), "value") | {"zone": "Mars/Olympus"}
    assert decode(json.dumps(encoded)) == dt.datetime(2024, 7, 1, tzinfo=dt.timezone(dt.timedelta(hours=2)))


def test_pendulum_values_become_the_standard_ones() -> None:
    pendulum = pytest.importorskip("pendulum")
    moment = round_trip(pendulum.datetime(2024, 7, 1, 12, tz="Europe/Paris"))
    assert (type(moment), moment, moment.tzinfo) == (dt.datetime, dt.datetime(2024, 7, 1, 12, tzinfo=PARIS), PARIS)
    assert same(round_trip(pendulum.duration(days=40, hours=1)), dt.timedelta(days=40, hours=1))
    assert same(round_trip(pendulum.date(2024, 7, 1)), dt.date(2024, 7, 1))


class Lazy(Sequence[int]):
    """Like Airflow's LazyXComSequence."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: Any) -> Any:
        return [5, 6, 7][index]


class Params(Mapping[str, Any]):
    """Like Airflow's ParamsDict."""

    def __getitem__(self, key: str) -> Any:
        return {"a": 1}[key]

    def __iter__(self) -> Iterator[str]:
        return iter(["a"])

    def __len__(self) -> int:
        return 1


class Colour(enum.StrEnum):
    RED = "red"


Point = collections.namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Lazy(), [5, 6, 7]),
        (Params(), {"a": 1}),
        (range(3), [0, 1, 2]),
        (collections.OrderedDict(a=1), {"a": 1}),
        (collections.deque([1]), [1]),
        (Colour.RED, "red"),
        (Point(1, 2), (1, 2)),
        (bytearray(b"x"), b"x"),
        (Path("a/b"), Path("a/b")),
    ],
)
def test_what_is_like_a_plain_value_becomes_one(value: Any, plain: Any) -> None:
    assert same(round_trip(value), plain)


@dataclasses.dataclass
class Row:
    x: int


class Timestamp(dt.datetime):
    """Like pandas'."""

    nanosecond = 0


class PreciseTimestamp(Timestamp):
    nanosecond = 789


class PreciseTimedelta(dt.timedelta):
    """Like pandas'."""

    nanoseconds = 789


def test_a_pandas_timestamp_of_whole_microseconds_becomes_a_datetime() -> None:
    assert same(round_trip(Timestamp(2024, 1, 1, 0, 0, 0, 5)), dt.datetime(2024, 1, 1, 0, 0, 0, 5))


class Asking:
    """Like Airflow's accessors: whatever it is asked for, it looks up."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"asked for {name}")


NANOSECONDS = f"a {__name__}.{{}} with nanoseconds cannot travel: pass value.floor('us')"


def numbers() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([0, {"when": math}], "rows[1]['when']: a module cannot travel: import it inside the function"),
        ({"a": [Row(1)]}, f"rows['a'][0]: a {__name__}.Row cannot travel: pass dataclasses.asdict(value)"),
        (numbers(), "rows: a generator cannot travel: pass list(value)"),
        ({"k": {1: 2}.keys()}, "rows['k']: a dict_keys cannot travel: pass list(value)"),
        ([PreciseTimestamp(2024, 1, 1)], f"rows[0]: {NANOSECONDS.format('PreciseTimestamp')}"),
        ({"took": PreciseTimedelta(1)}, f"rows['took']: {NANOSECONDS.format('PreciseTimedelta')}"),
        ([Asking()], f"rows[0]: a {__name__}.Asking cannot travel: pass numbers, text, lists, dicts, dates instead"),
        ([object()], "rows[0]: an object cannot travel: pass numbers, text, lists, dicts, dates instead"),
        (enum.Enum("Size", "BIG").BIG, f"rows: a {__name__}.Size cannot travel: pass value.value"),  # type: ignore[attr-defined]
        ({(1, 2): {"x" * 90: open}}, f"rows[(1, 2)]['{'x' * 56}...]: a builtin_function_or_method cannot travel: "),
    ],
)
def test_what_cannot_travel_is_refused_with_its_path_and_what_to_do(value: Any, message: str) -> None:
    assert refusal(value).startswith(message)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [b"x"]}, "rows['a'][0]: XCom does not keep a bytes: return text, or write it to storage and"),
        (dt.time(1), "rows: XCom does not keep a datetime.time: return value.isoformat()"),
        ([1.0, float("nan")], "rows[1]: nan is not valid JSON, and XCom does not keep it: return None in its place"),
        ([float("-inf")], "rows[0]: -inf is not valid JSON, and XCom does not keep it: return None in its place"),
        ({1: 2}, "rows[1]: the key is an int, XCom keeps only text keys: use str(key)"),
        ({"__classname__": 2}, "rows['__classname__']: Airflow keeps this key for itself: rename it"),
        ({"__type": 2, "__var": 3}, "rows['__type']: Airflow keeps this key for itself: rename it"),
        (2**64, "rows: XCom keeps no int beyond 64 bits: return str(value)"),
        # Python 3.13 says pathlib._local.
        (Path("a"), f"rows: XCom does not keep a {type(Path()).__module__}.PosixPath: return str(path)"),
        ("\udc80", "rows: the text holds a lone surrogate, which is not valid UTF-8: encode it first"),
        (Decimal("0.1234567890123456789"), "rows: XCom would change the Decimal '0.1234567890123456789': return str("),
        (Decimal("NaN"), "rows: XCom would change the Decimal 'NaN': return str(value)"),
        (dt.datetime.max, "rows: XCom would change the datetime 9999-12-31T23:59:59.999999: return value.isoformat()"),
        (dt.timedelta.max, "rows: XCom would change the timedelta: return value.total_seconds()"),
    ],
)
def test_a_result_holds_only_what_xcom_keeps(value: Any, message: str) -> None:
    assert refusal(value, result=True).startswith(message)


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"a": [1, 1.5, "é", True]},
        (1, {2}, frozenset([3])),
        dt.datetime(2024, 7, 1, 12, 0, 0, 123457, tzinfo=PARIS),
        dt.datetime(2024, 7, 1, 12, 0, 0, 123457),
        dt.date(2024, 7, 1),
        dt.timedelta(days=3, microseconds=1),
        Decimal("1.10"),
        uuid.UUID(int=5),
        {"$": 1, "v": 2},
        2**64 - 1,
        -(2**63),
    ],
)
def test_what_xcom_keeps_comes_back_the_same(value: Any) -> None:
    assert same(returned(value), value)


@pytest.fixture(scope="session")
def serde(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        if "AIRFLOW_HOME" not in os.environ:
            patch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
        return pytest.importorskip("airflow.sdk.serde")


@settings(max_examples=40)
@given(value=VALUES)
def test_what_a_result_accepts_airflow_keeps(serde: Any, value: Any) -> None:
    import msgspec

    from podenv.airflow.passing import readable

    try:
        accepted = returned(value)
    except Refused:
        return
    # A worker sends it to its supervisor as msgpack, and the database holds it as JSON.
    sent = msgspec.msgpack.decode(msgspec.msgpack.encode(serde.serialize(readable(accepted))))
    kept = json.loads(json.dumps(sent))
    assert _moments_as_text(serde.deserialize(kept)) == _moments_as_text(accepted)


def _each(value: Any, change: Any) -> Any:
    if isinstance(value, list | tuple | set | frozenset):
        return type(value)(_each(item, change) for item in value)
    if isinstance(value, dict):
        return {key: _each(item, change) for key, item in value.items()}
    return change(value)


def _moments_as_text(value: Any) -> Any:
    def change(item: Any) -> Any:
        if isinstance(item, dt.datetime):
            return item.astimezone(dt.UTC).isoformat() if item.tzinfo else item.isoformat()
        return item

    return _each(value, change)


def test_a_container_that_holds_itself_is_refused() -> None:
    rows: list[Any] = [1]
    rows.append({"again": rows})
    assert refusal(rows) == "rows[1]['again']: the container holds itself: pass one that ends"


def test_the_same_list_twice_is_no_cycle() -> None:
    row = [1]
    assert round_trip([row, row]) == [[1], [1]]


def test_nesting_is_bounded() -> None:
    deep: list[Any] = []
    for _ in range(99):
        deep = [deep]
    assert round_trip(deep) == deep
    assert refusal([deep]).endswith(": nested deeper than 100 levels: pass a flatter value")


def test_numpy_scalars_become_numbers_and_arrays_are_refused() -> None:
    """The real numpy is tested where it is installed: in the environments of the local tests."""

    def scalar(name: str, plain: Any, ndim: int = 0) -> Any:
        body = {"__module__": "numpy", "ndim": ndim, "item": lambda self: plain, "__iter__": lambda self: iter([plain])}
        return type(name, (), body)()

    assert same(round_trip([scalar("int64", 3), scalar("float32", 0.5), scalar("bool_", True)]), [3, 0.5, True])
    assert refusal(scalar("ndarray", 1, 2)) == "rows: a numpy ndarray cannot travel: pass value.tolist()"
    assert refusal(scalar("datetime64", 1)) == (
        "rows: a numpy datetime64 cannot travel: pass value.astype('datetime64[us]').item()"
    )


def test_a_data_frame_is_refused_with_what_to_return_instead() -> None:
    frame = type("DataFrame", (), {"__module__": "pandas", "to_dict": None, "__iter__": None})()
    assert refusal({"df": frame}, result=True) == (
        "rows['df']: a pandas.DataFrame cannot travel: return df.to_dict('records'), or set [podenv] exchange"
    )


def test_a_failure_travels_like_a_value() -> None:
    failure = Failure("raised", type="x.Gone", message="é\n", traceback="Traceback …")
    result = Result.decode(Result(error=failure, python="3.8.18", seconds=1.5).encode())
    assert result.error is not None
    assert vars(result.error) == vars(failure)
    assert (result.value, result.python, result.seconds) == (None, "3.8.18", 1.5)


def test_a_large_result_is_refused_with_its_size_however_well_it_compresses() -> None:
    with pytest.raises(TooLarge) as caught:
        Result("x" * 50_000_000).encode()
    assert str(caught.value) == (
        "the returned value is 47.7 MiB as JSON, a result holds at most 1.0 MiB: "
        "write it to storage and return its path"
    )


def test_a_result_that_inflates_beyond_its_bound_is_refused() -> None:
    bomb = zlib.compress(b" " * 100_000_000)
    with pytest.raises(Refused, match=r"it is cut, or larger than 2\.0 MiB"):
        Result.decode(bomb)


def call(**changes: Any) -> Call:
    return Call(Code("f", "dag.py", 3, [("dag.py", 3, "def f(): pass\n")], defaults={"x": (1,)}), **changes)


def test_a_call_leaves_the_environment_variables_as_it_found_them() -> None:
    environ = {"HOME": "x", **call(args=[(1, 2)], kwargs={"k": {3}}).to_env()}
    back = Call.from_env(environ)
    assert environ == {"HOME": "x"}
    assert (back.code.name, back.code.filename, back.code.line) == ("f", "dag.py", 3)
    assert (back.code.pieces, back.code.defaults) == ([["dag.py", 3, "def f(): pass\n"]], {"x": (1,)})
    assert (back.args, back.kwargs) == ([(1, 2)], {"k": {3}})


def test_a_long_call_is_cut_into_variables_that_linux_allows() -> None:
    data = random.Random(1).randbytes(400_000)
    variables = call(args=[data]).to_env()
    assert len(variables) == 5
    assert max(len(name) + len(value) + 2 for name, value in variables.items()) < 131_072
    assert Call.from_env(variables).args == [data]


def test_modules_travel_in_variables_of_their_own_and_belong_to_what_the_call_is() -> None:
    packed = pack({"a": ("a.py", False, "é = 1\n")}, {"b": {"$": b"x"}})
    with_modules = call(modules=packed, names=["a"])
    back = Call.from_env(with_modules.to_env())
    assert unpack(back.modules) == {"modules": {"a": ["a.py", False, "é = 1\n"]}, "data": {"b": {"$": b"x"}}}
    assert back.names == ["a"]
    assert with_modules.encode() != call(names=["a"]).encode()


def test_a_call_with_too_many_modules_names_their_share_and_packages() -> None:
    text = random.Random(1).randbytes(CALL_LIMIT).hex()
    with pytest.raises(TooLarge) as caught:
        call(modules=pack({"big": ("big.py", False, text)}, {}), names=["big"]).encode()
    assert str(caught.value).endswith(
        "MiB of it are the modules that travel: put large ones into `packages` of the environment"
    )


def test_a_call_beyond_its_limit_is_refused_with_its_size() -> None:
    with pytest.raises(TooLarge) as caught:
        call(args=[random.Random(1).randbytes(CALL_LIMIT)]).to_env()
    assert str(caught.value).startswith("the call to f is 1.")
    assert str(caught.value).endswith(
        "MiB compressed, a call holds at most 768 KiB: write the data to storage and pass its path"
    )


@pytest.mark.parametrize("chunk", ["", "!", "eJw=", "QUJD"])
def test_a_damaged_call_is_refused(chunk: str) -> None:
    with pytest.raises(Refused, match="the call arrived damaged"):
        Call.from_env({"PODENV_RUN_CALL_0": chunk})


def test_a_lazy_sequence_is_read_once() -> None:
    reads = []

    class Once(Lazy):
        def __iter__(self) -> Iterator[int]:
            reads.append(1)
            return iter([5])

    one = call(args=[Once()])
    assert one.to_env() == one.to_env()
    assert reads == [1]
