"""The bucket through which tables and files go between tasks: moto's S3 server, which forgets at its end."""

import json
from pathlib import Path

from devcluster import network, tools
from devcluster.places import Places, made_whole
from devcluster.programs import run

MOTO = ("moto[s3]==5.2.5", "flask==3.1.3", "flask-cors==6.0.5")  # its extra `server` brings all of AWS, 300 MB
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


def ready(places: Places) -> bool:
    """True if moto of the right version is in the cache, with a Python that starts."""
    stamp = places.store / ".version"
    return stamp.is_file() and stamp.read_text() == str(MOTO)


def fetch(places: Places, log: Path) -> None:
    """Put moto into the cache, with all that it needs; Python is copied, so that its process is known as ours."""
    with made_whole(places.store) as folder:
        run([tools.PYTHON, "-m", "venv", "--copies", "--without-pip", folder], log=log)
        alone = ["--only-binary=:all:", "--disable-pip-version-check"]
        run([tools.PYTHON, "-m", "pip", "--python", folder, "install", *alone, *MOTO], log=log)
        (folder / ".version").write_text(str(MOTO))
