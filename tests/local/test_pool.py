"""`run_in_env` from the processes of a pool: errors come back, and nothing hangs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from podenv import venv
from podenv.catalogue.environment import Catalogue

POOL_SECONDS = 120.0  # until a pool that hangs has failed
SCRIPT = """
import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor

from podenv import run_in_env
from podenv.errors import FunctionRaised, PodenvError


def raises(number):
    raise KeyError(f"no {number}")


def leaves(number):
    import sys

    sys.exit(number)


def fails(number):
    return run_in_env("small", raises, number)


def exits(number):
    return run_in_env("small", leaves, number)


def misnames(number):
    return run_in_env("smal", raises, number)


def told(get):
    try:
        get()
    except PodenvError as error:
        remote = error.remote_traceback if isinstance(error, FunctionRaised) else ""
        return [type(error).__name__, str(error), 'raise KeyError(f"no {number}")' in remote]


if __name__ == "__main__":
    calls = [(fails, 7), (exits, 3), (misnames, 1)]
    if sys.argv[1] == "pool":
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            answers = [told(lambda: pool.apply_async(one, (given,)).get()) for one, given in calls]
    else:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            answers = [told(lambda: pool.submit(one, given).result()) for one, given in calls]
    print(json.dumps(answers))
"""


@pytest.mark.parametrize("kind", ["pool", "executor"])
def test_what_a_function_raises_in_a_process_of_a_pool_is_raised_here(
    catalogue: Catalogue, tmp_path: Path, kind: str
) -> None:
    venv.sync(catalogue["small"])
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    variables = {**os.environ, "PODENV_CATALOGUE": str(catalogue.root), "PODENV_BACKEND": "local"}
    ran = subprocess.run(
        [sys.executable, str(script), kind], env=variables, capture_output=True, text=True, timeout=POOL_SECONDS
    )
    assert ran.returncode == 0, ran.stderr
    raised, exited, unknown = json.loads(ran.stdout.splitlines()[-1])
    assert raised == ["FunctionRaised", "The function raised KeyError in environment 'small': 'no 7'", True]
    assert exited[0] == "Exited"
    assert unknown[0] == "UnknownEnvironment"
    assert "Did you mean 'small'" in unknown[1]
