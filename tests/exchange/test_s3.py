"""A bucket of S3 as the store: a real server, Connections as Airflow has them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.exchange import s3server
from tests.exchange.conftest import Tasks

from podenv.airflow import connections
from podenv.call import source
from podenv.errors import SettingError, StorageError, StoreUnreachable
from podenv.exchange.address import parse
from podenv.exchange.calls import Exchange
from podenv.exchange.keys import Place, place_of
from podenv.exchange.reference import Reference
from podenv.exchange.store import Store, older
from podenv.local import Limits, LocalRun
from podenv.runtime import transfer
from podenv.runtime.storage import StorageFailed

PLACE = Place("etl", "manual__2026-11-27T08:00:00+00:00", "clean", -1, 1)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3server.serving("values") as url:
        yield url


@pytest.fixture
def address(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    extra = {"endpoint_url": server, "region_name": "eu-west-1"}
    given = {"conn_type": "aws", "login": "AKIDEXAMPLE", "password": "verysecretword", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_BUCKETS", json.dumps(given))
    connections.store.cache_clear()
    return "s3://buckets@values/podenv"


@pytest.fixture
def store(address: str) -> Store:
    return connections.store_at(address)


def exchange(store: Store) -> Exchange:
    return Exchange(store, PLACE, timedelta(hours=1), store_at=connections.store_at)


def frame() -> object:
    import pandas as pd

    return {"all": pd.DataFrame({"n": range(1000)}), "text": "x" * 2_000_000}


def takes(frame: polars.DataFrame, text: str) -> list[object]:  # type: ignore[name-defined]  # noqa: F821
    return [frame.height, len(text)]


def test_a_frame_goes_to_the_bucket_and_comes_to_another_environment(tasks: Tasks, store: Store) -> None:
    def run(environment: str, function: object, *args: object) -> object:
        call = source.build_call(function, args, {})  # type: ignore[arg-type]
        one = LocalRun(tasks.catalogue[environment], limits=Limits(), env={}, emit=tasks.lines.append)
        return exchange(store).found(one.call(call, ticket=exchange(store).ticket(call)))

    made = run("pandas", frame)
    assert isinstance(made, dict)
    assert [type(one) for one in made.values()] == [Reference, Reference]
    assert run("polars", takes, made["all"], made["text"]) == [1000, 2_000_000]
    assert not any("Signature" in line or "verysecret" in line for line in tasks.lines)


def test_what_is_in_the_bucket_is_listed_by_task_and_deleted(store: Store, tmp_path: Path) -> None:
    launch = PLACE.launch()
    ticket = store.ticket(launch, lifetime=timedelta(hours=1), readable={})
    digest = transfer.put(ticket["put"][0], b"twelve bytes")
    keys = {one.key: one for one in store.entries()}
    assert keys[f"{launch}/0"].bytes == 12
    assert place_of(f"{launch}/0") == PLACE
    known = Reference(f"{launch}/0", "bytes", store=str(store), bytes=12, sha256=digest)
    address = store.to_read([known.key], timedelta(hours=1))[known.key]
    transfer.get(address, str(tmp_path / "back"), 12, digest)
    assert (tmp_path / "back").read_bytes() == b"twelve bytes"
    assert [one.key for one in older(store.entries(), timedelta(hours=1))] == []
    assert known.key in [one.key for one in older(store.entries(), timedelta(0))]
    assert store.delete([known.key]) == 1
    assert known.key not in [one.key for one in store.entries()]
    with pytest.raises(StorageFailed) as caught:
        transfer.get(address, str(tmp_path / "again"), 12, digest)
    assert (caught.value.code, launch in str(caught.value)) == ("final", True)


def test_a_reference_is_read_where_tasks_are_started(store: Store, tmp_path: Path) -> None:
    from podenv.airflow.reference import Reference

    ticket = store.ticket(PLACE.launch(), lifetime=timedelta(hours=1), readable={})
    digest = transfer.put(ticket["put"][0], b'{"n":[1,2]}')
    known = Reference(ticket["put"][0]["key"], "json", store=str(store), bytes=11, sha256=digest)
    again = Reference.deserialize(known.serialize(), 1)
    assert again == known
    assert again.read() == {"n": [1, 2]}
    with again.open() as file:
        assert file.read() == b'{"n":[1,2]}'
    changed = Reference(known.key, "json", store=str(store), bytes=11, sha256="0" * 64)
    with pytest.raises(StorageError, match=known.key):
        changed.read()
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_cannot_be_used_is_one_error_without_secrets(server: str, address: str) -> None:
    def problem(one: Store) -> str:
        with pytest.raises(StoreUnreachable) as caught:
            list(one.entries())
        assert "verysecretword" not in str(caught.value)
        return str(caught.value)

    known = connections.store_at(address)
    missing = Store(parse("s3://buckets@nowhere/podenv", "x"), known._options)
    assert problem(missing).startswith("The store s3://buckets@nowhere/podenv cannot be used: ")
    said = "NoSuchBucket: The specified bucket does not exist. Check its Connection and its address"
    assert said in problem(missing)
    down = {**known._options, "endpoint": "http://127.0.0.1:1", "retry_config": {"max_retries": 0}}
    assert "cannot be used" in problem(Store(parse(address, "x"), down))


def test_keys_of_a_connection_go_without_the_workers_own_session(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "oftheworker")
    url = connections.store_at(address).to_read(["key"], timedelta(hours=1))["key"]["url"]
    assert "X-Amz-Credential=AKIDEXAMPLE" in url
    assert "X-Amz-Security-Token" not in url
    given = {"conn_type": "aws", "login": "a", "password": "b", "extra": {"aws_session_token": "ofthekeys"}}
    monkeypatch.setenv("AIRFLOW_CONN_SESSION", json.dumps(given))
    own = connections.store_at("s3://session@values").to_read(["key"], timedelta(hours=1))["key"]["url"]
    assert "X-Amz-Security-Token=ofthekeys" in own


def test_the_address_of_a_server_that_is_none_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"conn_type": "aws", "extra": {"endpoint_url": "minio:9000"}}
    monkeypatch.setenv("AIRFLOW_CONN_BAD", json.dumps(given))
    with pytest.raises(SettingError, match="Connection 'bad': 'minio:9000' is not a valid address of a server"):
        connections.store_at("s3://bad@values")


def test_a_connection_that_podenv_cannot_sign_with_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"conn_type": "aws", "extra": {"role_arn": "arn:aws:iam::1:role/x"}}
    monkeypatch.setenv("AIRFLOW_CONN_ROLE", json.dumps(given))
    with pytest.raises(SettingError, match="Connection 'role': podenv takes on no role"):
        connections.store_at("s3://role@values")
