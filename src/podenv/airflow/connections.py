"""Stores with the credentials of Airflow's Connections; loaded when a task executes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from podenv.airflow.compat import AirflowException, BaseHook
from podenv.errors import SettingError
from podenv.exchange.address import StoreAddress, parse
from podenv.exchange.store import Store


def store_at(address: str) -> Store:
    """The store that a reference says. Raises `SettingError`."""
    return store(parse(address, "the reference"))


@lru_cache(maxsize=16)
def store(address: StoreAddress) -> Store:
    """The store at ``address``. Raises `SettingError` where its Connection is none for it."""
    if not address.connection:
        return Store(address)
    where = f"Connection {address.connection!r}"
    try:
        connection = BaseHook.get_connection(address.connection)
    except AirflowException as error:
        raise SettingError(f"{where} of the store {address} cannot be read: {error}.") from None
    return Store(address, _OPTIONS[address.scheme](connection, where))


def _of_aws(connection: Any, where: str) -> dict[str, Any]:
    """obstore's options of a Connection as the Amazon provider has it."""
    extra = connection.extra_dejson
    if extra.get("role_arn"):
        raise SettingError(
            f"{where}: podenv takes on no role (role_arn); give it keys, or leave the Connection out of the address so "
            "that the worker's own credentials are used."
        )
    service = (extra.get("service_config") or {}).get("s3") or {}
    endpoint = service.get("endpoint_url") or extra.get("endpoint_url") or extra.get("host")
    options = {"credential_provider": _keys(connection), "region": extra.get("region_name"), "endpoint": endpoint}
    return {**_given(options), **_of_endpoint(endpoint, where)}


def _keys(connection: Any) -> Callable[[], dict[str, Any]] | None:
    """What gives obstore the Connection's keys; None without, for those of the worker.

    As options they would go with the AWS_SESSION_TOKEN of the worker's environment (obstore 0.12), which is of others.
    """
    extra = connection.extra_dejson
    key = connection.login or extra.get("aws_access_key_id")
    secret = connection.password or extra.get("aws_secret_access_key")
    if not (key and secret):
        return None
    token = extra.get("aws_session_token") or None
    known = {"access_key_id": key, "secret_access_key": secret, "token": token, "expires_at": None}
    return lambda: known


def _of_google(connection: Any, where: str) -> dict[str, Any]:
    """The same as the Google provider has it."""
    extra = {
        name.removeprefix("extra__google_cloud_platform__"): value for name, value in connection.extra_dejson.items()
    }
    keys = extra.get("keyfile_dict")
    key = keys if isinstance(keys, str | None) else json.dumps(keys)
    return _given({"service_account_key": key, "service_account_path": extra.get("key_path")})


def _of_azure(connection: Any, where: str) -> dict[str, Any]:
    """The same as the Azure provider has it (``wasb``, ``adls``)."""
    extra = {name.removeprefix("extra__wasb__"): value for name, value in connection.extra_dejson.items()}
    said = dict(part.split("=", 1) for part in (extra.get("connection_string") or "").split(";") if "=" in part)
    endpoint = extra.get("account_url") or extra.get("endpoint") or said.get("BlobEndpoint")
    sas = extra.get("sas_token") or said.get("SharedAccessSignature")
    options = {
        "account_name": connection.login or extra.get("account_name") or said.get("AccountName"),
        "account_key": connection.password or extra.get("account_key") or said.get("AccountKey"),
        "endpoint": endpoint,
    }
    if sas:
        raise SettingError(f"{where}: from a SAS token no addresses can be signed; give the account's key.")
    return {**_given(options), **_of_endpoint(endpoint, where)}


_OPTIONS: dict[str, Callable[[Any, str], dict[str, Any]]] = {"s3": _of_aws, "gs": _of_google, "abfss": _of_azure}


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value}


def _of_endpoint(endpoint: str | None, where: str) -> dict[str, Any]:
    if not endpoint:
        return {}
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingError(
            f"{where}: {endpoint!r} is not a valid address of a server; write it like https://host:9000."
        )
    return {"client_options": {"allow_http": True}} if parts.scheme == "http" else {}
