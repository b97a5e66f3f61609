"""What a Result means to who asked for it: the value, or a typed failure; the same on every backend."""

from __future__ import annotations

from typing import Any

from podenv.errors import ExchangeRefused, Exited, FunctionRaised, ResultRefused, StorageError
from podenv.runtime.call import Result


def value_of(result: Result, environment: str) -> Any:
    """The value that the function returned; a `Reference` stands for what went to storage.

    Raises `FunctionRaised`, `Exited`, `ResultRefused`, `ExchangeRefused`, `StorageError`.
    """
    failure = result.error
    if failure is None:
        return result.value
    if failure.kind == "raised":
        raise FunctionRaised(environment, failure.type, failure.message, failure.traceback, failure.bases.split())
    if failure.kind == "exited":
        raise Exited(environment, int(failure.code), f"{failure.message}.", asked=True)
    message = f"Environment {environment!r}: {failure.message}."
    if failure.kind == "storage":
        raise StorageError(message, retry=failure.code == "retry")
    raise ExchangeRefused(message) if failure.kind == "exchange" else ResultRefused(message)
