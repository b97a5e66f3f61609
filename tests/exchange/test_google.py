"""A bucket of Google as the store: addresses are signed here; no server of its kind runs on this machine."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from podenv.airflow import connections


def key() -> dict[str, str]:
    """A service account's, made for this test."""
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    kinds = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return {
        "type": "service_account",
        "client_email": "tasks@project.iam.gserviceaccount.com",
        "private_key_id": "1",
        "private_key": made.private_bytes(*kinds).decode(),
        "token_uri": "https://oauth2.googleapis.com/token",
    }


@pytest.mark.parametrize("form", ["keyfile_dict", "text", "key_path"])
def test_addresses_are_signed_with_the_service_account_of_the_connection(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key.json").write_text(json.dumps(key()))
    extra = {
        "keyfile_dict": {"keyfile_dict": key()},
        "text": {"extra__google_cloud_platform__keyfile_dict": json.dumps(key())},
        "key_path": {"key_path": str(tmp_path / "key.json")},
    }[form]
    monkeypatch.setenv("AIRFLOW_CONN_G", json.dumps({"conn_type": "google_cloud_platform", "extra": extra}))
    connections.store.cache_clear()
    store = connections.store_at("gs://g@values/podenv")
    ticket = store.ticket("dag/run", lifetime=timedelta(days=30), readable={})
    first = ticket["put"][0]
    assert first["url"].startswith("https://storage.googleapis.com/values/podenv/dag/run/0?")
    assert "X-Goog-Expires=604800" in first["url"]
    assert "X-Goog-Signature=" in first["url"]
    assert (first["headers"], first["key"]) == ({}, "dag/run/0")
