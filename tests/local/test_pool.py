"""`run_in_env` from the processes of a pool: errors come back, and nothing hangs."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest

from podenv import run_in_env, venv
from podenv.catalogue.environment import Catalogue
from podenv.errors import Exited, FunctionRaised, PodenvError, UnknownEnvironment

POOL_SECONDS = 120.0  # until a pool that hangs has failed


def raises(number: int) -> None:
    raise KeyError(f"no {number}")


def leaves(number: int) -> None:
    import sys

    sys.exit(number)


def fails(number: int) -> object:
    """In a process of the pool."""
    return run_in_env("small", raises, number)


def exits(number: int) -> object:
    return run_in_env("small", leaves, number)


def misnames(number: int) -> object:
    return run_in_env("smal", raises, number)


@pytest.fixture(autouse=True)
def _project(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODENV_CATALOGUE", str(catalogue.root))
    monkeypatch.setenv("PODENV_BACKEND", "local")
    venv.sync(catalogue["small"])


def check(raised: PodenvError) -> None:
    assert isinstance(raised, FunctionRaised)
    assert str(raised) == "The function raised KeyError in environment 'small': 'no 7'"
    assert (raised.type, raised.remote_message) == ("KeyError", "'no 7'")
    assert 'raise KeyError(f"no {number}")' in raised.remote_traceback


def test_a_function_that_raises_in_a_pool_raises_here() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        with pytest.raises(FunctionRaised) as raised:
            pool.apply_async(fails, (7,)).get(POOL_SECONDS)
        check(raised.value)
        with pytest.raises(Exited) as ended:
            pool.apply_async(exits, (3,)).get(POOL_SECONDS)
        assert ended.value.codes == {3}
        with pytest.raises(UnknownEnvironment, match="Did you mean 'small'"):
            pool.apply_async(misnames, (1,)).get(POOL_SECONDS)


def test_a_function_that_raises_in_an_executor_raises_here() -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        with pytest.raises(FunctionRaised) as raised:
            pool.submit(fails, 7).result(POOL_SECONDS)
        check(raised.value)
        with pytest.raises(UnknownEnvironment, match="Did you mean 'small'"):
            pool.submit(misnames, 1).result(POOL_SECONDS)
