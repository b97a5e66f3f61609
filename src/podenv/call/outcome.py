"""What a Result means to who asked for it: the value, or a typed failure; the same on every backend."""

from __future__ import annotations

from typing import Any

from podenv.errors import Exited, FunctionRaised, ResultRefused
from podenv.runtime.call import Result


def value_of(result: Result, environment: str) -> Any:
    """The value that the function returned. Raises `FunctionRaised`, `Exited`, `ResultRefused`."""
    failure = result.error
    if failure is None:
        return result.value
    if failure.kind == "raised":
        raise FunctionRaised(environment, failure.type, failure.message, failure.traceback, failure.bases.split())
    if failure.kind == "exited":
        raise Exited(environment, int(failure.code), f"{failure.message}.", asked=True)
    raise ResultRefused(f"Environment {environment!r}: {failure.message}.")
