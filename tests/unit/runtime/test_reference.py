"""References in a Call and in a Result, and the ticket that goes with them."""

from __future__ import annotations

from typing import Any

import pytest

from podenv.call.outcome import value_of
from podenv.errors import ExchangeRefused, StorageError
from podenv.runtime import travel_env
from podenv.runtime.call import Call, Code, Failure, Result, TooLarge
from podenv.runtime.reference import Reference
from podenv.runtime.tagged import Refused
from podenv.runtime.ticket import TICKET_LIMIT, of_env

REFERENCE = Reference(
    "xcom/dag/run/clean/-1/1/f00d/0",
    "pandas.DataFrame",
    rows=3,
    schema=[("when", "timestamp[ns]"), ("price", "double")],
    bytes=1234,
    sha256="ab" * 32,
)
CODE = Code("train", "dag.py", 1, [("dag.py", 1, "def train(rows): ...")])
TICKET = {
    "put": [{"url": "https://bucket.example/put?sig=a", "headers": {"x-a": "b"}, "key": "k/0"}],
    "get": {REFERENCE.key: {"url": "file:///store/k", "headers": {}, "key": REFERENCE.key}},
    "all": False,
}


def test_a_reference_travels_in_an_argument_and_comes_back_in_a_result() -> None:
    call = Call(CODE, args=[{"train": [REFERENCE]}])
    assert Call.from_env(call.to_env()).args == [{"train": [REFERENCE]}]
    assert Result.decode(Result([REFERENCE]).encode()).value == [REFERENCE]


def test_a_reference_says_what_it_stands_for() -> None:
    assert repr(REFERENCE) == ("<pandas.DataFrame in storage: xcom/dag/run/clean/-1/1/f00d/0, 3 rows, 1234 bytes>")


@pytest.mark.parametrize(
    "change",
    [
        {"key": 1}, {"kind": "pickle"}, {"rows": "3"}, {"schema": [["a"]]}, {"schema": [["a", 1]]}, {"bytes": None},
        {"sha256": None}, {"name": 1},
    ],
)  # fmt: skip
def test_what_only_looks_like_a_reference_is_refused(change: dict[str, Any]) -> None:
    document = {**REFERENCE.to_json(), **change}
    with pytest.raises(ValueError, match="not a reference to a value in storage"):
        Reference.of_json(document)


def test_the_ticket_travels_beside_the_call_which_stays_the_same() -> None:
    call = Call(CODE, args=[REFERENCE])
    travel = travel_env(call, "0123456789", ticket=TICKET)
    again = travel_env(call, "0123456789", ticket={**TICKET, "put": []})
    same = {name for name in travel if travel[name] == again[name]}
    assert set(travel) - same == {"PODENV_RUN_CALL_EXCHANGE_0"}
    assert of_env(dict(travel)).document == TICKET


def test_a_call_that_refers_to_storage_needs_a_ticket() -> None:
    with pytest.raises(Refused, match=r"the call to train refers to a value in storage, .* set \[podenv\] exchange"):
        travel_env(Call(CODE, args=[REFERENCE]), "0123456789")
    travel_env(Call(CODE, args=['{"$":"exchange"}']), "0123456789")  # a text that looks like it


def test_too_many_addresses_are_refused_with_their_number() -> None:
    addresses = {
        f"k/{number}": {"url": f"https://b/{hash(str(number))}", "headers": {}, "key": f"k/{number}"}
        for number in range(TICKET_LIMIT // 12)
    }
    with pytest.raises(TooLarge, match=f"the addresses of the {len(addresses)} values in storage .* at most 192 KiB"):
        travel_env(Call(CODE), "0123456789", ticket={"put": [], "get": addresses, "all": False})


def test_a_storage_that_failed_says_whether_a_retry_helps() -> None:
    for code, retry in (("retry", True), ("final", False)):
        failure = Failure("storage", type="StorageFailed", message="k/0: no space", code=code)
        with pytest.raises(StorageError, match="Environment 'etl': k/0: no space") as raised:
            value_of(Result(error=failure), "etl")
        assert raised.value.retry is retry


def test_an_argument_that_does_not_fit_is_an_error_of_its_own() -> None:
    failure = Failure("exchange", type="Unfit", message="rows: no library")
    with pytest.raises(ExchangeRefused, match="Environment 'etl': rows: no library"):
        value_of(Result(error=failure), "etl")
