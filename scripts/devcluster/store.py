"""The bucket through which tables and files go between tasks: moto's S3 server, which forgets at its end."""

import json
from pathlib import Path

from devcluster import network, tools
from devcluster.places import Places
from devcluster.programs import run

MOTO_VERSION = "5.2.5"
# Its extra `server` brings all of AWS, 300 MB.
MOTO = (f"moto[s3]=={MOTO_VERSION}", "flask==3.1.3", "flask-cors==6.0.5")
PORT = 5002
BUCKET = "podenv-dev"
CONNECTION = {
    "conn_type": "aws",
    "login": "podenv",
    "password": "no-secret-at-all",
    "extra": {"endpoint_url": f"http://{network.NODE}:{PORT}", "region_name": "us-east-1"},
}
# What tells podenv of the bucket, with an Airflow Connection to it.
VARIABLES = {
    "AIRFLOW_CONN_PODENV_DEV": json.dumps(CONNECTION),
    "PODENV_EXCHANGE": f"s3://podenv_dev@{BUCKET}/exchange",
}


def folder(places: Places) -> Path:
    """A virtual environment with moto."""
    return places.cache / f"moto-{MOTO_VERSION}"


def fetch(target: Path, log: Path) -> None:
    """Make the virtual environment, which has no pip of its own."""
    run([tools.PYTHON, "-m", "venv", "--without-pip", target], log=log)
    alone = ["--only-binary=:all:", "--disable-pip-version-check"]
    run([tools.PYTHON, "-m", "pip", "--python", target, "install", *alone, *MOTO], log=log)
