"""A table from one environment to another, beside tasks that write and read the same Parquet themselves.

Pandas 2.1 on Python 3.11 hands 100 MB to polars on Python 3.13: on this machine through a folder; on pods, where
``scripts/dev-cluster env`` names a cluster, a registry and a bucket, through that, where the peers have its password.
"""

from __future__ import annotations

import json
import os
import resource
import secrets
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import pods
from benchmarks.report import Comparison, alternate, show
from podenv.call import source
from podenv.catalogue.environment import Catalogue
from podenv.exchange.address import parse
from podenv.exchange.calls import Exchange
from podenv.exchange.keys import Place
from podenv.exchange.store import Store
from podenv.local import Limits, LocalRun

if TYPE_CHECKING:
    import pandas
    import polars

ROUNDS = 5
POD_ROUNDS = 7
SMALL_ROUNDS = 61
MEMORY_MIB = 32.0
ENVIRONMENTS = {
    "writer": ("3.11", ["pandas==2.1.*", "numpy<2", "pyarrow<20"]),
    "reader": ("3.13", ["polars"]),
}


def table() -> Any:
    """100 MB that do not get smaller as Parquet, made without a copy: writing it takes more memory than making it."""
    import numpy as np
    import pandas as pd

    numbers = np.random.default_rng(0).random((1_250_000, 10))
    return pd.DataFrame(numbers, columns=[f"column{number}" for number in range(10)], copy=False)


def returns() -> pandas.DataFrame:
    return table()


def takes(frame: polars.DataFrame) -> float:
    return float(frame["column0"].sum())


def writes(path: str) -> str:
    table().to_parquet(path)
    return path


def reads(path: str) -> float:
    import polars

    return takes(polars.read_parquet(path))


def writes_to_bucket(store: dict[str, str], path: str) -> str:
    from pyarrow import fs

    bucket = fs.S3FileSystem(
        access_key=store["login"],
        secret_key=store["password"],
        endpoint_override=store["endpoint_url"],
        region=store["region_name"],
    )
    table().to_parquet(path, filesystem=bucket)
    return path


def reads_from_bucket(store: dict[str, str], path: str) -> float:
    import polars

    options = {
        "aws_access_key_id": store["login"],
        "aws_secret_access_key": store["password"],
        "aws_endpoint_url": store["endpoint_url"],
        "aws_region": store["region_name"],
        "aws_allow_http": "true",
    }
    return takes(polars.read_parquet("s3://" + path, storage_options=options))


def pickles(path: str) -> str:
    table().to_pickle(path)
    return path


def unpickles(path: str) -> float:
    import pandas as pd

    return float(pd.read_pickle(path)["column0"].sum())


def one_value() -> int:
    return 42


def make(folder: Path) -> None:
    """Make the catalogue of a `Runner` in ``folder``."""
    for name, (python, packages) in ENVIRONMENTS.items():
        environment = folder / "envs" / name
        environment.mkdir(parents=True)
        (environment / "values.yaml").write_text(f'python: "{python}"\n', encoding="utf-8")
        (environment / "requirements.in").write_text("\n".join(packages), encoding="utf-8")
    program = [sys.executable, "-c", "from podenv.cli import main; main()", "--catalogue", str(folder / "envs")]
    subprocess.run([*program, "lock"], check=True, stdout=subprocess.DEVNULL)


class Runner:
    """Runs functions in the environments of ``folder``, which `make` has made."""

    def __init__(self, folder: Path) -> None:
        self._catalogue = Catalogue(folder / "envs")
        self._store = Store(parse((folder / "store").as_uri(), "the benchmark"))
        self._folder = folder

    def run(self, name: str, function: Callable[..., Any], *args: Any, stored: bool) -> Any:
        """The value of ``function(*args)`` in environment ``name``, with a store or without one."""
        call = source.build_call(function, args, {})
        run = LocalRun(self._catalogue[name], limits=Limits(), env={}, emit=lambda line: None)
        exchange = Exchange(self._store, Place("bench", "run", function.__name__), timedelta(hours=1))
        ticket = exchange.ticket(call) if stored else None
        return exchange.found(run.call(call, ticket=ticket))

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


class Pods:
    """The same as pods of the environments of ``folder``, deployed into namespaces of its own while this lasts."""

    BUCKET = "PODENV_EXCHANGE"

    def __init__(self, folder: Path) -> None:
        self._prefix = f"podenv-bench-{uuid.uuid4().hex[:6]}-"
        self._address = os.environ[self.BUCKET]
        connection = json.loads(os.environ["AIRFLOW_CONN_PODENV_DEV"])
        self._store = {"login": connection["login"], "password": connection["password"], **connection["extra"]}
        self._numbers = iter(range(10**9))
        self._program = [sys.executable, "-c", "from podenv.cli import main; main()", "--catalogue", f"{folder}/envs"]
        os.environ |= {
            "PODENV_CATALOGUE": f"{folder}/envs",
            "AIRFLOW__PODENV__NAMESPACE_PREFIX": self._prefix,
        }

    def __enter__(self) -> Pods:
        argv = [*self._program, "up", "--namespace-prefix", self._prefix]
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
        return self

    def __exit__(self, *_: object) -> None:
        from kubernetes import client, config

        config.load_kube_config()
        for name in ENVIRONMENTS:
            client.CoreV1Api().delete_namespace(f"{self._prefix}{name}")

    def through_store(self) -> Any:
        """The table as a returned value and a parameter."""
        return self._run("reader", takes, self._run("writer", returns, stored=True), stored=True)

    def by_hand(self) -> Any:
        """The table as an object that both tasks know of, with the password of the bucket."""
        path = f"{self._address.rpartition('@')[2]}/by-hand/{secrets.token_hex(4)}.parquet"
        written = self._run("writer", writes_to_bucket, self._store, path, stored=False)
        return self._run("reader", reads_from_bucket, self._store, written, stored=False)

    def _run(self, name: str, function: Callable[..., Any], *args: Any, stored: bool) -> Any:
        from podenv import EnvPodOperator

        os.environ[self.BUCKET] = self._address if stored else ""
        operator = EnvPodOperator(
            task_id=f"bench-{os.getpid()}-{next(self._numbers)}",
            env=name,
            python_callable=function,
            op_args=list(args),
            cpu="1",
            memory="1Gi",
        )
        return operator.execute(pods.context(operator))


def _alone(folder: Path, name: str, function: Callable[..., Any], args: tuple[Any, ...], stored: bool) -> Any:
    """The value, and the MiB that the task held at most to its very end: no other child of this process is as large."""
    value = Runner(folder).run(name, function, *args, stored=stored)
    return value, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def memory(folder: Path) -> float:
    """MiB that the runtime takes more than the tasks' own code, in the task where that is most."""

    def alone(name: str, function: Callable[..., Any], *args: Any, stored: bool) -> Any:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            return process.submit(_alone, folder, name, function, args, stored).result()

    stored, returning = alone("writer", returns, stored=True)
    path, writing = alone("writer", writes, str(folder / "alone.parquet"), stored=False)
    _, taking = alone("reader", takes, stored, stored=True)
    _, reading = alone("reader", reads, path, stored=False)
    return float(max(returning - writing, taking - reading))


def measure_pods(folder: Path) -> list[Comparison]:
    """What takes a cluster; nothing where none is named."""
    if not {"KUBECONFIG", "PODENV_REGISTRY", Pods.BUCKET, "AIRFLOW_CONN_PODENV_DEV"} <= os.environ.keys():
        print('Left out: pods. They need the dev cluster: eval "$(scripts/dev-cluster env)"')
        return []
    pods.quiet()
    with Pods(folder) as runner:
        assert runner.through_store() == runner.by_hand()
        times = alternate(runner.through_store, runner.by_hand, rounds=POD_ROUNDS)
    return [Comparison("100 MB from pandas to polars, on pods", "the tasks' own Parquet", *times, promised=1.15)]


def main() -> bool:
    """True if every ratio is what the project claims."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        make(folder)
        runner = Runner(folder)
        assert runner.through_store() == runner.by_hand()
        frame, small = "100 MB from pandas to polars", "a local task that returns one value, with a store"
        by_hand = alternate(runner.through_store, runner.by_hand, rounds=ROUNDS)
        pickled = alternate(runner.through_store, runner.pickled, rounds=3)
        values = alternate(
            lambda: runner.run("reader", one_value, stored=True),
            lambda: runner.run("reader", one_value, stored=False),
            rounds=SMALL_ROUNDS,
        )
        on_pods = measure_pods(folder)
        return show(
            "exchange",
            [
                *on_pods,
                Comparison(frame, "the tasks' own Parquet", *by_hand, promised=1.15),
                Comparison(frame, "pickle", *pickled, promised=2.0),
                Comparison("memory beyond that", "the limit", memory(folder), MEMORY_MIB, promised=1.0, unit="MiB"),
                Comparison(small, "without", *values, promised=1.05),
            ],
        )
