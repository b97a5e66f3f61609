"""Every error of podenv survives a process pool: pickled, copied and printed alike."""

from __future__ import annotations

import copy
import inspect
import pickle
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from podenv import errors
from podenv.errors import FunctionRaised, PodenvError

# A value for each parameter that an error's own __init__ takes, by name; what is not here is a text.
VALUES: dict[str, Any] = {
    "asked": True, "catalogue": Path("envs"), "code": -9, "errors": {"a.py": "why"}, "file": Path("values.yaml"),
    "folder": Path("dags"), "known": ["etl", "train"], "log": Path("build.log"), "retry": False,
    "returncode": 2,
}  # fmt: skip


def pickled(error: Any, *, protocol: int) -> Any:
    return pickle.loads(pickle.dumps(error, protocol))


WAYS: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle {number}": partial(pickled, protocol=number) for number in range(pickle.HIGHEST_PROTOCOL + 1)},
}


def classes(base: type[PodenvError]) -> list[type[PodenvError]]:
    return [base, *(one for direct in base.__subclasses__() for one in classes(direct))]


EVERY = sorted(set(classes(PodenvError)), key=lambda one: one.__name__)


def made(kind: type[PodenvError]) -> PodenvError:
    """An error of this kind with a value for everything that it takes."""
    if kind.__init__ is Exception.__init__:
        return kind("What happened; what to do.")
    named: dict[str, Any] = {}
    given: list[Any] = []
    for name, parameter in inspect.signature(kind).parameters.items():
        value = VALUES.get(name, f"the {name}")
        if parameter.kind is parameter.KEYWORD_ONLY:
            named[name] = value
        else:
            given.append(value)
    return kind(*given, **named)


def test_every_error_is_tested() -> None:
    public = {one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, PodenvError)}
    assert public <= set(EVERY)
    assert len(public) > 40


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_an_error_is_the_same_after_it_travelled(kind: type[PodenvError]) -> None:
    error = made(kind)
    error.add_note("a note")
    for way in WAYS:
        again = WAYS[way](error)
        assert type(again) is kind, way
        assert (str(again), repr(again), again.args) == (str(error), repr(error), error.args), way
        assert vars(again) == vars(error), way
        assert traceback.format_exception(again) == traceback.format_exception(error), way


@pytest.mark.parametrize("way", WAYS)
def test_the_traceback_of_the_other_environment_travels_with_the_error(way: str) -> None:
    error = FunctionRaised("etl", "builtins.ValueError", "no", "Traceback\n  the line\nValueError: no\n")
    assert "the line" in "".join(traceback.format_exception(error))
    assert traceback.format_exception(WAYS[way](error)) == traceback.format_exception(error)


@pytest.mark.parametrize("way", WAYS)
def test_whether_a_retry_can_help_travels_with_the_error(way: str) -> None:
    error = errors.PodRefused("no")
    error.retry = True
    assert WAYS[way](error).retry is True
    assert WAYS[way](errors.PodRefused("no")).retry is False
