"""A table from one environment to another, beside tasks that write and read the same Parquet themselves.

On this machine: pandas 2.1 on Python 3.11 hands 100 MB to polars on Python 3.13, through a folder.
"""

from __future__ import annotations

import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.report import Comparison, alternate, show
from podenv.call import source
from podenv.catalogue.environment import Catalogue
from podenv.exchange.address import parse
from podenv.exchange.calls import Exchange
from podenv.exchange.keys import Place
from podenv.exchange.store import Store
from podenv.local import Limits, LocalRun

ROUNDS = 5
SMALL_ROUNDS = 25
MEMORY_MIB = 32.0
ENVIRONMENTS = {
    "writer": ("3.11", ["pandas==2.1.*", "numpy<2", "pyarrow<20"]),
    "reader": ("3.13", ["polars"]),
}


def table() -> Any:
    """100 MB: what does not get smaller as Parquet."""
    import numpy as np
    import pandas as pd

    numbers = np.random.default_rng(0)
    return pd.DataFrame({f"column{number}": numbers.random(1_250_000) for number in range(10)})


def returns() -> pandas.DataFrame:  # type: ignore[name-defined]  # noqa: F821
    return table()


def takes(frame: polars.DataFrame) -> float:  # type: ignore[name-defined]  # noqa: F821
    return float(frame["column0"].sum())


def writes(path: str) -> str:
    table().to_parquet(path)
    return path


def reads(path: str) -> float:
    import polars

    return takes(polars.read_parquet(path))


def pickles(path: str) -> str:
    table().to_pickle(path)
    return path


def unpickles(path: str) -> float:
    import pandas as pd

    return float(pd.read_pickle(path)["column0"].sum())


def one_value() -> int:
    return 42


class Runner:
    """Runs functions in environments; ``peaks`` are the MiB that each held at most."""

    def __init__(self, folder: Path) -> None:
        for name, (python, packages) in ENVIRONMENTS.items():
            environment = folder / "envs" / name
            environment.mkdir(parents=True)
            (environment / "values.yaml").write_text(f'python: "{python}"\n', encoding="utf-8")
            (environment / "requirements.in").write_text("\n".join(packages), encoding="utf-8")
        program = [sys.executable, "-c", "from podenv.cli import main; main()", "--catalogue", str(folder / "envs")]
        subprocess.run([*program, "lock"], check=True, stdout=subprocess.DEVNULL)
        self._catalogue = Catalogue(folder / "envs")
        self._store = Store(parse((folder / "store").as_uri(), "the benchmark"))
        self._folder = folder
        self.peaks: dict[str, float] = {}

    def run(self, name: str, function: Callable[..., Any], *args: Any, stored: bool) -> Any:
        """The value of ``function(*args)`` in environment ``name``, with a store or without one."""
        call = source.build_call(function, args, {})
        run = LocalRun(self._catalogue[name], limits=Limits(), env={}, emit=lambda line: None)
        exchange = Exchange(self._store, Place("bench", "run", function.__name__), timedelta(hours=1))
        ticket = exchange.ticket(call) if stored else None
        value = exchange.found(run.call(call, ticket=ticket))
        self.peaks[function.__name__] = run.usage["peak_memory_bytes"] / 1024**2
        return value

    def through_store(self) -> Any:
        """The table as a returned value and a parameter."""
        self._store.delete(entry.key for entry in list(self._store.entries()))
        return self.run("reader", takes, self.run("writer", returns, stored=True), stored=True)

    def by_hand(self) -> Any:
        """The table as a file that both tasks know of."""
        path = str(self._folder / f"{secrets.token_hex(4)}.parquet")
        value = self.run("reader", reads, self.run("writer", writes, path, stored=False), stored=False)
        Path(path).unlink()
        return value

    def pickled(self) -> Any:
        """The same by pickle, between tasks of one environment."""
        path = str(self._folder / f"{secrets.token_hex(4)}.pickle")
        value = self.run("writer", unpickles, self.run("writer", pickles, path, stored=False), stored=False)
        Path(path).unlink()
        return value


def main() -> bool:
    """True if every ratio is what the project claims."""
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(Path(folder))
        assert runner.through_store() == runner.by_hand()
        frame, small = "100 MB from pandas to polars", "a local task that returns one value, with a store"
        by_hand = alternate(runner.through_store, runner.by_hand, rounds=ROUNDS)
        peaks = runner.peaks
        more = max(peaks["returns"] - peaks["writes"], peaks["takes"] - peaks["reads"], 0.1)
        return show(
            "exchange",
            [
                Comparison(frame, "the tasks' own Parquet", *by_hand, promised=1.15),
                Comparison(frame, "pickle", *alternate(runner.through_store, runner.pickled, rounds=3), promised=2.0),
                Comparison("memory beyond that", "the limit", more, MEMORY_MIB, promised=1.0, unit="MiB"),
                Comparison(
                    small,
                    "without",
                    *alternate(
                        lambda: runner.run("reader", one_value, stored=True),
                        lambda: runner.run("reader", one_value, stored=False),
                        rounds=SMALL_ROUNDS,
                    ),
                    promised=1.05,
                ),
            ],
        )
