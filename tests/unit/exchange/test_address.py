"""What a setting may say of a store."""

from __future__ import annotations

import pytest

from podenv.errors import SettingError
from podenv.exchange.address import StoreAddress, parse


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("s3://aws@bucket/a/b/", StoreAddress("s3", "bucket", "a/b", "aws")),
        ("s3a://bucket", StoreAddress("s3", "bucket", "")),
        ("gs://g@bucket/a%20b", StoreAddress("gs", "bucket", "a b", "g")),
        ("abfs://az@container/x", StoreAddress("abfss", "container", "x", "az")),
        ("file:///var/lib/podenv/", StoreAddress("file", "", "/var/lib/podenv")),
    ],
)
def test_an_address_says_kind_bucket_prefix_and_connection(text: str, address: StoreAddress) -> None:
    assert parse(text, "[podenv] exchange") == address
    assert parse(str(address), "again") == address


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("abfsx://c/x", "'abfsx://c/x' is not a valid address of a store. Did you mean 'abfs'? Write it like s3://"),
        ("/var/podenv", "'/var/podenv' is not a valid address of a store. Write it like s3://"),
        ("s3:///prefix", "s3://… names no bucket; write it like s3://"),
        ("s3://[bucket/x", "is not a valid address of a store: Invalid IPv6 URL; write it like s3://"),
        ("s3://key:[word@bucket/x", "is not a valid address of a store: Invalid IPv6 URL; write it like s3://"),
        ("s4://key:word@bucket/x", "an address holds no password; keep it in an Airflow Connection"),
        ("s3://key:word@bucket/x?a=b", "an address holds no password; keep it in an Airflow Connection"),
        ("file:///var/%00", "'file:///var/%00' holds a null character, which no folder's name does; write it like"),
        ("s3://key:word@bucket/x", "an address holds no password; keep it in an Airflow Connection"),
        ("s3://bucket/x?region=eu", "has a query or a fragment, which no store takes"),
        ("file://var/podenv", "'file://var/podenv' is not an absolute folder; write it like file:///var/podenv."),
        ("s3://bucket/a/../b", "leads upwards; name the folder itself."),
    ],
)
def test_an_address_that_is_none_is_refused_with_what_to_write(text: str, message: str) -> None:
    with pytest.raises(SettingError) as caught:
        parse(text, "[podenv] exchange")
    assert str(caught.value).startswith("[podenv] exchange")
    assert message in str(caught.value)
    assert "word" not in str(caught.value).replace("password", "")


def test_a_folder_of_a_store_is_a_store() -> None:
    assert str(parse("s3://c@b", "x").below("podenv")) == "s3://c@b/podenv"
    assert str(parse("s3://c@b/p", "x").below("podenv")) == "s3://c@b/p/podenv"
    assert str(parse("file:///p", "x").below("podenv")) == "file:///p/podenv"
