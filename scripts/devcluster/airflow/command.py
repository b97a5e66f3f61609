"""The command `dev-cluster airflow`: its options, and what they ask for."""

import argparse
from pathlib import Path

from devcluster.airflow.check import check
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
    parser.add_argument(
        "--namespace", metavar="NAME", default=Airflow.namespace, help="another than `airflow`, for a second Airflow"
    )
    either = parser.add_mutually_exclusive_group()
    either.add_argument(
        "--check",
        action="store_true",
        help="run multi_env_dag on both executors, plain and deferred, and kill a worker, in an Airflow of its own, "
        "which is removed again; after a failure the next check removes it",
    )
    either.add_argument("--remove", action="store_true", help="remove Airflow, its database and its logs")


def run(places: Places, progress: Progress, arguments: argparse.Namespace) -> None:
    """Do what the options say. Raises DevClusterError."""
    project, values = arguments.project.absolute(), arguments.values.absolute()
    airflow = Airflow(places, namespace=arguments.namespace, project=project, values=values)
    if arguments.check:
        check(airflow, progress)
    elif arguments.remove:
        with progress.step(f"remove Airflow from the namespace {airflow.namespace}"):
            remove(airflow)
    else:
        install(airflow, progress, executor=arguments.executor)
        progress.say(f"\nAirflow answers at {airflow.url()}, for this machine only; everyone is its administrator.")
