"""The command `dev-cluster airflow`: its options, and what they ask for."""

import argparse
from pathlib import Path

from devcluster.airflow.check import check, clear
from devcluster.airflow.install import EXECUTORS, ROOT, VALUES, Airflow, install, remove
from devcluster.places import Places
from devcluster.progress import Progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `dev-cluster airflow`."""
    parser.add_argument(
        "--executor",
        metavar="NAME",
        choices=[*EXECUTORS, ",".join(EXECUTORS)],
        help=f"{EXECUTORS[0]}, {EXECUTORS[1]} or both with a comma; default: what the values say",
    )
    parser.add_argument(
        "--project", metavar="FOLDER", type=Path, default=ROOT, help="dags/ and envs/ lie there; default: this checkout"
    )
    parser.add_argument(
        "--values",
        metavar="FILE",
        type=Path,
        default=VALUES,
        help="values of Airflow's official chart; default: charts/airflow-values.yaml",
    )
    either = parser.add_mutually_exclusive_group()
    either.add_argument(
        "--check",
        action="store_true",
        help="run multi_env_dag on both executors, plain and deferred, in a second Airflow that is removed again",
    )
    either.add_argument("--remove", action="store_true", help="remove Airflow, its database and its logs")


def run(places: Places, progress: Progress, arguments: argparse.Namespace) -> None:
    """Do what the options say. Raises DevClusterError."""
    airflow = Airflow(places, project=arguments.project.absolute(), values=arguments.values.absolute())
    if arguments.check:
        check(airflow, progress)
    elif arguments.remove:
        with progress.step("remove Airflow, and what a check left"):
            remove(airflow)
            clear(airflow)
    else:
        install(airflow, progress, executor=arguments.executor)
        progress.say(f"\nAirflow answers at {airflow.url()}, for this machine only; everyone is its administrator.")
