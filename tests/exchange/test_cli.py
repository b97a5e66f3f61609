"""`podenv exchange`, on a folder and on a bucket."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.exchange import s3server
from typer.testing import CliRunner

from podenv.airflow import connections
from podenv.cli.app import app
from podenv.exchange.keys import Place
from podenv.exchange.store import Store
from podenv.runtime import transfer

Podenv = Callable[..., tuple[int, str, str]]


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    if request.param == "folder":
        monkeypatch.setenv("PODENV_EXCHANGE", (tmp_path / "values").as_uri())
        yield connections.store_at((tmp_path / "values").as_uri())
        return
    with s3server.serving("values") as url:
        given = {"conn_type": "aws", "login": "a", "password": "secretword", "extra": {"endpoint_url": url}}
        monkeypatch.setenv("AIRFLOW_CONN_BUCKETS", json.dumps(given))
        monkeypatch.setenv("PODENV_EXCHANGE", "s3://buckets@values/p")
        connections.store.cache_clear()
        yield connections.store_at("s3://buckets@values/p")


@pytest.fixture
def podenv() -> Podenv:
    def run(*arguments: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, ["exchange", *arguments])
        return result.exit_code, result.stdout, result.stderr

    return run


def fill(store: Store) -> list[str]:
    keys = []
    for place in (Place("etl", "one", "clean"), Place("etl", "one", "train", 0, 2), Place("other", "one", "clean")):
        ticket = store.ticket(place.launch(), lifetime=timedelta(hours=1), readable={})
        transfer.put(ticket["put"][0], b"x" * 1000)
        keys.append(ticket["put"][0]["key"])
    return keys


def test_values_are_listed_with_their_tasks_and_pruned_by_age(store: Store, podenv: Podenv) -> None:
    assert podenv("list") == (0, f"{store}: no values\n", "")
    keys = fill(store)
    code, listed, _ = podenv("list")
    assert code == 0
    assert sorted(line.split()[:6] for line in listed.splitlines()[1:-1]) == [
        ["etl", "one", "clean", "-", "1", "1"],
        ["etl", "one", "train", "0", "2", "1"],
        ["other", "one", "clean", "-", "1", "1"],
    ]
    assert listed.splitlines()[-1] == f"{store}: 3 values, 3 kB"
    found = json.loads(podenv("list", "--dag", "etl", "--json")[1])
    assert sorted(one["key"] for one in found) == sorted(keys[:2])
    assert [one.key for one in store.entries("etl")] == [
        one["key"] for one in sorted(found, key=lambda one: one["key"])
    ]
    assert podenv("list", "--dag", "nobody")[1] == f"{store}: no values\n"
    mapped = next(one for one in found if one["task"] == "train")
    assert (mapped["map_index"], mapped["try_number"], mapped["bytes"]) == (0, 2, 1000)

    assert podenv("prune", "--yes") == (0, f"{store}: 0 values deleted (0 B); 3 left.\n", "")
    shown = podenv("prune", "--older", "0s", "--dag", "etl", "--dry-run")
    assert shown == (0, f"{store}: 2 values would be deleted (2 kB); 0 left.\n", "")
    code, _, said = podenv("prune", "--older", "0s")
    assert code == 1
    assert said.startswith(f"error: Delete 3 values (3 kB) from {store}? There is no terminal to ask on; --yes")
    assert podenv("prune", "--older", "0s", "--dag", "etl", "--yes")[0] == 0
    assert [one.key for one in store.entries()] == [keys[2]]


def test_what_podenv_has_not_written_stays(podenv: Podenv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "notes.txt").write_text("mine")
    address = tmp_path.as_uri()
    assert podenv("prune", "--older", "0s", "--yes", "--store", address)[1].endswith(
        "0 values deleted (0 B); 0 left.\n"
    )
    assert (tmp_path / "a" / "b" / "notes.txt").read_text() == "mine"


def test_an_address_that_is_none_is_refused(podenv: Podenv) -> None:
    code, _, said = podenv("list", "--store", "bucket/prefix")
    assert code == 1
    assert said.startswith("error: --store: 'bucket/prefix' is not a valid address of a store.")


def test_the_variable_with_an_address_that_is_none_is_named(podenv: Podenv, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODENV_EXCHANGE", "bucket/prefix")
    code, _, said = podenv("list")
    assert code == 1
    assert said.startswith("error: PODENV_EXCHANGE: 'bucket/prefix' is not a valid address of a store.")
