"""A container of Azure Blob as the store: Azurite, Connections as Airflow has them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.exchange import azurite

from podenv.airflow import connections
from podenv.airflow.reference import Reference
from podenv.errors import SettingError, StoreUnreachable
from podenv.exchange.keys import Place
from podenv.exchange.store import Store
from podenv.runtime import transfer
from podenv.runtime.storage import StorageFailed

pytestmark = pytest.mark.skipif(bool(azurite.lacks()), reason=azurite.lacks())

ADDRESS = "abfss://blobs@values/podenv"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with azurite.serving(tmp_path_factory.mktemp("azurite"), "values") as url:
        yield url


def connect(monkeypatch: pytest.MonkeyPatch, **given: object) -> Store:
    monkeypatch.setenv("AIRFLOW_CONN_BLOBS", json.dumps({"conn_type": "wasb", **given}))
    connections.store.cache_clear()
    return connections.store_at(ADDRESS)


@pytest.fixture
def store(server: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    extra = {"account_url": server}
    return connect(monkeypatch, login=azurite.ACCOUNT, password=azurite.KEY, extra=extra)


def test_a_value_goes_to_the_container_and_comes_back(store: Store, tmp_path: Path) -> None:
    launch = Place("etl", "manual__2026-11-27T08:00:00+00:00", "clean").launch()
    ticket = store.ticket(launch, lifetime=timedelta(days=30), readable={})
    digest = transfer.put(ticket["put"][0], b"twelve bytes")
    assert [(one.key, one.bytes) for one in store.entries()] == [(f"{launch}/0", 12)]
    address = store.to_read([f"{launch}/0"], timedelta(hours=1))[f"{launch}/0"]
    transfer.get(address, str(tmp_path / "back"), 12, digest)
    assert (tmp_path / "back").read_bytes() == b"twelve bytes"
    known = Reference(f"{launch}/0", "bytes", store=str(store), bytes=12, sha256=digest)
    assert Reference.deserialize(known.serialize(), 1).read() == b"twelve bytes"
    assert store.delete([f"{launch}/0"]) == 1
    with pytest.raises(StorageFailed, match=r"is not in the storage any more \(the storage says 404 "):
        transfer.get(address, str(tmp_path / "again"), 12, digest)


def test_a_connection_string_says_the_same(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"AccountName={azurite.ACCOUNT};AccountKey={azurite.KEY};BlobEndpoint={server};DefaultEndpointsProtocol=http"
    assert list(connect(monkeypatch, extra={"connection_string": text}).entries()) == []


def test_a_key_that_is_wrong_is_said_in_the_stores_own_words(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = base64.b64encode(b"0" * 64).decode()
    store = connect(monkeypatch, login=azurite.ACCOUNT, password=wrong, extra={"account_url": server})
    with pytest.raises(StoreUnreachable) as caught:
        list(store.entries())
    assert str(caught.value).startswith(f"The store {ADDRESS} cannot be used: AuthorizationFailure: ")
    assert wrong not in str(caught.value)
    ticket = store.ticket("a", lifetime=timedelta(hours=1), readable={})
    with pytest.raises(StorageFailed) as failed:
        transfer.put(ticket["put"][0], b"x")
    assert failed.value.code == "final"
    assert "403" in str(failed.value)
    assert "sig=" not in str(failed.value)


def test_a_sas_token_signs_no_addresses(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingError, match="Connection 'blobs': from a SAS token no addresses can be signed"):
        connect(monkeypatch, login=azurite.ACCOUNT, extra={"sas_token": "sv=1&sig=2", "account_url": server})
